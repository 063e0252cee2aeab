"""``model.compile=true`` changes nothing but the speed."""

import shutil

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from detection.cli import CONF, checked_config, model_config
from detection.tasks.faster_rcnn import FasterRCNNTask
from detection.tasks.ssd import SSDTask


def make_task(experiment: str, compiled: bool) -> SSDTask | FasterRCNNTask:
    overrides = [f"experiment={experiment}", f"model.compile={compiled}", "run_dir=/nowhere", "name=x"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = checked_config(compose("train", overrides=overrides))
    torch.manual_seed(0)
    task: SSDTask | FasterRCNNTask = instantiate(model_config(config, [str(i) for i in range(8)], None))
    return task.eval()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("c++"), reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_ssd_says_the_same() -> None:
    images = torch.randint(0, 256, (2, 3, 128, 128), dtype=torch.uint8)
    plain, compiled = (make_task("quickstart", on) for on in (False, True))
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    with torch.no_grad():
        expected, found = plain(images), compiled(images)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("c++"), reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_faster_rcnn_proposes_the_same() -> None:
    images = [torch.randint(0, 256, (3, 128, 96), dtype=torch.uint8) for _ in range(2)]
    plain, compiled = (make_task("quickstart_faster_rcnn", on) for on in (False, True))
    assert isinstance(plain, FasterRCNNTask)
    assert isinstance(compiled, FasterRCNNTask)
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    with torch.no_grad():
        expected, found = plain.propose(images), compiled.propose(images)
    torch.testing.assert_close(found.rpn.logits, expected.rpn.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.rpn.deltas, expected.rpn.deltas, rtol=1e-4, atol=1e-4)
