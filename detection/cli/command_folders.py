"""The folder that a command writes to: never that of a training, and none is left that is empty."""

import atexit
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from detection.system.files import refuse_unwritable
from detection.system.processes import is_first

_RUNS = "runs"


def folder_of_run(config: DictConfig) -> Path | None:
    """Where a run that is about to start will write; None where it refers to a key that is not there.

    Hydra says so next.

    Args:
        config: all of it, Hydra's own included.
    """
    HydraConfig.instance().set_config(config)  # the name of the folder may ask for it
    try:
        return Path(config.hydra.run.dir)
    except OmegaConfBaseException:
        return None


class CommandFolder(Callback):
    """Looks at the folder of a command before Hydra writes the first file to it, and when the process ends.

    Then a new folder that holds nothing but Hydra's own files is removed.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Judge the folder, and note it unless it was there before.

        Raises:
            SystemExit: it cannot be written to, or is that of a training.
        """
        found = folder_of_run(config)
        if found is None:
            return
        folder = found.absolute()
        try:
            refuse_unwritable(folder, "run_dir")
        except OSError as error:
            raise SystemExit(str(error)) from error
        command = config.hydra.job.config_name
        if command != "train" and config.hydra.output_subdir and (folder / "checkpoints").is_dir():
            raise SystemExit(
                f"run_dir={found} is the folder of a training, whose settings {command} would replace: name "
                "another folder."
            )
        made = folder.parents[1].name == _RUNS and folder.is_dir() and not any(folder.iterdir())
        if is_first() and (made or not folder.exists()):  # a new run makes its folder to find its name
            atexit.register(_remove_if_empty, folder)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        if all(map(_is_a_trace, folder.iterdir())):
            shutil.rmtree(folder)
            for parent in folder.parents[:2]:  # runs/<name>, and runs
                if _RUNS in (parent.name, parent.parent.name):
                    parent.rmdir()  # which fails where another run is in it


def _is_a_trace(path: Path) -> bool:
    return path.name in (".hydra", "error.txt") or path.suffix == ".log"
