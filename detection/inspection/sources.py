"""From the configuration of the data to what its files say."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from detection.data.shape_drawing import SHAPE_CLASSES
from detection.data.voc import VOC_CLASSES
from detection.inspection.findings import Finding
from detection.inspection.read_coco import read_coco
from detection.inspection.read_voc import find_voc_list, read_voc, unlisted_annotations
from detection.inspection.read_yolo import read_yolo
from detection.inspection.records import Reading

SPLITS = ("train", "val", "test")


class Source(NamedTuple):
    """A dataset as its files describe it."""

    readings: list[Reading]
    """One per split; ``test`` is left out where it is the validation split."""
    classes: Sequence[str] | None
    """In label order; None where they are to be found in the data."""
    skip_others: bool
    """Whether objects of other classes are left out on purpose."""
    findings: list[Finding]
    """What belongs to no split."""


def read_source(data: dict[str, Any]) -> Source:
    """Reads the annotations of all splits.

    Args:
        data: the arguments of a data module of `detection.data`, with its ``_target_``.

    Raises:
        FileNotFoundError: there is no dataset.
        ValueError: the data module is of another kind.
    """
    kind = str(data["_target_"]).rpartition(".")[2]
    readers = {
        "VOCDataModule": _read_voc,
        "ShapesDataModule": _read_shapes,
        "COCODataModule": _read_coco,
        "YOLODataModule": _read_yolo,
    }
    if kind not in readers:
        raise ValueError(f"data._target_={data['_target_']}: the check reads {', '.join(readers)}")
    return readers[kind](data)


def _read_voc(data: dict[str, Any]) -> Source:
    root = Path(data["root"]).expanduser()
    wanted = {split: data[f"{split}_splits"] for split in SPLITS if data[f"{split}_splits"]}
    lists = {split: [find_voc_list(root, entry) for entry in entries] for split, entries in wanted.items()}
    folders = sorted({folder for entries in lists.values() for folder, _ in entries})
    readings = [read_voc(root, split, entries) for split, entries in lists.items()]
    classes = VOC_CLASSES if data["classes"] == "voc" else data["classes"]
    return Source(readings, classes, data["other_classes"] == "skip", unlisted_annotations(root, folders))


def _read_shapes(data: dict[str, Any]) -> Source:
    splits = {f"{split}_splits": [["Shapes", split]] for split in SPLITS if data[f"num_{split}"]}
    missing = {f"{split}_splits": None for split in SPLITS}
    return _read_voc({**data, **missing, **splits, "classes": SHAPE_CLASSES, "other_classes": "error"})


def _read_coco(data: dict[str, Any]) -> Source:
    root = Path(data["root"]).expanduser()
    readings = []
    for split in SPLITS:
        images, annotations = data[f"{split}_images"], data[f"{split}_annotations"]
        if annotations is not None:
            readings.append(read_coco(root, split, root / (images or data["val_images"]), root / annotations))
    return Source(readings, data["classes"] or readings[0].classes, data["other_classes"] == "skip", [])


def _read_yolo(data: dict[str, Any]) -> Source:
    root = Path(data["root"]).expanduser()
    keys = {split: data[f"{split}_split"] for split in SPLITS if data[f"{split}_split"]}
    readings = [read_yolo(root, split, key) for split, key in keys.items()]
    return Source(readings, data["classes"] or readings[0].classes, data["other_classes"] == "skip", [])
