"""Row 4: from SSD's outputs to detections; torchvision's rules, 400 candidates of each class."""

from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.ssd import SSD

from benchmarks.counting import as_on_a_gpu, count_operations
from benchmarks.detector_outputs import SIZE, raw_predictions, ssd300_anchors, trained_logits
from benchmarks.harness import Benchmark, Result, counted, timed
from detection.models.ssd import BOX_STDS
from detection.ops.postprocess import select_detections

_TOP, _KEPT = 400, 200


@torch.no_grad()
def select(logits: Tensor, deltas: Tensor, anchors: Tensor) -> list[Any]:
    """Ours."""
    return list(
        select_detections(
            logits,
            deltas,
            anchors,
            SIZE,
            BOX_STDS,
            topk=_TOP,
            max_detections=_KEPT,
            topk_per_class=True,
        )
    )


@torch.no_grad()
def torchvision_select(logits: Tensor, deltas: Tensor, anchors: Tensor) -> list[Any]:
    """Torchvision's."""
    network = SimpleNamespace(
        box_coder=BoxCoder((10.0, 10.0, 5.0, 5.0)),
        score_thresh=0.01,
        nms_thresh=0.45,
        topk_candidates=_TOP,
        detections_per_img=_KEPT,
    )
    outputs = {"bbox_regression": deltas, "cls_logits": logits}
    batch_size = len(logits)
    found: list[Any] = SSD.postprocess_detections(
        network, outputs, [anchors] * batch_size, [SIZE] * batch_size
    )
    return found


def detections() -> Iterator[Result]:
    """Row 4."""
    anchors = ssd300_anchors()
    new, deltas = raw_predictions(8, len(anchors))
    trained = trained_logits(8, len(anchors))
    for name, logits, at_most in (("trained-like", trained, 0.30), ("untrained", new, 0.18)):
        _check_same(select(logits, deltas, anchors), torchvision_select(logits, deltas, anchors))
        yield timed(
            "4",
            f"SSD detections, batch 8, {name}",
            partial(select, logits, deltas, anchors),
            partial(torchvision_select, logits, deltas, anchors),
            at_most,
        )
    logits, (_, deltas) = trained_logits(32, len(anchors)), raw_predictions(32, len(anchors))
    with as_on_a_gpu():
        ours = count_operations(partial(select, logits, deltas, anchors))
    theirs = count_operations(partial(torchvision_select, logits, deltas, anchors))
    yield counted(
        "4", "the same on a GPU, batch 32, trained-like", ours.kernels, 350, "kernels", theirs.kernels
    )
    yield counted("4", "the same on a GPU, batch 32, trained-like", ours.syncs, 64, "syncs", theirs.syncs)


def _check_same(ours: list[Any], theirs: list[Any]) -> None:
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found["scores"], expected["scores"])
        torch.testing.assert_close(found["boxes"], expected["boxes"], rtol=1e-5, atol=1e-3)
        assert torch.equal(found["labels"] + 1, expected["labels"])  # torchvision counts the background


ROWS: dict[str, Benchmark] = {"4": detections}
