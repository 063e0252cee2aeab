"""COCO's format as a dataset: a folder of images and one JSON file of annotations."""

from collections.abc import Sequence
from pathlib import Path

from detection.data.classes import OtherClasses
from detection.data.dataset import DetectionDataset, SampleTransform
from detection.data.formats.coco import read_coco
from detection.data.formats.usable import OnError


class COCODetection(DetectionDataset):
    """Images and boxes of one COCO annotation file, read and checked when the dataset is made.

    Regions with ``iscrowd`` hold many objects under one box. They become ``difficult`` objects, which the
    metric ignores. They are nothing to train on: give ``crowd=False`` for training data.

    Args:
        images: the folder that ``file_name`` is relative to.
        annotations: the JSON file; see `read_coco`.
        classes: names in the order of the labels; None takes all categories.
        transform: applied to each decoded image and its objects.
        other_classes: what becomes of objects of other classes: ``error`` or ``skip``, which leaves them out.
        crowd: keep crowd regions, as difficult objects.
        on_error: what becomes of images that are missing or have a wrong annotation: ``raise`` or ``skip``.

    Raises:
        FileNotFoundError: the folder or the file is missing.
        ValueError: the file is not COCO's format, an image is missing or listed twice, or an annotation is
            wrong.
    """

    def __init__(
        self,
        images: Path | str,
        annotations: Path | str,
        classes: Sequence[str] | None = None,
        transform: SampleTransform | None = None,
        other_classes: OtherClasses = "error",
        crowd: bool = True,
        on_error: OnError = "raise",
    ) -> None:
        super().__init__(read_coco(images, annotations, crowd), classes, transform, other_classes, on_error)
