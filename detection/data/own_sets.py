"""A user's own set, of which some images are set apart for validation or test where it lists none."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from detection.bounds import PartOfSet
from detection.data.datamodule import DetectionDataModule
from detection.data.formats.findings import Finding
from detection.data.formats.listing import Listing
from detection.data.formats.records import SPLITS, ImageRecord, Reading, SplitName
from detection.data.likeness import DIFFERING, group_alike, look_at
from detection.data.splitting import SetApart, divide, keep_known, name_in
from detection.system.wording import are, counted

_VAL_FRACTION = 0.2  # where nothing was given
_MOST = 0.95  # of the images, for val and test together


@dataclass(kw_only=True, eq=False)
class OwnDataModule(DetectionDataModule, ABC):
    """Images of a user's own.

    Args:
        root: the set.
        val_fraction: the share of the images that are set apart for validation, where the set lists none;
            0.2 when None.
        test_fraction: the same for the test; when None, a set that lists none is tested on validation.
    """

    naming_a_test: ClassVar[str] = ""
    """What to type for a list of the test that is there and is not used unasked."""

    root: str
    val_fraction: PartOfSet | None = None
    test_fraction: PartOfSet | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._kept: tuple[SetApart, str] | None = None  # and of which checkpoint
        self._is_whole = False

    @property
    @abstractmethod
    def listing(self) -> Listing:
        """Which splits the set lists."""

    @property
    @abstractmethod
    def lists_a_test(self) -> bool:
        """Whether the test is made on a list of its own."""

    @property
    def test_is_val(self) -> bool:
        """Whether the test is made on the validation images."""
        return not (self._is_whole or self.lists_a_test or "test" in self.fractions)

    @cached_property
    def fractions(self) -> dict[SplitName, float]:
        """The splits that are set apart, and their shares of the images.

        Raises:
            ValueError: a share was given for a split that the set lists, or nothing would be left.
        """
        typed = self._typed_fractions()
        for split, fraction in typed.items():
            if self.listing.has(split):
                name_it = split == "test" and not self.lists_a_test
                raise ValueError(
                    f"data.{split}_fraction={fraction:g}: the set has its own images for {split} "
                    f"({self.listing.place(split) or 'named by you'}): leave data.{split}_fraction out to "
                    f"use them{f', and add {self.naming_a_test}' if name_it else ''}, or move them away."
                )
        if self._kept is not None:
            return self._kept[0].fractions
        if not self.listing.has("val"):
            typed = {"val": _VAL_FRACTION, **typed}
        if sum(typed.values()) > _MOST:
            given = " ".join(f"data.{split}_fraction={fraction:g}" for split, fraction in typed.items())
            raise ValueError(
                f"{given}: that leaves too little to train on; {_MOST:g} is the most of both together."
            )
        return typed

    def _typed_fractions(self) -> dict[SplitName, float]:
        given: dict[SplitName, float | None] = {"val": self.val_fraction, "test": self.test_fraction}
        return {split: fraction for split, fraction in given.items() if fraction is not None}

    def evaluate_whole(self) -> None:
        """Take all images for each split where nothing divides them.

        What divides them is a list, a checkpoint or a share that was given.
        """
        listed = any(self.listing.has(split) for split in SPLITS[1:])
        self._is_whole = not (listed or self._kept or self._typed_fractions())

    def unlisted(self) -> list[Finding]:
        """What lies beside the splits and belongs to none of them."""
        return self.listing.unlisted()

    def read(self, split: SplitName) -> Reading:
        """Read the annotations of one split, and say which images no list has."""
        reading = self._read(split)
        if split == "train" and (line := self._say_unlisted()):
            reading.notes.append(line)
        return reading

    def _read(self, split: SplitName) -> Reading:
        crowd = split != "train"
        if self._is_whole:
            if split == "train" and self.listing.lists_val_alone:
                reading = Reading(f"the images of {self.root}", self.root)
                message = (
                    f"lists val alone, and no train: {self.listing.place('val')} is evaluated by split=val"
                )
                reading.add("missing-list", self.root, message)
                return reading
            return self.listing.read("train", crowd)
        name: SplitName = "val" if split == "test" and self.test_is_val else split
        if (name == "train" or name in self.fractions) and (lists := self._lists_of_others()):
            return lists
        if not self.fractions or (name != "train" and name not in self.fractions):
            return self.listing.read(name, crowd)
        pool = self.listing.read("train", crowd)
        if self.set_apart is None:
            self.set_apart, line = self._divide(pool)
            self.split_lines = [f"{self._listed} {line}"] if line else []
        part = self._part(pool, name)
        if name == next(iter(self.fractions)):
            for line in self.split_lines:
                part.add("set-apart", self._listed, line.removeprefix(f"{self._listed} "))
        return part

    def _lists_of_others(self) -> Reading | None:
        """The error of a set that has lists for validation or the test, and nothing to train on."""
        others = [split for split in SPLITS[1:] if self.listing.place(split)]
        if not others or self.listing.place("train") or self.listing.is_named("train"):
            return None
        reading = Reading(f"the images of {self.root}", self.root)
        message = f"has a list for {' and '.join(others)}, and none to train on: name one train"
        reading.add("missing-list", self.root, message)
        return reading

    def _say_unlisted(self) -> str:
        """A line on images that may have been added to a set, and not to its lists; empty without any."""
        unlisted = [] if self.listing.is_official else self.unlisted()
        if not unlisted:
            return ""
        images = counted(len(unlisted), "annotated image")
        return (
            f"{images} {are(len(unlisted))} in no list, so never used, {Path(unlisted[0].file).name} for "
            f"one: to train on such, add their ids to {self.listing.place('train')}, one a line"
        )

    def describe_split(self, split: str) -> str:
        """What a split really is and how many images it has."""
        if self.overfit_images is not None:
            return super().describe_split(split)
        if split == "test" and self.test_is_val and self.listing.has("test"):
            images = counted(len(self.datasets["test"]), "image")
            return f"test = val, {images}; {self.naming_a_test} would take those for the test"
        if self._is_whole:
            return f"{super().describe_split(split)}, all that there are"
        return super().describe_split(split) + (" set apart" if split in self.fractions else "")

    def keep_split(self, kept: SetApart, whose: str) -> bool:
        """Keep to the split of a checkpoint, if the set lists no other and has images of it.

        Args:
            kept: the split.
            whose: the checkpoint's path, for messages.

        Returns:
            Whether it is kept.

        Raises:
            ValueError: other shares were asked for.
        """
        lists_another = any(self.listing.has(split) for split in kept.fractions)
        if lists_another or not (self.listing.has("val") or "val" in kept.fractions):
            return False
        known = {name for names in kept.images.values() for name in names}
        if known.isdisjoint(self._name(record.path) for record in self.listing.read("train").records):
            return False
        for split, fraction in self._typed_fractions().items():
            if fraction != kept.fractions.get(split):
                apart = ", ".join(f"{share:g} for {name}" for name, share in kept.fractions.items())
                key = f"data.{split}_fraction"
                raise ValueError(
                    f"{key}={fraction:g}: {whose} has set images apart already ({apart}), and would be "
                    f"judged by what it has learned: leave {key} out."
                )
        self._kept = kept, whose
        return True

    def learned_before(self, split: str, kept: SetApart) -> int:
        """How many images of a split are among those that a checkpoint was trained on."""
        return len({self._name(Path(path)) for path in self.datasets[split].paths} & {*kept.images["train"]})

    def _divide(self, reading: Reading) -> tuple[SetApart, str]:
        """Sets images apart, and says so in a sentence that goes on from the name of what lists them."""
        records = {self._name(record.path): record for record in reading.records}
        if self._kept is not None:
            return self._divide_as_before(records, *self._kept)
        whom = " and ".join(self.fractions)
        if len(records) <= len(self.fractions):
            if any(finding.severity == "error" for finding in reading.findings):  # which are told instead
                nothing: dict[SplitName, list[str]] = {split: [] for split in self.fractions}
                return SetApart(self.seed, self.fractions, {"train": [*records], **nothing}), ""
            few = counted(len(records), "image")
            raise ValueError(f"{self._listed} holds {few}, too few to set some apart for {whom}: add some.")
        images, alike = divide(records, self.fractions, self.seed, self._folder)
        counts = ", ".join(f"{len(images[split])} for {split}" for split in self.fractions)
        apart = sum(len(images[split]) for split in self.fractions)
        together = (
            "images that look alike stay together"
            if alike
            else "so many look alike that they could not stay together"
        )
        others = "" if self._typed_fractions() else ". data.val_fraction=... chooses another share"
        what = "is the only split" if self.listing.lists_val_alone else f"lists no images for {whom}"
        line = (
            f"{what}: of its {len(records)}, {counts} {are(apart)} set apart by "
            f"data.seed={self.seed}; {together}{others}"
        )
        return SetApart(self.seed, self.fractions, images), line

    def _divide_as_before(
        self, records: Mapping[str, ImageRecord], kept: SetApart, whose: str
    ) -> tuple[SetApart, str]:
        known = {name for names in kept.images.values() for name in names}
        new, gone = records.keys() - known, known - records.keys()
        groups = [[name] for name in records]
        if new:
            groups = group_alike([*records], look_at([*records.values()], self._folder), DIFFERING[0])
        images = keep_known(kept, groups)
        counts = ", ".join(f"{len(names)} for {split}" for split, names in images.items())
        line = f"is split as in {whose}: {counts}"
        if new:
            places = ", ".join(f"{len(new & {*names})} for {split}" for split, names in images.items())
            images_since = counted(len(new), "image")
            line += f". New since: {images_since}, with those that they look like or for train: {places}"
        if gone:
            line += f". No longer there: {counted(len(gone), 'image')} of that split"
        return replace(kept, images=images), line

    def _part(self, pool: Reading, split: SplitName) -> Reading:
        """The images of one split and what was found about them; training has what is of no image."""
        assert self.set_apart is not None
        places = {name: place for place, names in self.set_apart.images.items() for name in names}
        owners = {record.image_id: places[self._name(record.path)] for record in pool.records}
        findings = [
            finding
            for finding in pool.findings
            if owners.get(finding.image, "train") == split
            or not (finding.image or finding.object is not None)
        ]
        records = [record for record in pool.records if owners[record.image_id] == split]
        return replace(
            pool,
            records=records,
            num_judged=len(records) if pool.num_judged == len(pool.records) else 0,
            findings=findings,
            notes=pool.notes if split == "train" else [],
        )

    @property
    def _listed(self) -> str:
        return self.listing.place("train") or self.root

    @property
    def _folder(self) -> Path:
        root = Path(self.root).expanduser()
        return root.parent if root.is_file() else root

    def _name(self, path: Path) -> str:
        return name_in(self._folder, path)
