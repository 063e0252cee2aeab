"""A network without its training has the arguments of its task that predicting needs, and the defaults."""

import inspect

import pytest

from detection.models.inference import FasterRCNNAlone, SSDAlone
from detection.registry import ALONE, constructor
from detection.tasks.faster_rcnn import FasterRCNNTask
from detection.tasks.ssd import SSDTask


@pytest.mark.parametrize(("task", "alone"), [(SSDTask, SSDAlone), (FasterRCNNTask, FasterRCNNAlone)])
def test_a_network_alone_takes_what_its_task_takes(task: type, alone: type) -> None:
    assert constructor(ALONE[f"{task.__module__}.{task.__name__}"]) is alone
    all_arguments = inspect.signature(task).parameters
    for name, parameter in inspect.signature(alone).parameters.items():
        same = all_arguments[name]
        assert (parameter.default, parameter.annotation) == (same.default, same.annotation), name
