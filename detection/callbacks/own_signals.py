"""Lightning's trainer leaves SIGTERM to :mod:`detection.system.endings`."""

import signal

import pytorch_lightning as pl
from pytorch_lightning.trainer.connectors.signal_connector import _SignalConnector


class OwnSignals(_SignalConnector):
    """Lightning's handling of signals without that of SIGTERM.

    Lightning's own broadcasts the signal from inside of the handler. A process that is in the middle of
    another exchange then waits for ever, and one process alone goes on to the end of its step and exits with
    status 0. The signal by which Slurm queues a job again stays.
    """

    def register_signal_handlers(self) -> None:
        """Register all but one."""
        ours = signal.getsignal(signal.SIGTERM)
        super().register_signal_handlers()
        self._register_signal(signal.SIGTERM, ours)


def keep_own_signals(trainer: pl.Trainer) -> None:
    """Leave SIGTERM as it is while a trainer works.

    Args:
        trainer: before its first run.
    """
    trainer._signal_connector = OwnSignals(trainer)
