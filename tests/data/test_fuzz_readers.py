"""Arbitrary files: a reader returns what it documents or refuses the file in a sentence that names it."""

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detection.data.formats.coco import read_coco
from detection.data.formats.records import ObjectRecord
from detection.data.formats.usable import usable_records
from detection.data.formats.voc_folder import read_voc
from detection.data.formats.yolo import read_yolo
from tests.data.small_set import SIZE, annotation, jpeg

FUZZ = settings(
    max_examples=120,
    derandomize=True,  # the same examples in every run
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

numbers = st.one_of(
    st.integers(-10, 80).map(str),
    st.floats(width=32).map(str),
    st.sampled_from(["", "nan", "-inf", "1e400", "0x10", "1_0", "٣", "1,5", " 7 ", "--1"]),
    st.text(max_size=5),
)
words = st.text(st.characters(codec="utf-8"), max_size=12)
escaped = words.map(lambda text: text.replace("&", "&amp;").replace("<", "&lt;"))


@st.composite
def xml_files(draw: st.DrawFn) -> bytes:
    """Annotations with anything in their tags, some of them cut, changed or joined."""
    box = tuple(draw(st.tuples(numbers, numbers, numbers, numbers)))
    text = annotation(
        box, draw(escaped), extra=draw(escaped), size=f"<size><width>{draw(numbers)}</width></size>"
    )
    content = (
        draw(st.sampled_from([b"", b"\xef\xbb\xbf", b'<?xml version="1.0"?>', b"<!DOCTYPE x>"]))
        + text.encode()
    )
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(content)))
        content = content[:at] + draw(st.binary(max_size=4)) + content[at + draw(st.integers(0, 30)) :]
    return content


def attempt(read: Callable[[], Any]) -> tuple[Any, str]:
    """What is read, or the sentence that refuses it; nothing else may be raised."""
    try:
        return read(), ""
    except ValueError as error:
        return None, str(error)


def check_objects(objects: tuple[ObjectRecord, ...], size: tuple[int, int]) -> None:
    for item in objects:
        assert item.name.strip()
        x1, y1, x2, y2 = item.box
        assert all(math.isfinite(value) for value in item.box)
        assert 0 <= x1 < x2 <= size[1]
        assert 0 <= y1 < y2 <= size[0]


@pytest.fixture(scope="module")
def voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("voc")
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    (folder / "JPEGImages/x.jpg").write_bytes(jpeg())
    return folder


@given(content=st.one_of(xml_files(), st.binary(max_size=200)))
@FUZZ
def test_any_xml_file(voc: Path, content: bytes) -> None:
    (voc / "Annotations/x.xml").write_bytes(content)
    (voc / "ImageSets/Main/all.txt").write_text("x")
    found, refusal = attempt(lambda: usable_records(read_voc(voc, ["all"])))
    assert found or "Annotations/x.xml" in refusal
    for record in found[0] if found else []:
        check_objects(record.objects, (SIZE, SIZE))


@given(content=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
@FUZZ
def test_any_list(voc: Path, content: bytes) -> None:
    (voc / "ImageSets/Main/any.txt").write_bytes(content)
    found, refusal = attempt(lambda: usable_records(read_voc(voc, ["any"])))
    assert found or str(voc) in refusal


anything = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), words, st.sampled_from([1, 48, "a.jpg", "cat"])
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    (folder / "a.jpg").write_bytes(jpeg())
    return folder


@st.composite
def coco_files(draw: st.DrawFn) -> str:
    """A right file of which some values are replaced by anything."""
    document: Any = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": SIZE, "height": SIZE}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 20], "iscrowd": 0}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from(sorted(document)))
        entry = document[name][0] if isinstance(document[name], list) and document[name] else None
        if isinstance(entry, dict) and draw(st.integers(0, 3)):
            entry[draw(st.sampled_from(sorted(entry)))] = draw(anything)
        else:
            document[name] = draw(anything)
    return json.dumps(document)


@given(content=coco_files())
@FUZZ
def test_any_coco_file(images: Path, tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    for on_error in ("raise", "skip"):
        found, refusal = attempt(partial(usable_records, read_coco(images, path), on_error))
        assert found or str(path) in refusal
        for record in found[0] if found else []:
            assert record.path.is_file()
            check_objects(record.objects, record.size)


@given(
    label=st.one_of(st.lists(numbers, max_size=8).map(" ".join).map(str.encode), st.binary(max_size=40)),
    names=st.one_of(anything, st.just(["cat"])),
)
@FUZZ
def test_any_yolo_label_and_names(tmp_path: Path, label: bytes, names: Any) -> None:
    (tmp_path / "images").mkdir(exist_ok=True)
    (tmp_path / "labels").mkdir(exist_ok=True)
    (tmp_path / "images/a.jpg").write_bytes(jpeg())
    (tmp_path / "labels/a.txt").write_bytes(label)
    (tmp_path / "data.yaml").write_text(json.dumps({"train": "images", "names": names}))  # JSON is YAML
    found, refusal = attempt(lambda: usable_records(read_yolo(tmp_path, "train")))
    assert found or "data.yaml" in refusal or "a.txt" in refusal
    for record in found[0] if found else []:
        check_objects(record.objects, record.size)
