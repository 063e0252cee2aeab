"""Detectors without training, whose scores are nevertheless apart."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from detection.models.faster_rcnn import FasterRCNN
from detection.models.ssd import SSD
from detection.tasks.base import DetectionTask
from detection.tasks.faster_rcnn import FasterRCNNTask
from detection.tasks.schedules import Cosine
from detection.tasks.ssd import SSDTask
from tests.spread import spread


@pytest.fixture(scope="session")
def make_task() -> Callable[..., DetectionTask]:
    """Makes a task of a network and the size of its inputs; further arguments are the task's."""

    def make(network: SSD | FasterRCNN, size: int | list[int], **options: Any) -> DetectionTask:
        names = [f"class {i}" for i in range(network.num_classes)]
        kind: Any = SSDTask if isinstance(network, SSD) else FasterRCNNTask
        task: DetectionTask = kind(
            nn.Identity(),
            lambda backbone, num_classes: network,
            names,
            torch.optim.SGD,
            Cosine(),
            **options,
        )
        task.describe(model={}, data={"size": size})
        return task.eval()

    return make


@pytest.fixture(scope="session")
def spread_scores() -> Callable[[SSD | FasterRCNN, Tensor, float], None]:
    """See ``spread``."""
    return spread
