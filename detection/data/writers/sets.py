"""Whole sets as files: the images and annotations of each split, laid out as each format has them."""

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.progress import track

from detection.data.formats.records import ImageRecord
from detection.data.writers.coco_writer import COCOWriter
from detection.data.writers.voc_writer import write_voc
from detection.data.writers.yolo_writer import write_data_yaml, write_yolo_labels
from detection.system.files import distinct, file_names
from detection.system.wording import folded, wrong_file_name

Sets = dict[str, list[ImageRecord]]
"""The images of each split, by the split's name."""
Scores = Mapping[Path, Sequence[float]]
"""Those of the objects of each image, in their order, by the image's path; of sets of detections."""


_LONGEST = 250  # bytes of a name without its ending; most disks take 255 in all


class COCOLayout(NamedTuple):
    """Where a COCO set keeps its parts, relative to its root; ``{split}`` stands for the split's name."""

    images: str
    annotations: str

    def of(self, split: str) -> tuple[str, str]:
        """Returns the folder of images and the JSON file of a split."""
        return self.images.replace("{split}", split), self.annotations.replace("{split}", split)


COCO_LAYOUT = COCOLayout("{split}2017", "annotations/instances_{split}2017.json")


def write_voc_set(
    folder: Path, sets: Sets, names: list[str], link: bool, scores: Scores | None = None
) -> None:
    """Writes ``Annotations``, ``JPEGImages`` and ``ImageSets/Main``.

    Args:
        folder: a folder that does not exist.
        sets: the images of each split, their objects named as in ``names``.
        names: class names, in the order of the labels.
        link: link to the images instead of copying them.
        scores: written as ``<score>`` of each object, where given.
    """
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    # All splits share one folder, and an image may be in several of them.
    everything = {record.path: record for records in sets.values() for record in records}
    stems = unique_stems(everything)
    for record in track(everything.values(), "Writing VOC"):
        image_name = stems[record.path] + record.path.suffix
        _place_image(record.path, folder / "JPEGImages" / image_name, link)
        boxes, labels, difficult = columns_of(record, names)
        annotation = folder / "Annotations" / f"{stems[record.path]}.xml"
        write_voc(annotation, image_name, record.size, boxes, labels, names, _of(record, scores), difficult)
    for name, records in sets.items():
        text = "".join(f"{stems[record.path]}\n" for record in records)
        (folder / "ImageSets" / "Main" / f"{name}.txt").write_text(text, encoding="utf-8")


def write_coco_set(
    folder: Path, sets: Sets, names: list[str], link: bool, scores: Scores | None = None
) -> None:
    """Writes a folder of images and a JSON file for each split, where COCO 2017 has them.

    Args:
        folder: a folder that does not exist.
        sets: the images of each split, their objects named as in ``names``.
        names: class names, in the order of the labels.
        link: link to the images instead of copying them.
        scores: written as ``score`` of each annotation, where given.
    """
    for name, records in sets.items():
        images, annotations = (folder / part for part in COCO_LAYOUT.of(name))
        images.mkdir(parents=True)
        annotations.parent.mkdir(exist_ok=True)
        stems, writer = unique_stems(record.path for record in records), COCOWriter(names)
        for record in track(records, f"Writing COCO: {name}"):
            image_name = stems[record.path] + record.path.suffix
            _place_image(record.path, images / image_name, link)
            boxes, labels, difficult = columns_of(record, names)
            areas = [item.area for item in record.objects]
            writer.add(image_name, record.size, boxes, labels, _of(record, scores), difficult, areas)
        writer.write(annotations)


def write_yolo_set(
    folder: Path, sets: Sets, names: list[str], link: bool, scores: Scores | None = None
) -> None:
    """Writes ``images/<split>``, ``labels/<split>`` and ``data.yaml``; with scores ``scores/<split>``.

    Args:
        folder: a folder that does not exist.
        sets: the images of each split, their objects named as in ``names``.
        names: class names, in the order of the labels.
        link: link to the images instead of copying them.
        scores: where given, a text file for each one with labels has that of each line: a column more would
            be taken for a label of another kind.
    """
    for name, records in sets.items():
        for part in ("images", "labels", *(["scores"] if scores is not None else [])):
            (folder / part / name).mkdir(parents=True)
        stems = unique_stems(record.path for record in records)
        for record in track(records, f"Writing YOLO: {name}"):
            stem = stems[record.path]
            _place_image(record.path, folder / "images" / name / (stem + record.path.suffix), link)
            boxes, labels, _ = columns_of(record, names)
            write_yolo_labels(folder / "labels" / name / f"{stem}.txt", record.size, boxes, labels)
            if scores is not None:
                lines = "".join(f"{score:.6f}\n" for score in scores[record.path])
                (folder / "scores" / name / f"{stem}.txt").write_text(lines, encoding="utf-8")
    write_data_yaml(folder / "data.yaml", names, {name: f"images/{name}" for name in sets})


def _of(record: ImageRecord, scores: Scores | None) -> Sequence[float] | None:
    return None if scores is None else scores[record.path]


def columns_of(record: ImageRecord, names: list[str]) -> tuple[list[Sequence[float]], list[int], list[bool]]:
    """Returns the boxes, the labels and the marks as difficult of an image's objects."""
    boxes: list[Sequence[float]] = [item.box for item in record.objects]
    labels = [names.index(item.name) for item in record.objects]
    return boxes, labels, [item.difficult for item in record.objects]


def unique_stems(paths: Iterable[Path]) -> dict[Path, str]:
    """Names each image as its file, or with its folder where two images share a name; no two are alike."""
    paths = dict.fromkeys(paths)
    counts = Counter(folded(path.stem) for path in paths)
    own = {path: path.stem for path in paths if counts[folded(path.stem)] == 1}
    others = {path: "_".join(path.parts[-3:]).replace(".", "_") for path in paths if path not in own}
    stems = own | others
    odd = [path for path, stem in stems.items() if not _in_any_set(stem)]
    stems |= zip(odd, file_names([stems[path] for path in odd]), strict=True)
    return dict(zip(stems, distinct(list(stems.values())), strict=True))


def _in_any_set(stem: str) -> bool:
    """Whether a reader would give an image's name back as it was written.

    A line of a list ends in no space, a backslash is of a folder, and what begins with a dot is hidden.
    """
    hidden = stem != stem.strip() or stem.startswith(".") or "\\" in stem
    return not (hidden or wrong_file_name(stem)) and len(stem.encode()) <= _LONGEST


def _place_image(image: Path, place: Path, link: bool) -> None:
    if link:
        os.symlink(image.resolve(), place)
    else:
        shutil.copyfile(image, place)
