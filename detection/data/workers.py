"""What a loader's worker does before it loads anything."""

import cv2
import torch

from detection.system.endings import outlive_the_step


def one_thread(worker: int) -> None:
    """Keep a worker to one thread, and alive until the step that ends a run is done.

    Args:
        worker: its number, which does not matter.
    """
    outlive_the_step()
    # Workers times OpenCV's and torch's own threads would oversubscribe the machine.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
