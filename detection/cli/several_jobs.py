"""Several jobs of a command in one process (``-m``): one that ends early does not end those behind it."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from detection.sweeps.job import error_noted, in_sweep
from detection.system.endings import ToldToEnd
from detection.system.wording import counted

# By which submitit leaves a job that Slurm has queued again: if the job returned, the sweep would take it for
# done, and not wait for what is queued.
_QUEUED_AGAIN = -1
_started: list[str] = []
_failed: list[str] = []


def job_of_several(main: Callable[[DictConfig], Any]) -> Callable[[DictConfig], Any]:
    """Let a command that ends with a sentence or an exit status, as one of several jobs, tell and note it.

    The reason is left as ``error.txt`` in the job's folder, too, where it has one.

    Args:
        main: the command.
    """

    @wraps(main)
    def job(cfg: DictConfig) -> Any:
        if not in_sweep():
            return main(cfg)
        overrides = " ".join(HydraConfig.get().overrides.task)
        _started.append(overrides)
        try:
            with error_noted(HydraConfig.get().runtime.output_dir):
                return main(cfg)
        except SystemExit as end:
            if end.code in (0, None, _QUEUED_AGAIN) or isinstance(end, ToldToEnd):
                raise
            if not isinstance(end.code, int):  # else it has been told
                print(end.code, file=sys.stderr)
            _failed.append(overrides)

    return job


def end_if_some_failed() -> None:
    """End with the overrides of the jobs that failed.

    Raises:
        SystemExit: some did.
    """
    if _failed:
        lines = [
            f"{len(_failed)} of {counted(len(_started), 'job')} failed:",
            *(f"  {each}" for each in _failed),
        ]
        raise SystemExit("\n".join(lines))
