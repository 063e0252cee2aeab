"""Images that were left out of a run (``data.on_error=skip``), listed for its reader."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from detection.data.datamodule import DetectionDataModule

_SHOWN = 5


class ListLeftOut(pl.Callback):
    """Keeps a list of the images that were left out and why; prints how many there are at the end.

    The list is renewed after every validation, so a run that is stopped leaves it too.

    Args:
        folder: the run's folder, where ``left_out.txt`` is written.
    """

    def __init__(self, folder: str) -> None:
        self.path = Path(folder) / "left_out.txt"

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the list."""
        self._list(trainer, pl_module)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the list, and print its beginning."""
        problems = self._list(trainer, pl_module)
        if problems and trainer.is_global_zero:
            print(beginning(problems, self.path), flush=True)

    def _list(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, list[str]]:
        datamodule: object = getattr(trainer, "datamodule", None)
        if not isinstance(datamodule, DetectionDataModule) or datamodule.on_error != "skip":
            return {}

        def sum_over_processes(seen: Tensor) -> Tensor:
            total = trainer.strategy.reduce(seen.to(pl_module.device), reduce_op="sum")
            assert isinstance(total, Tensor)
            return total.cpu()

        problems = datamodule.problems(sum_over_processes)
        write_list(problems, self.path)
        return problems


@rank_zero_only
def write_list(problems: Mapping[str, Sequence[str]], path: Path) -> None:
    """Writes a line for each image that was left out.

    Args:
        problems: what is wrong with the images of each split.
        path: the file; it is not made where there is nothing to list.
    """
    lines = _lines(problems)
    if lines:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def beginning(problems: Mapping[str, Sequence[str]], path: Path) -> str:
    """Says how many images were left out, and shows the first ones.

    Args:
        problems: what is wrong with the images of each split.
        path: the file with all of them.
    """
    lines = _lines(problems)
    if not lines:
        return ""
    counts = ", ".join(f"{len(found)} of {split}" for split, found in problems.items() if found)
    more = f"\n  ... and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    shown = "\n  ".join(lines[:_SHOWN])
    return (
        f"Left out, because they cannot be used: {counts}. Metrics are those of the images that are left. "
        f"All are listed in {path}:\n  {shown}{more}"
    )


def _lines(problems: Mapping[str, Sequence[str]]) -> list[str]:
    return [f"{split}: {problem}" for split, found in problems.items() for problem in found]
