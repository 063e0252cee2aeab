"""``model.compile=true`` changes nothing but the speed."""

import shutil
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from benchmarks.training.speed import Way, fit, make_batch, make_task
from detection.tasks.faster_rcnn import FasterRCNNTask

PLAIN = Way("plain", theirs=False, channels_last=True, compiled=False)
COMPILED = PLAIN._replace(name="compiled", compiled=True)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("c++"), reason="torch.compile needs a C++ compiler on a CPU"),
]


def test_a_compiled_ssd_says_the_same() -> None:
    images = torch.randint(0, 256, (2, 3, 128, 128), dtype=torch.uint8)
    plain, compiled = (make_task("quickstart", way)[0].eval() for way in (PLAIN, COMPILED))
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    with torch.no_grad():
        expected, found = plain(images), compiled(images)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_compiled_faster_rcnn_proposes_the_same() -> None:
    images = [torch.randint(0, 256, (3, 128, 96), dtype=torch.uint8) for _ in range(2)]
    plain, compiled = (make_task("quickstart_faster_rcnn", way)[0].eval() for way in (PLAIN, COMPILED))
    assert isinstance(plain, FasterRCNNTask)
    assert isinstance(compiled, FasterRCNNTask)
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    with torch.no_grad():
        expected, found = plain.propose(images), compiled.propose(images)
    torch.testing.assert_close(found.rpn.logits, expected.rpn.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.rpn.deltas, expected.rpn.deltas, rtol=1e-4, atol=1e-4)


class Losses(pl.Callback):
    """Keeps the loss of every step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any
    ) -> None:
        self.seen.append(outputs["loss"].item())


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch hides it from users by itself
@pytest.mark.parametrize("experiment", ["quickstart", "quickstart_faster_rcnn"])
def test_a_compiled_network_learns_the_same(experiment: str) -> None:
    losses = []
    for way in (PLAIN, COMPILED):
        task, config = make_task(experiment, way)
        task.schedule = lambda step, total_steps: 0.01  # long steps would enlarge what rounding does
        batch = make_batch(config["data"]["collate"], config["data"]["size"], 4, torch.device("cpu"))
        torch.manual_seed(1)  # Faster R-CNN draws samples
        seen = Losses()
        fit(task, batch, "32-true", "cpu", 3, seen)
        losses.append(torch.tensor(seen.seen))
    assert losses[0][2] < losses[0][0]
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-3, atol=0)
