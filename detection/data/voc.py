"""PASCAL VOC, and any folder in its layout, as a dataset."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detection.data.classes import OtherClasses, found_classes
from detection.data.dataset import DetectionDataset, SampleTransform
from detection.data.index import load_index
from detection.data.records import ImageRecord, OnError

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
VOC0712_TRAINVAL = ((2007, "trainval"), (2012, "trainval"))
# What the devkits hold; an incomplete copy would silently change every published comparison.
OFFICIAL_COUNTS = {VOC0712_TRAINVAL: 16551, ((2007, "test"),): 4952}

Split = str | Sequence[int | str]
"""``(year, split)``, ``(folder, split)``, or a split's name where the root itself is a VOC-style folder."""


class VOCDetection(DetectionDataset):
    """Images and boxes of VOC-style folders.

    A VOC-style folder holds ``Annotations/<id>.xml``, ``JPEGImages/<id>.jpg`` (or .jpeg, .png) and
    ``ImageSets/Main/<split>.txt``. All annotations are read and checked when the dataset is made. An image is
    named ``folder/id``, such as ``VOC2007/000005``; boxes belong to its pixels as stored, whatever its EXIF
    orientation.

    Args:
        root: a ``VOCdevkit`` folder, the folder above it, or one VOC-style folder.
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
        skipped: list[str] = []
        records = read_voc(root, splits, skipped if on_error == "skip" else None)
        _check_count(len(records) + len(skipped), splits, classes)
        wanted = found_classes(records) if classes is None else classes
        super().__init__(records, wanted, transform, other_classes, problems=skipped)


def read_voc(
    root: Path | str, splits: Sequence[Split], skipped: list[str] | None = None
) -> list[ImageRecord]:
    """Reads the annotations of VOC-style folders; see `VOCDetection`.

    Args:
        root: see `VOCDetection`.
        splits: see `VOCDetection`.
        skipped: leave out images that cannot be used, and append here what is wrong with each; None refuses
            them.

    Raises:
        FileNotFoundError: the root, a folder or a list is missing.
        ValueError: an annotation is wrong, or images are missing or repeated.
    """
    records: dict[str, ImageRecord] = {}
    for split in splits:
        folder, name = _find_split(Path(root).expanduser(), split)
        set_name = folder.resolve().name
        for short_id, entry in load_index(folder, name, skipped).items():
            image_id = f"{set_name}/{short_id}"
            if image_id in records:
                raise ValueError(
                    f"the image {image_id} is in more than one of the splits: list each image once"
                )
            path = folder / "JPEGImages" / entry.image
            source = f"{set_name}/Annotations/{short_id}.xml"
            records[image_id] = ImageRecord(image_id, path, entry.size, entry.objects, source)
    return list(records.values())


def _check_count(count: int, splits: Sequence[Split], classes: Sequence[str] | None) -> None:
    key: Any = tuple(split if isinstance(split, str) else tuple(split) for split in splits)
    expected = OFFICIAL_COUNTS.get(key)
    if classes is not None and tuple(classes) == VOC_CLASSES and expected not in (None, count):
        raise ValueError(
            f"PASCAL VOC has {expected} images in {key}, but {count} are listed here: the "
            "copy is incomplete, unpack the official archives again (data.download=true). For a set of "
            "your own, name its folder differently or give its classes"
        )


def _find_split(root: Path, split: Split) -> tuple[Path, str]:
    """Returns the VOC-style folder and the list's name."""
    if isinstance(split, str):
        candidates, name = [root], split
    else:
        if len(split) != 2:
            raise ValueError(f"a split is a name or a pair such as [2007, trainval]; got {list(split)}")
        folder, name = (f"VOC{split[0]}" if isinstance(split[0], int) else split[0]), str(split[1])
        candidates = [root / folder, root / "VOCdevkit" / folder]
    for candidate in candidates:
        if (candidate / "Annotations").is_dir():
            return candidate, name
    there = ", ".join(sorted(path.name for path in root.iterdir())[:10]) if root.is_dir() else None
    raise FileNotFoundError(
        f"no VOC-style folder {' or '.join(map(str, candidates))}; "
        + (f"{root} holds: {there or 'nothing'}. " if there is not None else f"{root} does not exist. ")
        + "Point data.root to the folder that holds VOCdevkit (or to one folder with Annotations, JPEGImages "
        "and ImageSets), or let data.download=true fetch PASCAL VOC"
    )
