"""A split in VOC's layout, read leniently: what cannot be understood becomes a finding."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import parse

from detection.data.corners import CORNERS, are_fractions, from_voc_corners
from detection.data.index import IMAGE_SUFFIXES, SECOND_COLUMN
from detection.file_reading import MAX_TEXT, is_inside, open_file, outside, read_file_bytes
from detection.inspection.findings import Finding
from detection.inspection.records import ImageRecord, ObjectRecord, Reading, shown

VOCList = tuple[Path, str]
"""A VOC-style folder, and the name of a list in its ``ImageSets/Main``."""


def find_voc_list(root: Path, split: str | Sequence[int | str]) -> VOCList:
    """The folder and the list of a split as `VOCDetection` names it.

    Args:
        root: a ``VOCdevkit`` folder, the folder above it, or one VOC-style folder.
        split: ``(year, name)``, ``(folder, name)``, or a list's name.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if isinstance(split, str):
        candidates, name = [root], split
    else:
        first, name = split[0], str(split[1])
        folder = f"VOC{first}" if isinstance(first, int) else first
        candidates = [root / folder, root / "VOCdevkit" / folder]
    for candidate in candidates:
        if (candidate / "Annotations").is_dir():
            return candidate, name
    raise FileNotFoundError(
        f"no VOC-style folder (with Annotations, JPEGImages and ImageSets) at "
        f"{' or '.join(map(str, candidates))}: point data.root to the folder that holds VOCdevkit, or, with "
        "data=voc_custom, to the VOC-style folder itself"
    )


def read_voc(root: Path, split: str, lists: Sequence[VOCList]) -> Reading:
    """Reads the annotations of a split.

    Args:
        root: findings name files relative to it.
        split: ``train``, ``val`` or ``test``.
        lists: what the split is joined from.
    """
    reading = Reading(split, ", ".join(shown(_list_file(*entry), root) for entry in lists))
    for folder, name in lists:
        images = {path.name for path in (folder / "JPEGImages").glob("*")}
        for image_id in _read_ids(_list_file(folder, name), root, reading):
            reading.records.append(_Reader(root, folder, images, reading).read(image_id))
    return reading


def unlisted_annotations(root: Path, folders: Sequence[Path]) -> list[Finding]:
    """A note for each annotation that no list of its folder names."""
    findings = []
    for folder in folders:
        listed: set[str] = set()
        for path in (folder / "ImageSets" / "Main").glob("*.txt"):
            listed.update(_ids(path))
        for path in sorted((folder / "Annotations").glob("*.xml")):
            if path.stem not in listed:
                message = (
                    f"is in no list of {shown(folder, root)}/ImageSets/Main, so it is never used: list it"
                )
                findings.append(Finding("unlisted-annotation", shown(path, root), message, path.stem))
    return findings


def _list_file(folder: Path, name: str) -> Path:
    return folder / "ImageSets" / "Main" / f"{name}.txt"


def _ids(path: Path) -> list[str]:
    lines = (
        line.strip() for line in read_file_bytes(path, MAX_TEXT).decode("utf-8-sig", "replace").splitlines()
    )
    return [SECOND_COLUMN.sub("", line) for line in lines if line]


def _read_ids(path: Path, root: Path, reading: Reading) -> list[str]:
    """The ids of a list, each once."""
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.txt"))) or "none"
        message = f"does not exist; the lists in its folder are: {known}. Write it, one image id a line"
        reading.add("missing-list", shown(path, root), message)
        return []
    try:
        ids = _ids(path)
    except OSError as error:
        reading.add("broken-annotation", shown(path, root), f"cannot be read ({error}): write it again")
        return []
    if not is_inside(path, root):
        known_ids = [name for name in ids if (path.parents[2] / "Annotations" / f"{name}.xml").exists()]
        if len(known_ids) < len(ids):
            message = f"has {len(ids) - len(known_ids)} lines that name no annotation. {outside(path, root)}"
            reading.add("missing-annotation", shown(path, root), message)
        ids = known_ids
    counts = Counter(ids)
    for image_id, count in counts.items():
        if count > 1:
            message = f"lists {image_id} {count} times: remove the repeated lines"
            reading.add("listed-twice", shown(path, root), message, image_id)
    return list(counts)


class _Reader:
    """Reads the annotations of one folder."""

    def __init__(self, root: Path, folder: Path, images: set[str], reading: Reading) -> None:
        self.root, self.folder, self.images, self.reading = root, folder, images, reading

    def read(self, image_id: str) -> ImageRecord:
        path = self.folder / "Annotations" / f"{image_id}.xml"
        element = self._parse(path, image_id)
        filename = "" if element is None else _text(element, "filename")
        image = self._find_image(image_id, filename, shown(path, self.root))
        size = None if element is None else self._size(element, path, image_id)
        found = [] if element is None else element.findall("object")
        return ImageRecord(
            split=self.reading.split,
            image_id=image_id,
            file=shown(path, self.root),
            image=image,
            image_file=shown(image or self.folder / "JPEGImages" / f"{image_id}.jpg", self.root),
            objects=tuple(self._object(item, path, image_id, number) for number, item in enumerate(found, 1)),
            declared_size=size,
            annotated=element is not None,
        )

    def _parse(self, path: Path, image_id: str) -> Element | None:
        if not path.exists():
            written_suffix = Path(image_id).suffix.lower() in IMAGE_SUFFIXES
            hint = "; ids are listed without an extension" if written_suffix else ""
            message = (
                f"{image_id} is listed, but has no annotation{hint}: write one (without <object> if the "
            )
            message += "image has no objects), or take the id off the list"
            self.reading.add("missing-annotation", shown(path, self.root), message, image_id)
            return None
        try:
            with open_file(path, MAX_TEXT) as file:
                root: Element = parse(file).getroot()
        except DefusedXmlException:
            problem = "declares XML entities, which annotations never do: remove its <!DOCTYPE> part"
        except (ParseError, ValueError, LookupError, OSError) as error:
            problem = f"is not well-formed XML ({error}): export it again or repair it"
        else:
            return root
        self.reading.add("broken-annotation", shown(path, self.root), problem, image_id)
        return None

    def _find_image(self, image_id: str, filename: str, file: str) -> Path | None:
        suffixes = [*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES)]
        named = [filename, *(filename + suffix for suffix in suffixes)]
        candidates = [*(image_id + suffix for suffix in suffixes), *(named if filename else [])]
        # Only names that were listed are accepted, so no annotation can point outside JPEGImages.
        found = next((name for name in candidates if name in self.images), None)
        if found is None:
            message = (
                f"JPEGImages holds neither {image_id}.jpg (.jpeg, .png) nor the <filename> {filename!r}: "
            )
            message += "add the image or take the id off the list"
            self.reading.add("missing-image", file, message, image_id)
            return None
        if filename and found not in named:
            message = (
                f"<filename> says {filename!r}, but {found} is used, because it is named like the annotation"
            )
            message += ": correct <filename>, or check that the boxes belong to this image"
            self.reading.add("filename-mismatch", file, message, image_id)
        return self.folder / "JPEGImages" / found

    def _size(self, element: Element, path: Path, image_id: str) -> tuple[int, int] | None:
        try:
            height, width = (int(float(_text(element, f"size/{side}"))) for side in ("height", "width"))
        except (ValueError, OverflowError):
            height = width = 0
        if height > 0 and width > 0:
            return height, width
        message = "has no usable <size>, so boxes cannot be compared with the size they were drawn at: add it"
        self.reading.add("missing-size", shown(path, self.root), message, image_id)
        return None

    def _object(self, element: Element, path: Path, image_id: str, number: int) -> ObjectRecord:
        def missing(tag: str) -> None:
            message = f"object {number} has no <{tag}>: add it or remove the object"
            self.reading.add("missing-tag", shown(path, self.root), message, image_id, number)

        name = _text(element, "name") or None
        if name is None:
            missing("name")
        texts = {corner: _text(element, f"bndbox/{corner}") for corner in CORNERS}
        if element.find("bndbox") is None:
            missing("bndbox")
        else:
            for corner, text in texts.items():
                if not text:
                    missing(corner)
                elif _number(text) is None:
                    message = (
                        f"object {number} has <{corner}>{text}</{corner}>, which is not a finite number: "
                    )
                    message += "correct it or remove the object"
                    self.reading.add("bad-coordinate", shown(path, self.root), message, image_id, number)
        written = ", ".join(f"{corner}={text}" for corner, text in texts.items())
        corners = _numbers(texts.values())
        if corners is not None and are_fractions(corners):
            message = f"object {number} has the box {written}, in fractions of the image's sides: VOC's "
            message += "corners are pixels, counted from 1; multiply them by the image's width and height"
            self.reading.add("bad-coordinate", shown(path, self.root), message, image_id, number)
            corners = None
        box = None if corners is None else from_voc_corners(corners)
        return ObjectRecord(number, name, box, written, _text(element, "difficult") == "1")


def _numbers(texts: Iterable[str]) -> list[float] | None:
    """What the texts say; None where one of them is no number."""
    values = [_number(text) for text in texts]
    return None if None in values else [value for value in values if value is not None]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _text(element: Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()
