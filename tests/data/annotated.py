"""Datasets of one annotation file or folder, for tests of the readers of COCO's and YOLO's formats."""

from pathlib import Path
from typing import Any

from detection.data.dataset import DetectionDataset
from detection.data.formats.coco import read_coco
from detection.data.formats.yolo import read_yolo


def coco_dataset(
    images: Path | str, annotations: Path | str, crowd: bool = True, **options: Any
) -> DetectionDataset:
    """Images in a folder, and one JSON file."""
    return DetectionDataset(read_coco(images, annotations, crowd), **options)


def yolo_dataset(root: Path | str, split: str = "train", **options: Any) -> DetectionDataset:
    """One split of a folder with ``data.yaml``."""
    return DetectionDataset(read_yolo(root, split), **options)
