"""Gives the trackers of experiments images with boxes, and a table of APs by class."""

import math

import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_only

from detection.callbacks.predictions import FirstImages, Seen
from detection.loggers.tracker import Tracker, going_on
from detection.tasks.base import DetectionTask


class TrackedDetections(FirstImages):
    """Sends the first images of evaluations, with their boxes, and at the end a table of APs by class.

    Args:
        tracker: who gets them, by ``Tracker.tracker_name``; None for all.
        num_images: how many images.
        every_n_epochs: how often, during training; the test of the best checkpoint always sends them.
        threshold: lowest score to send.
    """

    def __init__(
        self,
        tracker: str | None = None,
        num_images: int = 8,
        every_n_epochs: int = 5,
        threshold: float = 0.5,
    ) -> None:
        super().__init__(num_images, every_n_epochs)
        self.tracker = tracker
        self.threshold = threshold

    @property
    def state_key(self) -> str:
        """One for each tracker, which Lightning asks of callbacks of one class."""
        return f"{type(self).__qualname__}.{self.tracker}"

    def show(self, trainer: pl.Trainer, task: DetectionTask, stage: str, seen: list[Seen]) -> None:
        """Send the images."""
        for tracker in self._trackers(trainer):
            with going_on(tracker):
                tracker.log_detections(stage, seen, task.class_names, self.threshold, trainer.global_step)

    @rank_zero_only
    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Send the table."""
        assert isinstance(pl_module, DetectionTask)
        aps = {name: float(trainer.callback_metrics[f"test/ap/{name}"]) for name in pl_module.class_names}
        defined = {name: None if math.isnan(ap) else ap for name, ap in aps.items()}
        for tracker in self._trackers(trainer):
            with going_on(tracker):
                tracker.log_aps("test", defined, trainer.global_step)

    def _trackers(self, trainer: pl.Trainer) -> list[Tracker]:
        trackers = [logger for logger in trainer.loggers if isinstance(logger, Tracker)]
        return [tracker for tracker in trackers if self.tracker in (None, tracker.tracker_name)]
