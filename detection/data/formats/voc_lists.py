"""The images of a split in VOC's format: the ids that its list or its folder holds, and their XML files."""

import os
import re
from collections import Counter
from pathlib import Path

from detection.data.formats.layouts import VOCPlace
from detection.data.formats.records import Reading
from detection.system.file_reading import fault_of, is_inside, read_text

# In the lists of one class: whether the image shows it (1), does not (-1), or hardly (0).
_FLAG = re.compile(r"\s+(-1|0|1)$")


def xml_of(place: VOCPlace, short_id: str) -> str:
    """The annotation of an image; its ending may be in capitals."""
    path = f"{place.annotations}/{short_id}.xml"
    capitals = f"{place.annotations}/{short_id}.XML"
    return capitals if not os.path.isfile(path) and os.path.isfile(capitals) else path


def omits_empty(place: VOCPlace) -> bool:
    """Whether CVAT or Datumaro wrote a set: they list images without objects, but give them no XML."""
    return place.list_file is not None and (place.folder / "labelmap.txt").is_file()


def read_ids(place: VOCPlace, reading: Reading) -> list[str]:
    """The ids of a split, each once; no message repeats those of a list outside of the set."""
    path = place.list_file
    if path is None:
        beside = place.annotations == place.folder
        found = place.annotations.iterdir() if beside else place.annotations.rglob("*")
        xmls = (file.relative_to(place.annotations) for file in found if file.suffix.lower() == ".xml")
        return sorted(file.with_suffix("").as_posix() for file in xmls)
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
            f"{path} is a list of one class: {without} of its {len(lines)} images do not show it (-1), and "
            "are used all the same; remove their lines to leave them out"
        )
    counts = Counter(_FLAG.sub("", line) if line in flagged else line for line in lines)
    repeated, count = counts.most_common(1)[0] if counts else ("", 0)
    if count > 1:
        what = f"the image {repeated} {count} times" if is_inside(path, place.folder) else "images"
        reading.add("listed-twice", path, f"lists {what}: remove the repeated lines")
    return list(counts)


def _no_list(path: Path) -> str:
    known = sorted(file.stem for file in path.parent.glob("*.txt"))
    if known:
        return f"does not exist; the splits in that folder are: {', '.join(known)}"
    return (
        "does not exist; the splits in that folder are: none. Write train.txt and val.txt there, an image "
        "id a line"
    )
