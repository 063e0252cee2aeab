"""Row 15: the whole SSD300 as an ONNX file, with suppression, against our own model."""

import math
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.harness import Benchmark, Result, timed
from detection.data.transforms import ssd_eval_transform
from detection.exporting.build import build_program
from detection.exporting.programs import IN_ONNX
from detection.exporting.runners import detections_of, open_exported
from detection.exporting.writers import write_onnx
from detection.models.ssd import SSD
from detection.models.zoo import get_model
from detection.prediction.trained import TrainedDetector
from detection.tasks.schedules import Cosine
from detection.tasks.ssd import SSDTask

_SIZE = 300
_CANDIDATES = 300


def task(channels_last: bool) -> SSDTask:
    """An SSD300 that finds a few hundred candidates, as a trained one does."""
    torch.manual_seed(0)
    network = get_model("ssd_300_vgg16_atrous_voc", pretrained_backbone=False)
    assert isinstance(network, SSD)
    made = SSDTask(
        nn.Identity(),
        lambda backbone, num_classes: network,
        [f"class {number}" for number in range(network.num_classes)],
        torch.optim.SGD,
        Cosine(),
        channels_last=channels_last,
    )
    made.describe(model={}, data={"size": _SIZE})
    return made.eval()


@torch.no_grad()
def favour_background(network: SSD, image: NDArray[np.uint8]) -> None:
    """Shift the background's logits so that a few hundred scores of an image are candidates."""
    logits = network(torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0)).logits[0]
    margins = (logits[:, 1:] - logits[:, :1]).flatten()
    shift = margins.topk(_CANDIDATES).values[-1] - math.log(0.01)
    for head in network.class_heads:
        head[-1].bias[:: network.num_classes + 1] += shift  # type: ignore[index]


def onnx() -> Iterator[Result]:
    """Row 15."""
    image = np.random.default_rng(0).integers(0, 256, (_SIZE, _SIZE, 3), dtype=np.uint8)
    batch = np.ascontiguousarray(image.transpose(2, 0, 1)[None])
    for layout, channels_last in (("", False), (" in channels_last", True)):
        made = task(channels_last)
        favour_background(made.network, image)
        detector = TrainedDetector(made, ssd_eval_transform(_SIZE), {"data": {"collate": "padded"}})
        with tempfile.TemporaryDirectory(prefix="onnx-") as folder:
            path = Path(folder) / "ssd.onnx"
            write_onnx(build_program(made, IN_ONNX, "uint8"), path, {})
            run = open_exported(path, threads=1)
        (ours,), theirs = detector([image]), detections_of(run(batch), 0)
        assert len(ours["scores"]) == len(theirs["scores"]) > 10
        torch.testing.assert_close(theirs["scores"], ours["scores"], rtol=1e-3, atol=1e-4)
        work = f"SSD300-VGG16 to detections in onnxruntime, batch 1, against our eager model{layout}"
        yield timed("15", work, partial(run, batch), partial(detector, [image]), at_most=0.85, rounds=7)


ROWS: dict[str, Benchmark] = {"15": onnx}
