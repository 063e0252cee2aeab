"""Folders in which no set was recognised: what lies there instead, and what to do."""

import shlex
from pathlib import Path

from detection.data.formats.places import walk_below
from detection.system.file_reading import MAX_JSON, open_file

_REMEDY = "export the set again"
_BY_NAME = {".createml.json": "CreateML's format", "_annotations.csv": "A table"}
# What stands near the start of a JSON file.
_BY_WORD = {
    b'"shapes":': ("labelme's format", "convert it, by FiftyOne or labelme's own examples, say,"),
    b'"_via_settings"': ("VIA's own format", _REMEDY),
    b'"shape_attributes"': ("VIA's own format", _REMEDY),
    b'"completed_by"': ("Label Studio's own format", _REMEDY),
    b'"annotator"': ("Label Studio's own format", _REMEDY),
    b'"data_row"': ("Labelbox's own format", _REMEDY),
    b'"dm_format_version"': ("Datumaro's own format", _REMEDY),
    b'"geometry_config"': ("Supervisely's own format", _REMEDY),
    b'"activeLearningSettings"': ("VoTT's own format", _REMEDY),
}
_START = 4096  # bytes
_MOST_LOOKED_INTO = 20  # files


def another_format(root: Path) -> str | None:
    """Says that annotations are those of a tool whose own format is not read; None where they are not."""
    jsons: list[str] = []
    for file in walk_below(root):
        if found := next((name for ending, name in _BY_NAME.items() if file.endswith(ending)), None):
            return _say(found, _REMEDY)
        if file.lower().endswith((".json", ".ndjson")) and len(jsons) < _MOST_LOOKED_INTO:
            jsons.append(file)
    return next(filter(None, map(another_json, jsons)), None)


def another_json(file: Path | str) -> str | None:
    """The same of one JSON file."""
    try:
        with open_file(file, MAX_JSON) as opened:
            start = opened.read(_START)
    except OSError:
        return None
    return next((_say(*told) for word, told in _BY_WORD.items() if word in start), None)


def remedy_for_lists(lists: Path) -> str:
    """What to do where a folder of lists, ``ImageSets/Main``, has none to train on."""
    if any(lists.glob("*_train.txt")):  # cat_train.txt, as VOC has them beside train.txt, and VoTT alone
        one_list = r"sed -E 's/ +-?[01]\r?$//'"
        splits = [split for split in ("train", "val", "test") if any(lists.glob(f"*_{split}.txt"))]
        typed = "; ".join(f"cat *_{split}.txt | {one_list} | sort -u > {split}.txt" for split in splits)
        return f"Its lists are of one class each: make one of all by cd {shlex.quote(str(lists))}; {typed}"
    return (
        "Its ImageSets list no images to train on: write ImageSets/Main/train.txt, an image id a line, or "
        "remove ImageSets to have all that is annotated"
    )


def _say(name: str, remedy: str) -> str:
    return f"{name} is not read: {remedy} as COCO, Pascal VOC or YOLO"
