"""LightningDataModules of data in COCO's and YOLO's formats."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from detection.data.classes import OtherClasses
from detection.data.coco import COCODetection
from detection.data.datamodule import DetectionDataModule
from detection.data.transforms import DetectionTransform
from detection.data.yolo import YOLODetection


@dataclass(kw_only=True, eq=False)
class COCODataModule(DetectionDataModule):
    """Images with COCO annotation files: COCO itself, or a user's own export.

    Crowd regions are not trained on; in validation and test they are difficult objects, which the metric
    ignores.

    Args:
        root: the folder that the other paths are relative to.
        train_images: the folder of the training images.
        train_annotations: the JSON file of the training images.
        val_images: the folder of the validation images.
        val_annotations: the JSON file of the validation images.
        test_images: the folder of the test images; that of the validation images when None.
        test_annotations: the JSON file of the test images; the validation split is the test when None.
        classes: class names in label order; None takes the categories of the training file, in the order of
            their ids.
        other_classes: what becomes of objects of classes that are not in ``classes``: ``error`` or ``skip``.
    """

    root: str
    train_images: str = "train2017"
    train_annotations: str = "annotations/instances_train2017.json"
    val_images: str = "val2017"
    val_annotations: str = "annotations/instances_val2017.json"
    test_images: str | None = None
    test_annotations: str | None = None
    classes: Sequence[str] | None = None
    other_classes: OtherClasses = "error"

    def make_dataset(
        self,
        split: Literal["train", "val", "test"],
        classes: Sequence[str] | None,
        transform: DetectionTransform,
    ) -> COCODetection:
        """Open one split."""
        paths = {
            "train": (self.train_images, self.train_annotations),
            "val": (self.val_images, self.val_annotations),
            "test": (self.test_images or self.val_images, self.test_annotations or self.val_annotations),
        }
        images, annotations = (Path(self.root) / path for path in paths[split])
        wanted = classes or self.classes
        crowd = split != "train"
        return COCODetection(images, annotations, wanted, transform, self.other_classes, crowd)


@dataclass(kw_only=True, eq=False)
class YOLODataModule(DetectionDataModule):
    """Images with YOLO label files, described by a ``data.yaml``.

    Args:
        root: the folder with ``data.yaml``, or another YAML file like it.
        train_split: the key of the training images in that file.
        val_split: the key of the validation images.
        test_split: the key of the test images; the validation images when None.
        classes: class names in label order; None takes those of the file.
        other_classes: what becomes of objects of classes that are not in ``classes``: ``error`` or ``skip``.
    """

    root: str
    train_split: str = "train"
    val_split: str = "val"
    test_split: str | None = None
    classes: Sequence[str] | None = None
    other_classes: OtherClasses = "error"

    def make_dataset(
        self,
        split: Literal["train", "val", "test"],
        classes: Sequence[str] | None,
        transform: DetectionTransform,
    ) -> YOLODetection:
        """Open one split."""
        keys = {"train": self.train_split, "val": self.val_split, "test": self.test_split or self.val_split}
        return YOLODetection(self.root, keys[split], classes or self.classes, transform, self.other_classes)
