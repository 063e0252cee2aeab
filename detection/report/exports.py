"""Detections in the formats of the VOC devkit and of COCO, for their own evaluators."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detection.data.formats.voc import to_voc_corners
from detection.metrics.tables import areas_of
from detection.system.files import file_names, write_text
from detection.system.wording import folded
from detection.types import Detections, Target


def write_devkit_results(
    folder: Path, detections: Sequence[Detections], targets: Sequence[Target], class_names: Sequence[str]
) -> None:
    """Write ``comp4_det_test_<class>.txt`` for each class, as the VOC devkit reads them.

    A line holds the image's id without its folder, the score, and the box as VOC's corners.
    Numbers keep all their digits, so that evaluators rank and overlap them exactly as they were found.

    Args:
        folder: where to write; made if it is not there.
        detections: of each image.
        targets: of each image; their ids are used.
        class_names: by label.

    Where two images have the same id but for the folder, ids keep their folder. The letters of a class that a
    file's name cannot have are written as in addresses: ``Bowl%2FBasin``.
    """
    names = [Path(target["image_id"]).name for target in targets]
    if len(set(names)) < len(names):
        print("Images of different folders have one name: the devkit's files name images with their folders.")
        names = [target["image_id"].replace(" ", "%20") for target in targets]
    lines: list[list[str]] = [[] for _ in class_names]
    for name, found in zip(names, detections, strict=True):
        for box, score, label in _rows(found):
            corners = " ".join(map(repr, to_voc_corners(box)))
            lines[label].append(f"{name} {score!r} {corners}\n")
    folder.mkdir(parents=True, exist_ok=True)
    for name, of_class in zip(file_names(class_names), lines, strict=True):
        write_text(folder / f"comp4_det_test_{name}.txt", "".join(of_class))


def write_coco_results(
    folder: Path,
    detections: Sequence[Detections],
    targets: Sequence[Target],
    class_names: Sequence[str],
    category_ids: Mapping[str, int],
    files: Sequence[str],
) -> None:
    """Write ``results.json`` and, with the same ids, ``ground_truth.json``, as COCO's evaluators read them.

    Categories have the ids of a COCO set's own file; those that it has not are numbered beyond these, in
    label order, and of other sets from 1. An image's id is the number that its name is, where all images have
    one of their own (``VOC2007/000005`` is 5); else images are numbered from 1. Difficult objects are crowd
    regions, as in ``coco_ap``.

    Args:
        folder: where to write; made if it is not there.
        detections: of each image.
        targets: of each image.
        class_names: by label.
        category_ids: the data's own, by the name of the class; empty where it has none.
        files: the name of each image's file.
    """
    numbers = {folded(name): number for name, number in category_ids.items()}
    beyond = itertools.count(max(numbers.values(), default=0) + 1)
    known = [numbers.get(folded(name)) for name in class_names]
    categories = [next(beyond) if number is None else number for number in known]
    ids = coco_image_ids([target["image_id"] for target in targets])
    results = [
        {"image_id": image_id, "category_id": categories[label], "bbox": _xywh(box), "score": score}
        for image_id, found in zip(ids, detections, strict=True)
        for box, score, label in _rows(found)
    ]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, target, file_name in zip(ids, targets, files, strict=True):
        height, width = target["size"]
        images.append({"id": image_id, "file_name": file_name, "height": height, "width": width})
        columns = target["boxes"], target["labels"], target["difficult"], areas_of(target)
        for box, label, difficult, area in zip(*(column.tolist() for column in columns), strict=True):
            left, top, wide, high = _xywh(box)
            annotation = {"id": len(annotations) + 1, "image_id": image_id, "category_id": categories[label]}
            annotation |= {"bbox": [left, top, wide, high], "area": area}
            annotations.append({**annotation, "iscrowd": int(difficult), "difficult": int(difficult)})
    named = [{"id": number, "name": name} for number, name in zip(categories, class_names, strict=True)]
    document = {"info": {}, "images": images, "categories": named, "annotations": annotations}
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "results.json", json.dumps(results))
    write_text(folder / "ground_truth.json", json.dumps(document))


def coco_image_ids(image_ids: Sequence[str]) -> list[int]:
    """Number images as ``write_coco_results`` does."""
    names = [Path(image_id).name for image_id in image_ids]
    numbers = [int(name) for name in names if name.isascii() and name.isdigit()]
    return numbers if len(set(numbers)) == len(names) else list(range(1, len(names) + 1))


def _rows(found: Detections) -> "zip[tuple[list[float], float, int]]":
    boxes, scores, labels = found["boxes"].tolist(), found["scores"].tolist(), found["labels"].tolist()
    return zip(boxes, scores, labels, strict=True)


def _xywh(box: list[float]) -> list[float]:
    x1, y1, x2, y2 = box
    return [x1, y1, x2 - x1, y2 - y1]
