"""TensorBoard: beside the curves of the metrics, images with boxes, APs, configuration and report."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

from detection.callbacks.predictions import Seen
from detection.loggers.tracker import Tracker, drawn


class TensorBoardRun(Tracker, TensorBoardLogger):
    """Writes a run's events, which ``tensorboard --logdir runs`` shows beside those of other runs.

    Args:
        save_dir: the run's folder.
        name: the folder in it for the events.
        version: a folder in that one; empty for none.
    """

    tracker_name = "tensorboard"

    def __init__(self, save_dir: str, name: str = "tensorboard", version: str = "") -> None:
        try:
            import tensorboard  # noqa: F401
        except ImportError as error:
            raise ImportError(
                f"logger=tensorboard needs tensorboard ({error}): pip install -e '.[tensorboard]'"
            ) from error
        super().__init__(save_dir, name=name, version=version)

    @rank_zero_only
    def log_hyperparams(
        self, params: Any, metrics: dict[str, Any] | None = None, step: int | None = None
    ) -> None:
        """Record the configuration, for the table of runs and as a text."""
        super().log_hyperparams(params, metrics, step)
        self.experiment.add_text("configuration", _code(json.dumps(params, indent=2, default=str)))

    @rank_zero_only
    def log_detections(
        self, stage: str, seen: Sequence[Seen], class_names: Sequence[str], threshold: float, step: int
    ) -> None:
        """Write each image with its boxes; a slider goes through the epochs."""
        for item in seen:
            picture = drawn(item, class_names, threshold)
            tag = f"{stage}/predictions/{item.target['image_id']}"
            self.experiment.add_image(tag, picture, step, dataformats="HWC")

    @rank_zero_only
    def log_aps(self, stage: str, aps: Mapping[str, float | None], step: int) -> None:
        """Write a table."""
        cells = [(name.replace("|", "\\|"), "-" if ap is None else f"{ap:.4f}") for name, ap in aps.items()]
        rows = [("class", "AP"), ("---", "---:"), *cells]
        table = "\n".join(f"| {name} | {ap} |" for name, ap in rows)
        self.experiment.add_text(f"{stage}/ap_by_class", table, step)

    @rank_zero_only
    def log_report(self, files: Sequence[Path]) -> None:
        """Write pictures as such and the final metrics as a text; the curves are there already."""
        for path in files:
            if path.suffix == ".png":
                picture = np.asarray(cv2.imread(str(path)))[..., ::-1]
                self.experiment.add_image(f"report/{path.stem}", picture, dataformats="HWC")
            elif path.suffix == ".json":
                self.experiment.add_text(f"report/{path.stem}", _code(path.read_text(encoding="utf-8")))

    @rank_zero_only
    def close(self, exit_code: int) -> None:
        """End the run: write what is left."""
        if self._experiment is not None:
            self._experiment.close()


def _code(text: str) -> str:
    """A text as Markdown that is shown as it stands."""
    return "\n".join(f"    {line}" for line in text.splitlines())
