"""The YOLO format as a dataset: a ``data.yaml``, and a text file of normalised boxes for each image."""

from collections.abc import Sequence
from pathlib import Path

from detection.data.classes import OtherClasses
from detection.data.dataset import DetectionDataset, SampleTransform
from detection.data.formats.usable import OnError
from detection.data.formats.yolo import read_yolo


class YOLODetection(DetectionDataset):
    """Images and boxes of one split of a YOLO dataset, read and checked when the dataset is made.

    Args:
        root: the folder with ``data.yaml``, or another YAML file like it; see `read_yolo`.
        split: ``train``, ``val`` or ``test``.
        classes: names in the order of the labels; None takes the names of ``data.yaml``.
        transform: applied to each decoded image and its objects.
        other_classes: what becomes of objects of other classes: ``error`` or ``skip``, which leaves them out.
        on_error: what becomes of images whose labels or file are wrong: ``raise`` or ``skip``.

    Raises:
        FileNotFoundError: the YAML file, a folder or a list is missing.
        ValueError: the YAML file or a label file is wrong, or an image is missing or listed twice.
    """

    def __init__(
        self,
        root: Path | str,
        split: str = "train",
        classes: Sequence[str] | None = None,
        transform: SampleTransform | None = None,
        other_classes: OtherClasses = "error",
        on_error: OnError = "raise",
    ) -> None:
        super().__init__(read_yolo(root, split), classes, transform, other_classes, on_error)
