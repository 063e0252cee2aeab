"""LightningDataModules of generated shapes and of data in VOC's, COCO's and YOLO's formats."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from filelock import FileLock

from detection.data.datamodule import DetectionDataModule
from detection.data.download import archives_of, download_voc
from detection.data.formats.layouts import Layout, Split, recognised
from detection.data.formats.listing import COCOListing, Listing, VOCListing, YOLOListing, listing_of
from detection.data.formats.records import Reading, SplitName
from detection.data.formats.voc_folder import read_voc
from detection.data.own_sets import OwnDataModule
from detection.data.shapes import SHAPE_CLASSES, ShapesSettings, write_shapes
from detection.data.voc import VOC_CLASSES
from detection.system.wording import counted, folded


@dataclass(kw_only=True, eq=False)
class VOCDataModule(OwnDataModule):
    """Images in VOC's layout: PASCAL VOC itself, or a user's own folder.

    Args:
        root: the folder that holds ``VOCdevkit``, the ``VOCdevkit`` itself, or one VOC-style folder.
        train_splits: what to train on, as ``(year or folder, split)`` pairs or split names.
        val_splits: what to validate on.
        test_splits: what to test the best checkpoint on; the validation splits when None.
        classes: class names in label order; ``voc`` for the twenty of VOC, None to read them from the data.
        download: fetch the official archives of these splits into ``root`` where they are not there.
        archive_folder: where archives downloaded earlier lie; they are also looked for in ``root``.
    """

    naming_a_test = "data.test_splits=[test]"

    train_splits: Sequence[Split]
    val_splits: Sequence[Split]
    test_splits: Sequence[Split] | None = None
    classes: Sequence[str] | Literal["voc"] | None = "voc"
    download: bool = False
    archive_folder: str | None = None

    def prepare_data(self) -> None:
        """Fetch the archives if asked to."""
        if not self.download:
            return
        with _only_one_process(self.root):
            splits = [*self.train_splits, *self.val_splits, *(self.test_splits or [])]
            official = [(split[0], str(split[1])) for split in splits if isinstance(split[0], int)]
            download_voc(self.root, self.archive_folder, archives_of(official))

    @property
    def listing(self) -> VOCListing:
        """Which splits the set lists."""
        splits: dict[SplitName, Sequence[Split]] = {"train": self.train_splits, "val": self.val_splits}
        if self.test_splits:
            splits["test"] = self.test_splits
        official = self.wanted_classes is not None and tuple(self.wanted_classes) == VOC_CLASSES
        return VOCListing(Path(self.root).expanduser(), splits, official)

    @property
    def lists_a_test(self) -> bool:
        """Whether the test is made on a list of its own."""
        return bool(self.test_splits)

    @property
    def wanted_classes(self) -> Sequence[str] | None:
        """Class names in label order, where they were given."""
        return VOC_CLASSES if self.classes == "voc" else self.classes


@dataclass(kw_only=True, eq=False)
class ShapesDataModule(DetectionDataModule):
    """Generated shapes, written once as a VOC devkit and read like any other.

    Args:
        root: where to write.
        num_train: number of training images.
        num_val: number of validation images.
        num_test: number of test images.
        image_size: side of the square images, in pixels.
        data_seed: seed of the images.
    """

    root: str
    num_train: int = 2000
    num_val: int = 200
    num_test: int = 500
    image_size: int = 128
    data_seed: int = 0

    @property
    def settings(self) -> ShapesSettings:
        """Of the images."""
        return ShapesSettings(self.num_train, self.num_val, self.num_test, self.image_size, self.data_seed)

    def prepare_data(self) -> None:
        """Write the images, unless the same ones are there."""
        *of_images, _ = self.settings  # its version is the writer's own
        with _only_one_process(self.root):
            write_shapes(self.root, *of_images)

    @property
    def wanted_classes(self) -> Sequence[str]:
        """The names of the shapes."""
        return SHAPE_CLASSES

    def read(self, split: SplitName) -> Reading:
        """Read the annotations of one split."""
        return read_voc(self.settings.devkit_in(self.root), [("Shapes", split)])


@dataclass(kw_only=True, eq=False)
class COCODataModule(OwnDataModule):
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
        classes: class names in label order; None takes the categories of the files, those of the training in
            the order of their ids first.
    """

    naming_a_test = "data.test_annotations=..."

    train_images: str = "train2017"
    train_annotations: str = "annotations/instances_train2017.json"
    val_images: str = "val2017"
    val_annotations: str = "annotations/instances_val2017.json"
    test_images: str | None = None
    test_annotations: str | None = None
    classes: Sequence[str] | None = None

    @property
    def listing(self) -> COCOListing:
        """Which splits the set lists."""
        paths: dict[SplitName, tuple[str, str]] = {
            "train": (self.train_images, self.train_annotations),
            "val": (self.val_images, self.val_annotations),
        }
        if self.test_annotations is not None:
            paths["test"] = self.test_images or self.val_images, self.test_annotations
        return COCOListing(Path(self.root).expanduser(), paths)

    @property
    def lists_a_test(self) -> bool:
        """Whether the test is made on a file of its own."""
        return self.test_annotations is not None

    @property
    def wanted_classes(self) -> Sequence[str] | None:
        """Class names in label order, where they were given."""
        return self.classes


@dataclass(kw_only=True, eq=False)
class YOLODataModule(OwnDataModule):
    """Images with YOLO label files, described by a ``data.yaml``.

    Args:
        root: the folder with ``data.yaml``, or another YAML file like it.
        train_split: the key of the training images in that file.
        val_split: the key of the validation images.
        test_split: the key of the test images; the validation images when None.
        classes: class names in label order; None takes those of the file.
    """

    naming_a_test = "data.test_split=test"

    train_split: str = "train"
    val_split: str = "val"
    test_split: str | None = None
    classes: Sequence[str] | None = None

    @property
    def listing(self) -> YOLOListing:
        """Which splits the set lists."""
        keys: dict[SplitName, str] = {"train": self.train_split, "val": self.val_split}
        if self.test_split is not None:
            keys["test"] = self.test_split
        return YOLOListing(Path(self.root).expanduser(), keys)

    @property
    def lists_a_test(self) -> bool:
        """Whether the test is made on a key of its own."""
        return self.test_split is not None

    @property
    def wanted_classes(self) -> Sequence[str] | None:
        """Class names in label order, where they were given."""
        return self.classes


@dataclass(kw_only=True, eq=False)
class AutoDataModule(OwnDataModule):
    """Images in any layout that is known, which is recognised by looking.

    Args:
        root: the folder.
        classes: class names in label order; None takes those that the files declare, or else those of the
            objects.
    """

    classes: Sequence[str] | None = None

    @cached_property
    def layout(self) -> Layout:
        """What lies in the folder.

        Raises:
            FileNotFoundError: it is no set of a known kind.
        """
        return recognised(Path(self.root).expanduser())

    @property
    def wanted_classes(self) -> Sequence[str] | None:
        """Class names in label order, where they were given."""
        return self.classes

    @cached_property
    def listing(self) -> Listing:
        """Which splits the set lists."""
        return listing_of(self.layout, Path(self.root).expanduser())

    @property
    def lists_a_test(self) -> bool:
        """Whether the test is made on a list of its own."""
        return self.listing.has("test")

    def read(self, split: SplitName) -> Reading:
        """Read the annotations of one split, and say what was found."""
        reading = super().read(split)
        if split == "train":
            # Capitals alone make no other class.
            written = {item.name for record in reading.records for item in record.objects}
            names = reading.classes or {folded(name) for name in written}
            images = counted(len(reading.records), "image")
            reading.notes.insert(0, f"{self.layout.words}; {counted(len(names), 'class')}, {images}")
        return reading


def _only_one_process(root: str) -> FileLock:
    """A lock on the data's folder: every process prepares the data, and the first one does the work."""
    folder = Path(root).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / ".lock")
