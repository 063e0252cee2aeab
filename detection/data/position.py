"""How far a training has come in its data, to be resumed there without loading what is done; its workers."""

import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader

from detection.system.endings import hears_signals, outlive_the_step


@dataclass(frozen=True)
class Position:
    """A place between two optimizer steps."""

    epoch: int = 0
    step: int = 0
    """Steps of this epoch that are done."""
    num_steps: int = 1
    """Of an epoch."""

    @staticmethod
    def of(trainer: Any, num_steps: int) -> "Position":
        """Where a trainer is, when its loops are between two steps.

        Args:
            trainer: Lightning's.
            num_steps: of an epoch.
        """
        epochs, batches = trainer.fit_loop.epoch_progress.current, trainer.fit_loop.epoch_loop.batch_progress
        if epochs.processed == epochs.started:
            return Position(epochs.processed, 0, num_steps)
        done = math.ceil(batches.current.processed / trainer.accumulate_grad_batches)
        return Position(epochs.processed, done, num_steps)

    def steps_done(self, num_steps: int) -> int:
        """How many steps of the epoch are done where it has another number of them."""
        return same_share(self.step, self.num_steps, num_steps)


def same_share(done: int, before: int, now: int) -> int:
    """How many of ``now`` are done where ``done`` of ``before`` were, rounded down."""
    return done * now // before


class ResumableLoader(DataLoader[Any]):
    """Tells the trainer that it can begin in the middle of an epoch.

    The trainer would hand it a state, but too late where a schedule asks for the number of batches. So there
    is none: the datamodule keeps the position, and the batch sampler begins there.
    """

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to do."""


def start_of_worker() -> Callable[[int], None]:
    """What a loader's worker does first: it keeps to one thread, and outlives the step that ends a run."""
    return partial(_start, hears=hears_signals())  # a worker that is not forked knows nothing of that


def _start(worker: int, hears: bool) -> None:
    if hears:
        outlive_the_step()
    # Workers times OpenCV's and torch's own threads would oversubscribe the machine.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _wait_before_fork() -> None:
    """Let gloo's threads, which drop tensors after a collective, get into Python and out of it.

    Before 3.11.8 a process that forks while such a thread enters Python never gets beyond the fork, where it
    waits for a lock that nobody has (CPython's issue 112275): the run ends after ``data.timeout``.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        time.sleep(0.02)


if sys.version_info < (3, 11, 8) and hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_wait_before_fork)
