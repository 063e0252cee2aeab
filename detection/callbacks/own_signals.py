"""Lightning's trainer leaves signals to :mod:`detection.system.endings`."""

import os
import signal
import subprocess
from collections.abc import Callable
from functools import partial

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from pytorch_lightning.strategies.launchers.subprocess_script import _SubprocessScriptLauncher
from pytorch_lightning.trainer.connectors.signal_connector import _SignalConnector

from detection.system import endings
from detection.system.processes import slurm_job


class OwnSignals(_SignalConnector):
    """Lightning's handling of signals without that of SIGTERM, and without that of Slurm's.

    Lightning's own broadcasts SIGTERM from inside of the handler. A process that is in the middle of another
    exchange then waits for ever, and one process alone goes on to the end of its step and exits with status
    0. At the signal by which Slurm announces the end of a job, it writes a checkpoint at once, in the middle
    of a step. Here both end the run where its step is complete.
    """

    def register_signal_handlers(self) -> None:
        """Register all but those."""
        ours = signal.getsignal(signal.SIGTERM)
        super().register_signal_handlers()
        self._register_signal(signal.SIGTERM, ours)
        # By the second one submitit is warned, which queues a job of a sweep again by itself.
        for announces in (announcing(self.trainer), getattr(signal, "SIGUSR2", None)):
            if announces is not None:
                endings.hear_also(announces)


def keep_own_signals(trainer: pl.Trainer) -> None:
    """Leave signals to this program while a trainer works.

    Args:
        trainer: before its first run.
    """
    trainer._signal_connector = OwnSignals(trainer)
    launcher = trainer.strategy.launcher
    if isinstance(launcher, _SubprocessScriptLauncher):
        start = partial(_deaf_to_ctrl_c, launcher._call_children_scripts)
        launcher._call_children_scripts = start  # type: ignore[method-assign]


def _deaf_to_ctrl_c(start: Callable[[], None]) -> None:
    """Start the other processes of a run: Ctrl-C reaches them, too, and would end one while it imports.

    They inherit what is blocked here, and ignore Ctrl-C once they can.
    """
    if os.name != "posix":
        start()
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def announcing(trainer: pl.Trainer) -> int | None:
    """The signal by which Slurm, or whoever else, says that a run is about to be ended; None on Windows."""
    environment = trainer._accelerator_connector.cluster_environment
    asked = environment.requeue_signal if isinstance(environment, SLURMEnvironment) else None
    return asked or getattr(signal, "SIGUSR1", None)


def queue_again(trainer: pl.Trainer) -> str:
    """Let Slurm queue the job again that it is about to end; it then resumes in its own folder.

    Args:
        trainer: of the run.

    Returns:
        A line for the user; nothing where this is no job of Slurm's, or is not to be queued again.
    """
    job = slurm_job()
    environment = trainer._accelerator_connector.cluster_environment
    if not job or not getattr(environment, "auto_requeue", True):
        return ""
    try:
        subprocess.run(["scontrol", "requeue", job], check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", "") or error).strip()
        return f"Slurm does not queue job {job} again ({said}): submit it anew with the command below."
    return f"Slurm queues job {job} again, which then resumes by itself."
