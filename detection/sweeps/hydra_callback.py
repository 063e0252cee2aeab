"""What Hydra calls when a sweep ends."""

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class SweepReport(Callback):
    """Ends a sweep with the table of its runs, and with exit status 1 and the reasons when some failed."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Report on the runs in the sweep's folder.

        Raises:
            SystemExit: naming the runs that failed.
        """
        from detection.sweeps.report import report

        runs = report(Path(config.hydra.sweep.dir))
        failed = [run for run in runs if run.status == "failed"]
        if failed:
            lines = [f"  {run.name}: {run.error.splitlines()[0]}" for run in failed]
            raise SystemExit("\n".join([f"{len(failed)} of {len(runs)} runs failed:", *lines]))
