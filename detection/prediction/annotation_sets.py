"""What was found as a data set: to correct in a labelling tool, to check, and to train on."""

from collections.abc import Sequence
from pathlib import Path

from detection.data.conversion import WRITERS
from detection.data.conversion_source import Format
from detection.data.formats.records import ImageRecord, ObjectRecord
from detection.data.image_files import read_header
from detection.data.image_sources import MARK
from detection.data.orientation import boxes_as_stored, size_as_stored
from detection.prediction.writing import Result
from detection.system.files import folder_written_whole

_SPLIT = "train"
_SMALLEST = 1  # pixel of a side: what is smaller is at the image's edge, and nothing to label


def write_set(
    kind: Format, output: Path, results: Sequence[Result], names: Sequence[str], link: bool
) -> tuple[Path, int]:
    """Write the images and what was found in them, all as images to train on, with scores beside.

    Boxes of VOC are in the pixels as stored, those of COCO and YOLO in the image as shown: so these formats
    are read. Boxes without a pixel are left out.

    Args:
        kind: the format.
        output: the folder in which the set gets one of the format's name.
        results: one or more images.
        names: class names by label; ``classes.txt`` has them, too.
        link: link to the images instead of copying them.

    Returns:
        The root of the set, and how many boxes were left out.
    """
    root, records, scores = output / kind, [], {}
    for result in results:
        record, scores[result.file.path] = _record(result, names, upright=kind != "voc")
        records.append(record)
    with folder_written_whole(root) as fresh:
        WRITERS[kind](fresh, {_SPLIT: records}, list(names), link, scores)
        (fresh / MARK).touch()
        (fresh / "classes.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    found = sum(len(result.detections["labels"]) for result in results)
    return root, found - sum(map(len, scores.values()))


def _record(result: Result, names: Sequence[str], upright: bool) -> tuple[ImageRecord, list[float]]:
    """The image with its objects, and their scores."""
    boxes, size = result.detections["boxes"], result.size
    orientation = 1 if upright else read_header(result.file.path).orientation
    stored = boxes_as_stored(boxes, orientation, size).tolist()
    found = [
        (ObjectRecord(names[label], (x1, y1, x2, y2), False), score)
        for (x1, y1, x2, y2), score, label in zip(
            stored, result.detections["scores"].tolist(), result.detections["labels"].tolist(), strict=True
        )
        if min(x2 - x1, y2 - y1) >= _SMALLEST
    ]
    objects = tuple(item for item, _ in found)
    size = size_as_stored(size, orientation)
    record = ImageRecord(result.file.name, str(result.file.path), size, objects, "", upright=upright)
    return record, [score for _, score in found]
