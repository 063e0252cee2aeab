"""The one interface of trackers of experiments: what each of them gets of a detector's run."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pytorch_lightning.loggers import Logger

from detection.callbacks.predictions import Seen
from detection.drawing.painter import draw_marks, outcome_marks
from detection.metrics.outcomes import outcomes_of_image
from detection.system.errors import first_line

REPORT = ("curves.png", "predictions.png", "metrics.json", "metrics.csv")
"""What a run leaves in its folder for readers, as far as it does."""
# What Lightning calls while a run runs. That a configuration cannot be kept ends a run that has just begun.
_CALLED = ("log_metrics", "save", "after_save_checkpoint", "finalize")


class Tracker(ABC):
    """What a tracker of experiments takes beside metrics and configuration, which Lightning's loggers take.

    A tracker is a class of two parents: this one, and one of Lightning's loggers, whose ``log_metrics`` gets
    losses, learning rates and AP by class, and whose ``log_hyperparams`` gets the resolved configuration.
    """

    tracker_name: ClassVar[str]
    """By which ``TrackedDetections`` finds it, such as ``wandb``."""

    @abstractmethod
    def log_detections(
        self, stage: str, seen: Sequence[Seen], class_names: Sequence[str], threshold: float, step: int
    ) -> None:
        """Show images with the boxes that are there and those that were found.

        Args:
            stage: ``val`` or ``test``.
            seen: one or more images.
            class_names: names by label.
            threshold: lowest score to show.
            step: optimizer steps done.
        """

    @abstractmethod
    def log_aps(self, stage: str, aps: Mapping[str, float | None], step: int) -> None:
        """Show a table of APs.

        Args:
            stage: ``test``.
            aps: by class; None of a class without objects.
            step: optimizer steps done.
        """

    @abstractmethod
    def log_report(self, files: Sequence[Path]) -> None:
        """Keep what the run leaves, once it is complete.

        Args:
            files: those of ``REPORT`` that are there.
        """

    @abstractmethod
    def close(self, exit_code: int) -> None:
        """End the run.

        Args:
            exit_code: 0 for success; any other marks the run as failed.
        """


@contextmanager
def closing_trackers(loggers: Sequence[Logger], folder: str) -> Iterator[None]:
    """Give the trackers the report of a run after the block, and end their runs.

    The next job of a sweep gets runs of its own. A run that is left by an exception is marked as failed, and
    has no report.

    Args:
        loggers: any loggers.
        folder: of the run.
    """
    trackers = [logger for logger in loggers if isinstance(logger, Tracker)]
    exit_code = 1
    try:
        yield
        exit_code = 0
        files = [path for name in REPORT if (path := Path(folder, name)).is_file()]
        for tracker in trackers:
            with going_on(tracker):
                tracker.log_report(files)
    finally:
        for tracker in trackers:
            with going_on(tracker):
                tracker.close(exit_code)


@contextmanager
def going_on(logger: Tracker | Logger) -> Iterator[None]:
    """Report the failure of a logger in one line, once, and continue: the training matters more.

    Args:
        logger: one of whose methods is called in the block.
    """
    try:
        yield
    except Exception as error:  # of code that may be anybody's
        name = getattr(logger, "tracker_name", type(logger).__name__)
        line = f"{name} does not take this ({_said(error)}); the run goes on."
        told = vars(logger).setdefault("_told", set())
        if line not in told:
            told.add(line)
            print(line, flush=True)


def guarded(logger: Logger) -> Logger:
    """Let no failure of a logger end a run, see ``going_on``.

    Args:
        logger: any of Lightning's, or one's own; it is changed.
    """
    for name in _CALLED:
        setattr(logger, name, _going_on(logger, getattr(logger, name)))
    return logger


def _going_on(logger: Logger, method: Callable[..., Any]) -> Callable[..., None]:
    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> None:
        with going_on(logger):
            method(*args, **kwargs)

    return call


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {first_line(error)}" if str(error) else type(error).__name__


def drawn(seen: Seen, class_names: Sequence[str], threshold: float) -> NDArray[np.uint8]:
    """Draw an image with what was found, right or wrong, and what was missed: for trackers of pictures alone.

    Args:
        seen: the image.
        class_names: names by label.
        threshold: lowest score that counts.

    Returns:
        ``(H, W, 3)`` RGB, at the original size.
    """
    outcomes = outcomes_of_image(seen.detections, seen.target, threshold)
    return draw_marks(seen.image, outcome_marks(outcomes, class_names))
