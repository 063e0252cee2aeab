"""A folder in VOC's layout: annotations, images, and lists of image ids for the splits."""

import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detection.data.formats.findings import Finding
from detection.data.formats.index import Annotation, Entry, Index, stamp_of
from detection.data.formats.judging import by, deep, keep_inside
from detection.data.formats.layouts import Split, VOCPlace, find_voc
from detection.data.formats.places import files_below, images_by_stem, plain_name
from detection.data.formats.records import AnnotationError, ImageRecord, Reading
from detection.data.formats.voc import as_written, read_annotation
from detection.data.formats.voc_lists import find_xmls, omits_empty, read_ids, xml_of
from detection.data.image_files import IMAGE_SUFFIXES, ImageError, read_header
from detection.system.collector import no_collections
from detection.system.file_reading import is_inside, outside
from detection.system.wording import counted

VOC0712_TRAINVAL = ((2007, "trainval"), (2012, "trainval"))
# What the devkits hold; an incomplete copy would silently change every published comparison.
OFFICIAL_COUNTS = {VOC0712_TRAINVAL: 16551, ((2007, "test"),): 4952}
_NO_XML = (0, 0)  # in the stamp of an entry


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
    where = ", ".join(f"{_set_name(place)}/{place.split}".rstrip("/") for place in places)
    reading = Reading(f"the images of {where}", ", ".join(str(_what_lists(place)) for place in places))
    seen: set[str] = set()
    for place in places:
        ids = read_ids(place, reading)
        set_name = _set_name(place)
        names = [f"{set_name}/{short_id}" for short_id in ids]
        repeated = [name for name in names if name in seen]
        if repeated:
            reading.add(
                "listed-twice", _what_lists(place),
                f"lists the image {repeated[0]}, which is in more than one of the splits: list each image "
                "once",
            )  # fmt: skip
        seen.update(names)
        _Reader(place, reading).read(ids)
        if place.list_file is None:
            _say_unannotated(place, reading)
    listed = len(seen)
    expected = OFFICIAL_COUNTS.get(_key(splits), listed)
    if official and listed not in (0, expected):  # a list that is not there has its own finding
        message = (
            f"is of PASCAL VOC, which has {expected:,} images there, but {listed:,} are listed here: "
            "the copy is incomplete, unpack the official archives again (data.download=true). For a set of "
        )
        reading.add(
            "incomplete-copy",
            reading.file,
            f"{message}your own, name its folder differently or give its classes",
        )
    return reading


def unlisted_annotations(root: Path | str, splits: Sequence[Split], kind: str) -> Reading:
    """A finding for each annotation that no list of its folder names.

    Args:
        root: see `find_voc`.
        splits: of the folders to look at.
        kind: of the findings.
    """
    reading = Reading("the annotations")
    places = {place.folder: place for place in (find_voc(Path(root).expanduser(), split) for split in splits)}
    for place in places.values():
        if place.list_file is None:
            continue
        listed: set[str] = set()
        for path in place.list_file.parent.glob("*.txt"):
            listed.update(read_ids(place._replace(list_file=path), Reading("")))
        for path in map(Path, files_below(place.annotations)):
            if path.suffix.lower() != ".xml":
                continue
            short_id = path.relative_to(place.annotations).with_suffix("").as_posix()
            if short_id not in listed:
                message = f"is in no list of {place.list_file.parent}, so it is never used: list it"
                reading.add(kind, path, message, f"{_set_name(place)}/{short_id}")
    return reading


def _say_unannotated(place: VOCPlace, reading: Reading) -> None:
    """Says how many images of a folder without lists have no annotation, so that nothing uses them."""
    if place.annotations.parent.name == "Annotations" and place.annotations.name != place.images.name:
        return  # the images of all splits lie together
    used = {record.path for record in reading.records}
    beside = place.images == place.folder
    below = sorted(place.images.iterdir()) if beside else map(Path, files_below(place.images))
    images = [path for path in below if path.suffix.lower() in IMAGE_SUFFIXES and path not in used]
    images = [path for path in images if not path.name.startswith("._")]
    bare = [path for path in images if not os.path.exists(xml_of(place, _id_of(path, place)))]
    if bare:
        message = (
            f"holds {counted(len(bare), 'image')} without an XML, not used, {bare[0].name} for one: an image "
            "without objects needs an XML without <object>"
        )
        reading.add("unannotated-images", place.images, message)
        reading.notes.append(f"{place.images} {message}")


def _id_of(image: Path, place: VOCPlace) -> str:
    return image.relative_to(place.images).with_suffix("").as_posix()


def _key(splits: Sequence[Split]) -> Any:
    return tuple(split if isinstance(split, str) else tuple(split) for split in splits)


def _set_name(place: VOCPlace) -> str:
    return place.folder.resolve().name


def _what_lists(place: VOCPlace) -> Path:
    return place.list_file or place.folder


class _Reader:
    """Reads the annotations of one folder."""

    def __init__(self, place: VOCPlace, reading: Reading) -> None:
        self.place, self.reading, self.set_name = place, reading, _set_name(place)
        self.omits_empty = omits_empty(place)
        self.folder = str(place.images)
        self.images: dict[str, dict[str, str]] = {}
        """For each subfolder of the images, the names of the files in it, by stem and by name."""
        self.stems: Counter[str] = Counter()
        """How many of the ids end in each name."""
        self.xmls: dict[str, str] = {}
        """The annotation of each image, looked for once."""

    def read(self, ids: Sequence[str]) -> None:
        """Adds the images of some ids to the reading, from the index where nothing changed."""
        if ids and not self.place.images.is_dir():
            message = "does not exist: a VOC folder keeps its images there"
            self.reading.add("missing-list", self.place.images, message)
            return
        lists = _what_lists(self.place)
        quoting = is_inside(lists, self.place.folder)
        self.stems.update(short_id.rpartition("/")[2] for short_id in ids)
        self.xmls = find_xmls(self.place, ids)
        with no_collections():
            index = Index(self.place.folder.resolve(), self.place.split)
            num_omitted = 0
            for number, (short_id, entry) in enumerate(index.read(ids, self._is_fresh, self._read), 1):
                if isinstance(entry, Entry):
                    num_omitted += entry.stamp[:2] == _NO_XML
                    self._add(f"{self.set_name}/{short_id}", entry, self.xmls[short_id])
                elif quoting:
                    self.reading.findings.append(entry)
                else:
                    message = f"has an entry that cannot be used. {outside(lists, self.place.folder)}"
                    self.reading.add(entry.kind, lists, message, number=number)
        if num_omitted:
            message = (
                f"lists {counted(num_omitted, 'image')} without an XML, taken to be without objects: "
                "CVAT and Datumaro, which write labelmap.txt, give such images none"
            )
            self.reading.add("unannotated-images", lists, message)
            self.reading.notes.append(f"{lists} {message}")

    def _is_fresh(self, short_id: str, entry: Entry) -> bool:
        if entry.stamp[:2] == _NO_XML and not self.omits_empty:
            return False
        folder, _, stem = short_id.rpartition("/")
        if folder and "/" not in entry.image and self.stems[stem] > 1:  # there was one before
            return False
        return entry.stamp == self._stamp(short_id, entry.image)

    def _stamp(self, short_id: str, image: str) -> tuple[int, ...]:
        return stamp_of(self.xmls[short_id], f"{self.folder}/{image}")

    def _read(self, short_id: str) -> Entry | Finding:
        path, image_id = self.xmls[short_id], f"{self.set_name}/{short_id}"
        inside = not os.path.isabs(short_id) and ".." not in short_id.split("/")
        exists = inside and os.path.exists(path)
        omitted = inside and self.omits_empty and not exists
        if not inside or ("/" in short_id and not exists and not omitted):
            message = (
                f"lists {short_id!r}: an id is the name of a file in Annotations, below no other folder than "
                "there, without an extension; correct the list"
            )
            return Finding("missing-annotation", str(_what_lists(self.place)), message, image_id)
        if not exists and not omitted:
            hint = ""
            if Path(short_id).suffix.lower() in IMAGE_SUFFIXES:
                hint = " (ids are listed without an extension)"
            elif short_id.startswith("#"):
                hint = " (lists have no comments: every line is an id)"
            message = f"is missing: an image without objects needs an XML without <object>{hint}"
            return Finding("missing-annotation", str(Path(path)), message, image_id)
        try:
            annotation = Annotation("", None, (), ()) if omitted else read_annotation(path)
        except AnnotationError as error:
            return Finding("broken-annotation", str(Path(path)), str(error), image_id)
        image = self._find_image(short_id, annotation.filename)
        if image is None:
            message = (
                f"has no image: {self.place.images.name} holds neither {short_id}.jpg (.jpeg, .png, ...) nor "
                f"the <filename> {annotation.filename!r}; add the image or take the id off the list"
            )
            return Finding("missing-image", str(Path(path)), message, image_id)
        try:
            header = read_header(f"{self.folder}/{image}")
        except ImageError as error:
            return Finding(error.kind, str(self.place.images / image), error.reason, image_id)
        if (others := self._others(image)) and plain_name(annotation.filename) != os.path.basename(image):
            message = (
                f"does not say in <filename> which image it is of: {os.path.basename(image)} is used, and "
                f"{', '.join(others)} left out; write the name with its ending"
            )
            remarks = (*annotation.remarks, ("filename-mismatch", message, None))
            annotation = annotation._replace(remarks=remarks)
        return Entry(image, header, annotation, self._stamp(short_id, image))

    def _others(self, image: str) -> list[str]:
        """The images beside one that differ from it by their endings only."""
        folder, _, name = image.rpartition("/")
        stem = os.path.splitext(name)[0]
        suffixes = IMAGE_SUFFIXES | {suffix.upper() for suffix in IMAGE_SUFFIXES}
        beside = {f"{stem}{suffix}" for suffix in suffixes} & self.images[folder].keys()
        return sorted(beside - {name})

    def _find_image(self, short_id: str, filename: str) -> str | None:
        folder, _, stem = short_id.rpartition("/")
        name = self._named(folder, stem, filename)
        # Annotations may lie in subfolders where images do not, but not two of one name.
        if name is None and folder and self.stems[stem] == 1:
            return self._named("", stem, filename)
        return f"{folder}/{name}" if name and folder else name

    def _named(self, folder: str, stem: str, filename: str) -> str | None:
        """The name of the image in a folder of the images."""
        if folder not in self.images:
            self.images[folder] = images_by_stem(self.place.images / folder)
        there = self.images[folder]
        # Only names that were listed are accepted, so no annotation can point outside of the folder. Of two
        # images that are named like the annotation, it says which is meant.
        plain = plain_name(filename)
        named = there.get(plain) if os.path.splitext(plain)[0] == stem else None
        return named or there.get(stem) or there.get(filename)

    def _add(self, image_id: str, entry: Entry, source: str) -> None:
        said = entry.annotation
        for kind, message, number in said.remarks:
            self.reading.add(kind, source, message, image_id, number)
        if said.filename not in ("", entry.image) and not _is_named(entry.image, said.filename):
            message = (
                f"has the <filename> {said.filename!r}, but {os.path.basename(entry.image)} is used, because "
                "it is named like the annotation: correct <filename>, or check that the boxes belong to this "
                "image"
            )
            self.reading.add("filename-mismatch", source, message, image_id)
        # Some tools show photographs turned as EXIF asks, and their boxes are of what they show.
        stored, shown = entry.header.size, entry.header.size_of(upright=True)
        upright = said.size == shown != stored
        if stored != shown and said.size not in (None, stored, shown):
            message = (
                f"is for an image of {by(said.size)} pixels, but {self.place.images / entry.image} has "
                f"{by(stored)}, and {by(shown)} turned as its EXIF orientation asks: bring the image that "
                "was annotated"
            )
            self.reading.add("box-of-another-size", source, message, image_id)
        record = ImageRecord(
            image_id, f"{self.folder}/{entry.image}", shown if upright else stored, said.objects,
            source, upright=upright,
        )  # fmt: skip
        if entry.header.deep:
            self.reading.findings.append(deep(record))
        keep_inside(self.reading, record, as_written, said.size)


def _is_named(image: str, filename: str) -> bool:
    """Whether an annotation names an image, wherever it says that it lies, with or without its ending."""
    names = os.path.basename(image), plain_name(filename)
    image, named = (unicodedata.normalize("NFC", name) for name in names)
    return named in ("", image, os.path.splitext(image)[0])
