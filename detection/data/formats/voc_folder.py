"""A folder in VOC's layout: annotations, images, and lists of image ids for the splits."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detection.data.formats.findings import Finding
from detection.data.formats.index import Entry, Index, stamp_of
from detection.data.formats.judging import keep_inside
from detection.data.formats.layouts import Split, VOCPlace, find_voc
from detection.data.formats.records import AnnotationError, ImageRecord, Reading
from detection.data.formats.voc import as_written, read_annotation
from detection.data.image_files import IMAGE_SUFFIXES, ImageError, read_header
from detection.file_reading import fault_of, is_inside, outside, read_text

VOC0712_TRAINVAL = ((2007, "trainval"), (2012, "trainval"))
# What the devkits hold; an incomplete copy would silently change every published comparison.
OFFICIAL_COUNTS = {VOC0712_TRAINVAL: 16551, ((2007, "test"),): 4952}
# In the lists of one class: whether the image shows it (1), does not (-1), or hardly (0).
_FLAG = re.compile(r"\s+(-1|0|1)$")
# Of several images of one name, the first of these is meant.
_PREFERRED = (".jpg", ".jpeg", ".png")


def read_voc(root: Path | str, splits: Sequence[Split], official: bool = False) -> Reading:
    """Reads the annotations of VOC-style folders.

    A VOC-style folder holds ``Annotations/<id>.xml``, ``JPEGImages/<id>.jpg`` (or another suffix) and
    ``ImageSets/Main/<split>.txt``. An image is named ``folder/id``, such as ``VOC2007/000005``.

    Args:
        root: see `find_voc`.
        splits: the lists to join.
        official: the set claims to be PASCAL VOC itself, so that its number of images is known.

    Raises:
        FileNotFoundError: the root or a folder is missing.
        ValueError: a split is not named as it should be.
    """
    places = [find_voc(Path(root).expanduser(), split) for split in splits]
    where = ", ".join(f"{place.folder.resolve().name}/{place.split}" for place in places)
    reading = Reading(f"the images of {where}", ", ".join(str(_list_file(place)) for place in places))
    seen: set[str] = set()
    listed = 0
    for place in places:
        ids = _read_ids(place, reading)
        listed += len(ids)
        for image_id in (f"{place.folder.resolve().name}/{short_id}" for short_id in ids):
            if image_id in seen:
                message = (
                    f"lists the image {image_id}, which is in more than one of the "
                    f"splits: list each image once"
                )
                reading.add("listed-twice", _list_file(place), message)
            seen.add(image_id)
        _Reader(place, reading).read(ids)
    expected = OFFICIAL_COUNTS.get(_key(splits))
    if official and expected not in (None, listed):
        message = (
            f"is of PASCAL VOC, which has {expected} images in {_key(splits)}, but {listed} are listed here: "
        )
        message += (
            "the copy is incomplete, unpack the official archives again (data.download=true). For a set of "
        )
        reading.add(
            "incomplete-copy",
            reading.file,
            f"{message}your own, name its folder differently or give its classes",
        )
    return reading


def unlisted_annotations(root: Path | str, splits: Sequence[Split]) -> Reading:
    """A note for each annotation that no list of its folder names.

    Args:
        root: see `find_voc`.
        splits: of the folders to look at.
    """
    reading = Reading("the annotations")
    for place in {
        place.folder: place for place in (find_voc(Path(root).expanduser(), s) for s in splits)
    }.values():
        listed: set[str] = set()
        for path in place.lists.glob("*.txt"):
            listed.update(_read_ids(place._replace(split=path.stem), Reading("")))
        for path in sorted(place.annotations.glob("*.xml")):
            if path.stem not in listed:
                message = "is in no list of ImageSets/Main, so it is never used: list it"
                reading.add(
                    "unlisted-annotation", path, message, f"{place.folder.resolve().name}/{path.stem}"
                )
    return reading


def _key(splits: Sequence[Split]) -> Any:
    return tuple(split if isinstance(split, str) else tuple(split) for split in splits)


def _list_file(place: VOCPlace) -> Path:
    return place.lists / f"{place.split}.txt"


def _read_ids(place: VOCPlace, reading: Reading) -> list[str]:
    """The ids of a list, each once; no message repeats those of a list outside of the set."""
    path = _list_file(place)
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.txt"))) or "none"
        reading.add("missing-list", path, f"does not exist; the splits in that folder are: {known}")
        return []
    try:
        lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    except (ValueError, OSError) as error:
        reading.add("broken-annotation", path, fault_of(path, place.folder, error))
        return []
    there = _names_in(place.annotations)
    ids = [line if f"{line}.xml" in there else _FLAG.sub("", line) for line in lines]
    if not ids:
        reading.add("empty-split", path, "lists no images: write an image id a line")
    counts = Counter(ids)
    repeated = [image_id for image_id, count in counts.items() if count > 1]
    if repeated:
        what = (
            f"the image {repeated[0]} {counts[repeated[0]]} times"
            if is_inside(path, place.folder)
            else "images"
        )
        reading.add("listed-twice", path, f"lists {what}: remove the repeated lines")
    return list(counts)


def _names_in(folder: Path) -> set[str]:
    return set(os.listdir(folder)) if folder.is_dir() else set()


class _Reader:
    """Reads the annotations of one folder."""

    def __init__(self, place: VOCPlace, reading: Reading) -> None:
        self.place, self.reading = place, reading
        self.set_name = place.folder.resolve().name
        self.images = _names_in(place.images)
        self.by_stem: dict[str, str] = {}
        for name in sorted(self.images, key=_preference):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in IMAGE_SUFFIXES:
                self.by_stem.setdefault(stem, name)

    def read(self, ids: Sequence[str]) -> None:
        """Adds the images of some ids to the reading, from the index where nothing changed."""
        if ids and not self.place.images.is_dir():
            message = "does not exist: a VOC folder keeps its images there"
            self.reading.add("missing-list", self.place.images, message)
            return
        quoting = is_inside(_list_file(self.place), self.place.folder)
        index = Index(self.place.folder.resolve(), self.place.split)
        for number, short_id in enumerate(ids, 1):
            kept = index.find(short_id)
            fresh = kept is not None and kept.stamp == self._stamp(short_id, kept.image)
            entry = kept if fresh and kept is not None else self._read(short_id)
            if isinstance(entry, Entry):
                index.keep(short_id, entry)
                self._add(f"{self.set_name}/{short_id}", entry, self._xml(short_id))
            elif quoting:
                self.reading.findings.append(entry)
            else:
                message = (
                    f"has an entry that cannot be used. {outside(_list_file(self.place), self.place.folder)}"
                )
                self.reading.add(entry.kind, _list_file(self.place), message, number=number)
        index.save()

    def _xml(self, short_id: str) -> str:
        return f"{self.place.annotations}/{short_id}.xml"

    def _stamp(self, short_id: str, image: str) -> tuple[int, ...]:
        return stamp_of(self._xml(short_id), f"{self.place.images}/{image}")

    def _read(self, short_id: str) -> Entry | Finding:
        path, image_id = Path(self._xml(short_id)), f"{self.set_name}/{short_id}"
        if "/" in short_id or "\\" in short_id:
            message = (
                f"lists {short_id!r}: an id is the name of a file in Annotations, without a folder and an "
            )
            return Finding(
                "missing-annotation",
                str(_list_file(self.place)),
                f"{message}extension; correct the list",
                image_id,
            )
        if not path.exists():
            hint = ""
            if Path(short_id).suffix.lower() in IMAGE_SUFFIXES:
                hint = " (ids are listed without an extension)"
            elif short_id.startswith("#"):
                hint = " (lists have no comments: every line is an id)"
            message = f"is missing: an image without objects needs an XML without <object>{hint}"
            return Finding("missing-annotation", str(path), message, image_id)
        try:
            annotation = read_annotation(path)
        except AnnotationError as error:
            return Finding("broken-annotation", str(path), str(error), image_id)
        image = self._find_image(short_id, annotation.filename)
        if image is None:
            message = (
                f"has no image: {self.place.images.name} holds neither {short_id}.jpg "
                f"(.jpeg, .png, ...) nor the "
            )
            message += f"<filename> {annotation.filename!r}; add the image or take the id off the list"
            return Finding("missing-image", str(path), message, image_id)
        try:
            header = read_header(self.place.images / image)
        except ImageError as error:
            return Finding(error.kind, str(self.place.images / image), error.reason, image_id)
        return Entry(image, header, annotation, self._stamp(short_id, image))

    def _find_image(self, short_id: str, filename: str) -> str | None:
        # Only names that were listed are accepted, so no annotation can point outside of the folder.
        if short_id in self.by_stem:
            return self.by_stem[short_id]
        return filename if filename in self.images else self.by_stem.get(filename)

    def _add(self, image_id: str, entry: Entry, source: str) -> None:
        said = entry.annotation
        for kind, message, number in said.remarks:
            self.reading.add(kind, source, message, image_id, number)
        if (
            said.filename
            and entry.image != said.filename
            and os.path.splitext(entry.image)[0] != said.filename
        ):
            message = (
                f"has the <filename> {said.filename!r}, but {entry.image} is used, "
                f"because it is named like the "
            )
            message += "annotation: correct <filename>, or check that the boxes belong to this image"
            self.reading.add("filename-mismatch", source, message, image_id)
        path = self.place.images / entry.image
        record = ImageRecord(image_id, path, entry.header.size, said.objects, source)
        keep_inside(self.reading, record, as_written, said.size)


def _preference(name: str) -> tuple[bool, str]:
    return os.path.splitext(name)[1].lower() not in _PREFERRED, name
