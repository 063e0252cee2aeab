"""Whether an exported file finds what the network finds: on which images, and as a table."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detection.data.dataset import DetectionDataset
from detection.data.image_files import ImageError, decode_image
from detection.data.image_sources import ImageFiles, find_source
from detection.data.shape_drawing import draw_image
from detection.exporting.build import decisions
from detection.exporting.comparison import Difference, Thresholds, compare, share_in_common
from detection.exporting.runners import Outputs, Runner, detections_of, proposals_of
from detection.models.faster_rcnn import FasterRCNNOutput
from detection.system.wording import counted
from detection.tasks.base import DetectionTask
from detection.tasks.faster_rcnn import FasterRCNNTask
from detection.tasks.ssd import SSDTask
from detection.types import Detections

Prepare = Callable[[NDArray[np.uint8]], Tensor]
"""From an ``(H, W, 3)`` RGB image to the detector's uint8 input ``(3, h, w)``."""

# Of generated images, (height, width): lying, upright and square ones.
_SIZES = ((300, 400), (400, 300), (320, 320))
_PLAIN_COLOUR = (124, 116, 104)


class Scene(NamedTuple):
    """One input."""

    name: str
    image: Tensor
    """uint8 ``(3, h, w)``."""


def spread(count: int, total: int) -> list[int]:
    """At most ``count`` of the numbers below ``total``, evenly spread, the first and the last among them."""
    rows: list[int] = np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist()
    return rows


def scenes_of_dataset(dataset: DetectionDataset, count: int) -> list[Scene]:
    """So many images of a set, spread over it. Its transform is the detector's."""
    return [Scene(dataset.image_ids[row], dataset[row].image) for row in spread(count, len(dataset))]


def scenes_of_files(source: str, count: int, prepare: Prepare) -> list[Scene]:
    """So many images of a folder or a pattern, spread over it. What cannot be read is told and passed over.

    Raises:
        FileNotFoundError: there is nothing there.
        ValueError: there is no image, or none can be read.
    """
    found = find_source(source)
    if not isinstance(found, ImageFiles):
        raise ValueError(f"images={source}: give an image, a folder of images or a quoted pattern.")
    files = [found.files[row] for row in spread(count, len(found.files))]
    scenes, refused = [], []
    for file in files:
        try:
            scenes.append(Scene(file.name, prepare(decode_image(file.path, upright=True))))
        except ImageError as error:
            refused.append(str(error))
    if not scenes:
        raise ValueError("; ".join(refused))
    for reason in refused:
        print(f"Passed over: {reason}")
    return scenes


def generated_scenes(count: int, seed: int, prepare: Prepare) -> list[Scene]:
    """So many drawings of several sizes."""
    scenes = []
    for i in range(count):
        height, width = _SIZES[i % len(_SIZES)]
        drawing = draw_image(np.random.default_rng((seed, i)), max(height, width)).image
        scenes.append(Scene(f"generated {i + 1}", prepare(drawing[:height, :width])))
    return scenes


def plain_scene(prepare: Prepare) -> Scene:
    """A scene of one colour, in which a trained detector finds little or nothing."""
    return Scene("plain colour", prepare(np.full((*_SIZES[0], 3), _PLAIN_COLOUR, np.uint8)))


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


# Of a line: 80 columns have room for it.
_WIDTHS = (8, 5, 5, 7, 7, 9, 10)


def _line(name: str, *cells: str) -> str:
    short = name if len(name) <= 20 else f"...{name[-17:]}"
    return f"{short:<20} " + " ".join(f"{cell:>{width}}" for cell, width in zip(cells, _WIDTHS, strict=True))


HEADING = _line("image", "input", "batch", "found", "in file", "box, px", "score", "borderline")


def row(result: Result) -> str:
    """One image: its size, detections of both, largest differences, and a reason if they are too large."""
    difference = result.difference
    line = _line(
        result.name,
        f"{result.size[1]}x{result.size[0]}",
        str(result.batch),
        str(difference.count),
        str(difference.file_count),
        f"{difference.box:.5f}",
        f"{difference.score:.7f}",
        str(difference.borderline),
    )
    return line if result.tolerable else f"{line}   {_reason(result)}"


def summary(results: list[Result]) -> str:
    """The largest differences of all images."""
    differences = [result.difference for result in results]
    shares = [result.common_proposals for result in results if result.common_proposals is not None]
    proposals = f", at least {min(shares):.1%} of proposals in common" if shares else ""
    borderline = sum(difference.borderline for difference in differences)
    doubtful = f", {counted(borderline, 'borderline detection')}" if borderline else ""
    return (
        f"boxes within {max(difference.box for difference in differences):.5f} px, "
        f"scores within {max(difference.score for difference in differences):.7f}{proposals}{doubtful}"
    )


def _reason(result: Result) -> str:
    difference = result.difference
    if difference.unexplained:
        return f"<- without a partner: {counted(difference.unexplained, 'detection')}"
    if result.common_proposals is not None and result.common_proposals < LEAST_COMMON_PROPOSALS:
        return f"<- only {result.common_proposals:.0%} of the proposals are the same"
    return "<- differs too much"
