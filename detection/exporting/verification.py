"""Whether an exported file finds what the network finds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detection.exporting.build import decisions
from detection.exporting.comparison import Difference, Thresholds, compare
from detection.exporting.proposal_comparison import share_in_common
from detection.exporting.runners import Outputs, Runner, detections_of, proposals_of
from detection.exporting.scenes import Scene
from detection.models.faster_rcnn import FasterRCNNOutput
from detection.tasks.base import DetectionTask
from detection.tasks.faster_rcnn import FasterRCNNTask
from detection.tasks.ssd import SSDTask
from detection.types import Detections

# In one image, such as one of plain colour, all scores may be equal and every detection borderline; in all
# images together that would hide errors.
_MOST_BORDERLINE = 0.1
# Of thousands of nearly equal candidates, rounding decides a few otherwise.
LEAST_COMMON_PROPOSALS = 0.95


@dataclass(frozen=True)
class Result:
    """What one image showed."""

    name: str
    size: tuple[int, int]
    """``(height, width)`` of the input."""
    batch: int
    """Images that the file was given at once, this one among them."""
    difference: Difference
    common_proposals: float | None
    """Share of the network's proposals that the file has too; None for SSD."""

    @property
    def tolerable(self) -> bool:
        """Whether the file is right about this image."""
        common = self.common_proposals is None or self.common_proposals >= LEAST_COMMON_PROPOSALS
        return common and self.difference.tolerable


def agree(results: Sequence[Result]) -> bool:
    """Whether a file with these results may be used."""
    detections = sum(result.difference.count + result.difference.file_count for result in results)
    borderline = sum(result.difference.borderline for result in results)
    few = borderline <= 1 + _MOST_BORDERLINE * detections
    return few and all(result.tolerable for result in results)


def verify(task: DetectionTask, run: Runner, scenes: Sequence[Scene]) -> Iterator[Result]:
    """Compare image by image, then the first as a batch of three: itself, mirrored and upside down.

    Faster R-CNN is compared stage by stage: the file's proposals with the network's, then the detections
    of both from the file's proposals. Its suppression takes thousands of decisions, and one that rounding
    turns in the first stage would change detections that are as good.

    Args:
        task: the network, on the CPU.
        run: the exported file.
        scenes: at least one.
    """
    for scene in scenes:
        yield from _verify_batch(task, run, [scene])
    first = scenes[0]
    yield from _verify_batch(
        task,
        run,
        [
            first,
            Scene(f"{first.name}, mirrored", first.image.flip(2)),
            Scene(f"{first.name}, upside down", first.image.flip(1)),
        ],
    )


def _verify_batch(task: DetectionTask, run: Runner, scenes: Sequence[Scene]) -> Iterator[Result]:
    outputs = run(np.stack([scene.image.numpy() for scene in scenes]))
    decide = decisions(task)
    thresholds = Thresholds(decide["score_threshold"], decide["nms_threshold"], decide["max_detections"])
    for i, scene in enumerate(scenes):
        ours, common = _reference(task, scene.image, outputs, i)
        difference = compare(ours, detections_of(outputs, i), thresholds)
        size = (scene.image.shape[1], scene.image.shape[2])
        yield Result(scene.name, size, len(scenes), difference, common)


@torch.inference_mode()
def _reference(
    task: DetectionTask, image: Tensor, outputs: Outputs, index: int
) -> tuple[Detections, float | None]:
    """What the network finds in one image, and the share of its proposals that the file has too."""
    if isinstance(task, SSDTask):
        return task.select(task(image.unsqueeze(0)), (image.shape[1], image.shape[2]))[0], None
    assert isinstance(task, FasterRCNNTask)
    stage = task.propose([image])
    proposals = proposals_of(outputs, index)
    roi = task.network.roi_head(stage.features, [proposals])
    found = task.select(FasterRCNNOutput(stage.rpn, [proposals], roi, stage.sizes))[0]
    return found, share_in_common(stage.proposals[0], proposals, stage.rpn, stage.sizes[0])
