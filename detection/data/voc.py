"""PASCAL VOC, and any folder in its layout, as a dataset."""

from collections.abc import Sequence
from pathlib import Path

from detection.data.classes import OtherClasses
from detection.data.dataset import DetectionDataset, SampleTransform
from detection.data.formats.layouts import Split
from detection.data.formats.usable import OnError
from detection.data.formats.voc_folder import VOC0712_TRAINVAL, read_voc

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *(
        "diningtable",
        "dog",
        "horse",
        "motorbike",
        "person",
        "pottedplant",
        "sheep",
        "sofa",
        "train",
        "tvmonitor",
    ),
)


class VOCDetection(DetectionDataset):
    """Images and boxes of VOC-style folders, read and checked when the dataset is made.

    Args:
        root: a ``VOCdevkit`` folder, the folder above it, or one VOC-style folder; see `read_voc`.
        splits: the lists to join: ``(2007, "trainval")`` is in ``VOC2007``, ``("mine", "train")`` in
            ``mine``, and ``"train"`` in the root itself.
        classes: names in the order of the labels; None takes the names found in the data, sorted.
        transform: applied to each decoded image and its objects.
        other_classes: what becomes of objects of other classes: ``error`` or ``skip``, which leaves them out.
        on_error: what becomes of images whose annotation or file is wrong: ``raise`` or ``skip``.

    Raises:
        FileNotFoundError: the root, a folder or a list is missing.
        ValueError: an annotation is wrong, a class is unknown, or images are missing or repeated.
    """

    def __init__(
        self,
        root: Path | str,
        splits: Sequence[Split] = VOC0712_TRAINVAL,
        classes: Sequence[str] | None = VOC_CLASSES,
        transform: SampleTransform | None = None,
        other_classes: OtherClasses = "error",
        on_error: OnError = "raise",
    ) -> None:
        official = classes is not None and tuple(classes) == VOC_CLASSES
        super().__init__(read_voc(root, splits, official), classes, transform, other_classes, on_error)
