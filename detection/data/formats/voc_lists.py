"""Which annotations a folder in VOC's layout has, and what its lists of ids say."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from detection.data.formats.layouts import VOCPlace
from detection.data.formats.places import files_below, in_either_case
from detection.data.formats.records import Reading
from detection.data.image_files import IMAGE_SUFFIXES
from detection.system.file_reading import fault_of, is_inside, read_text
from detection.system.wording import are, counted

# In the lists of one class: whether the image shows it (1), does not (-1), or hardly (0).
_FLAG = re.compile(r"\s+(-1|0|1)$")


def xml_of(place: VOCPlace, short_id: str) -> str:
    """The annotation of an image; its ending may be in capitals."""
    return in_either_case(f"{place.annotations}/{short_id}.xml")


def find_xmls(place: VOCPlace, ids: Sequence[str]) -> dict[str, str]:
    """The annotation of each image, see `xml_of`; the folder is listed once instead of looking for each."""
    there = set(os.listdir(place.annotations)) if place.annotations.is_dir() else set()
    folder = str(place.annotations)
    return {
        short_id: f"{folder}/{name}" if (name := f"{short_id}.xml") in there else xml_of(place, short_id)
        for short_id in ids
    }


def omits_empty(place: VOCPlace) -> bool:
    """Whether CVAT or Datumaro wrote a set: they list images without objects, but give them no XML."""
    return place.list_file is not None and (place.folder / "labelmap.txt").is_file()


def read_ids(place: VOCPlace, reading: Reading) -> list[str]:
    """The ids of a split, each once; no message repeats those of a list outside of the set."""
    path = place.list_file
    if path is None:
        beside = place.annotations == place.folder
        found = place.annotations.iterdir() if beside else map(Path, files_below(place.annotations))
        xmls = (file for file in found if file.suffix.lower() == ".xml" and not file.name.startswith("._"))
        return sorted(file.relative_to(place.annotations).with_suffix("").as_posix() for file in xmls)
    if not path.exists():
        reading.add("missing-list", path, _no_list(path))
        return []
    try:
        lines = [line.strip().replace("\\", "/") for line in read_text(path).splitlines() if line.strip()]
    except (ValueError, OSError) as error:
        reading.add("broken-annotation", path, fault_of(path, place.folder, error))
        return []
    if not lines:
        reading.add("empty-split", path, "lists no images: write an image id a line")
    # An id may well end in a number: only what is no id has a flag.
    flagged = {line for line in lines if _FLAG.search(line) and not os.path.isfile(xml_of(place, line))}
    without = sum(line.endswith("-1") for line in flagged)
    if without:
        reading.notes.append(
            f"{path} is a list of one class: of its {counted(len(lines), 'image')} {without} "
            f"without it (-1) {are(without)} used all the same; remove such lines to leave them out"
        )
    names = [_FLAG.sub("", line) if line in flagged else line for line in lines]
    ids = [_id_of(name, place) for name in names]
    paths = [(name, short_id) for name, short_id in zip(names, ids, strict=True) if name != short_id]
    if paths:
        told = f", {paths[0][0]} for one, which is read as {paths[0][1]}" * is_inside(path, place.folder)
        reading.notes.append(
            f"{path} lists {counted(len(paths), 'image')} by file name or path instead of id{told}"
        )
    counts = Counter(ids)
    repeated, count = counts.most_common(1)[0] if counts else ("", 0)
    if count > 1:
        what = f"the image {repeated} {count} times" if is_inside(path, place.folder) else "images"
        reading.add("listed-twice", path, f"lists {what}: remove the repeated lines")
    return list(counts)


def _id_of(name: str, place: VOCPlace) -> str:
    """The id that a list gives as a file name or as a path, be it one of another computer."""
    stem, suffix = os.path.splitext(name)
    has_ending = suffix.lower() in IMAGE_SUFFIXES or suffix.lower() == ".xml"
    if not (has_ending or "/" in name) or os.path.isfile(xml_of(place, name)):
        return name
    parts = (stem if has_ending else name).split("/")
    ends = ("/".join(parts[start:]) for start in range(len(parts)) if ".." not in parts[start:])
    return next((end for end in ends if os.path.isfile(xml_of(place, end))), name)


def _no_list(path: Path) -> str:
    known = sorted(file.stem for file in path.parent.glob("*.txt"))
    if known:
        return f"does not exist; the splits in that folder are: {', '.join(known)}"
    return (
        "does not exist; the splits in that folder are: none. Write train.txt and val.txt there, an image "
        "id a line"
    )
