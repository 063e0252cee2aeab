"""Wrong files in COCO's and YOLO's formats: refused in a sentence, or left out with their images."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.annotated import coco_dataset, yolo_dataset
from tests.data.small_set import SIZE, jpeg


def write_coco(root: Path, change: Callable[[dict[str, Any]], object] = lambda document: None) -> Path:
    """Images 1, 2 and 3 with an object each; ``change`` edits the document."""
    (root / "images").mkdir(parents=True)
    for number in (1, 2, 3):
        (root / f"images/{number}.jpg").write_bytes(jpeg())
    document: dict[str, Any] = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": SIZE, "height": SIZE} for n in (1, 2, 3)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 7, "bbox": [5, 5, 20, 20]} for n in (1, 2, 3)
        ],
        "categories": [{"id": 7, "name": "cat"}],
    }
    change(document)
    (root / "a.json").write_text(json.dumps(document))
    return root


def of_image(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["images"][1].update(fields)


def of_object(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["annotations"][1].update(fields)


# The change, and what is said about it. Each concerns image 2 alone.
COCO: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "missing image": (of_image(file_name="9.jpg"), r"9\.jpg .*is missing"),
    "outside of the folder": (of_image(file_name="../a.json"), "is not inside of .*: correct its file_name"),
    "absolute path": (of_image(file_name="/etc/passwd"), "is not inside of"),
    "zero byte in the name": (of_image(file_name="2\0.jpg"), "is not inside of"),
    "name that is no text": (of_image(file_name=2), "needs an id and a file_name"),
    "negative width": (of_image(width=-5), "needs its width and height"),
    "width beyond all images": (of_image(width=10**30), "needs its width and height"),
    "width that is no integer": (of_image(width=48.5), "needs its width and height"),
    "nan": (of_object(bbox=[float("nan"), 5, 20, 20]), "instead of four numbers"),
    "infinity": (of_object(bbox=[5, 5, float("inf"), 20]), "instead of four numbers"),
    "too large for a float": (of_object(bbox=[5, 5, 10**400, 20]), "instead of four numbers"),
    "three numbers": (of_object(bbox=[5, 5, 20]), "instead of four numbers"),
    "words": (of_object(bbox=["5", 5, 20, 20]), "instead of four numbers"),
    "no box": (of_object(bbox=None), "instead of four numbers"),
    "empty box": (of_object(bbox=[5, 5, 0, 20]), "is an empty or inverted box"),
    "negative size": (of_object(bbox=[5, 5, 20, -20]), "is an empty or inverted box"),
    "outside": (of_object(bbox=[500, 5, 20, 20]), "lies outside its image"),
    "unknown category": (of_object(category_id=8), "unknown category_id 8"),
    "iscrowd that is neither": (of_object(iscrowd=3), "iscrowd 3: set it to 0 or 1"),
}


@pytest.mark.parametrize("case", COCO)
def test_what_is_wrong_with_one_image_of_coco(tmp_path: Path, case: str) -> None:
    change, message = COCO[case]
    root = write_coco(tmp_path, change)
    with pytest.raises(ValueError, match=message):
        coco_dataset(root / "images", root / "a.json")
    dataset = coco_dataset(root / "images", root / "a.json", on_error="skip")
    assert dataset.image_ids == ["1", "3"]
    assert [len(dataset[row].target["labels"]) for row in range(2)] == [1, 1]
    assert len(dataset.problems) == 1


def test_one_id_for_two_images_leaves_out_both(tmp_path: Path) -> None:
    root = write_coco(tmp_path, of_image(id=1))
    with pytest.raises(ValueError, match=r"has the id of 1\.jpg: give each image its own id"):
        coco_dataset(root / "images", root / "a.json")
    dataset = coco_dataset(root / "images", root / "a.json", on_error="skip")
    assert dataset.image_ids == ["3"], "nobody knows which of the two the annotations are of"


def test_an_object_of_no_image_is_listed_alone(tmp_path: Path) -> None:
    root = write_coco(tmp_path, of_object(image_id=99))
    dataset = coco_dataset(root / "images", root / "a.json", on_error="skip")
    assert dataset.image_ids == ["1", "2", "3"]
    assert "image_id 99, which is not under images" in dataset.problems[0]


BAD_JSON = {
    "empty": b"",
    "breaks off": b'{"images": [',
    "nested without end": b"[" * 200_000,
    "utf-16": '{"images": []}'.encode("utf-16"),
    "zeros": bytes(100),
    "a number of many digits": b'{"images": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize("case", BAD_JSON)
def test_a_file_that_is_not_json(tmp_path: Path, case: str, on_error: Any) -> None:
    root = write_coco(tmp_path)
    (root / "a.json").write_bytes(BAD_JSON[case])
    with pytest.raises(ValueError, match=r"a\.json is not well-formed JSON"):
        coco_dataset(root / "images", root / "a.json", on_error=on_error)


def write_yolo(root: Path, label: bytes | str = "0 0.5 0.5 0.2 0.2", yaml: str = "names: [cat]") -> Path:
    """Images a, b and c with an object each; ``label`` is that of b."""
    for part in ("images", "labels"):
        (root / part).mkdir(parents=True)
    for name in "abc":
        (root / f"images/{name}.jpg").write_bytes(jpeg())
        (root / f"labels/{name}.txt").write_text("0 0.5 0.5 0.2 0.2")
    (root / "labels/b.txt").write_bytes(label.encode() if isinstance(label, str) else label)
    (root / "data.yaml").write_text(f"train: images\nval: images\n{yaml}\n")
    return root


YOLO: dict[str, tuple[bytes | str, str]] = {
    "words": ("cat 0.5 0.5 0.2 0.2", "should be numbers"),
    "a digit apart": ("0_1 0.5 0.5 0.2 0.2", "should be numbers: class x y width height"),
    "nan": ("0 nan 0.5 0.2 0.2", "is not normalised"),
    "infinity": ("0 0.5 0.5 inf 0.2", "is not normalised"),
    "nan as the class": ("nan 0.5 0.5 0.2 0.2", "has the class nan"),
    "infinity as the class": ("inf 0.5 0.5 0.2 0.2", "has the class inf"),
    "pixels": ("0 24 24 9 9", "is not normalised"),
    "no width": ("0 0.5 0.5 0 0.2", "is an empty or inverted box"),
    "negative class": ("-1 0.5 0.5 0.2 0.2", "has the class -1"),
    "class beyond the names": ("1 0.5 0.5 0.2 0.2", "has the class 1"),
    "half a class": ("0.5 0.5 0.5 0.2 0.2", "has the class 0.5"),
    "a score": ("0 0.5 0.5 0.2 0.2 0.9", "has 5 numbers after the class"),
    "too few numbers": ("0 0.5 0.5", "has 2 numbers after the class"),
    "the second line": ("0 0.5 0.5 0.2 0.2\r\n0 0.5", "line 2"),
    "utf-16": ("0 0.5 0.5 0.2 0.2".encode("utf-16"), r"b\.txt is not text in UTF-8"),
    "zeros": (bytes(50), r"b\.txt is not text in UTF-8"),
}


@pytest.mark.parametrize("case", YOLO)
def test_what_is_wrong_with_one_image_of_yolo(tmp_path: Path, case: str) -> None:
    label, message = YOLO[case]
    root = write_yolo(tmp_path, label)
    with pytest.raises(ValueError, match=message):
        yolo_dataset(root)
    dataset = yolo_dataset(root, on_error="skip")
    assert dataset.image_ids == ["images/a.jpg", "images/c.jpg"]
    assert "b.txt" in dataset.problems[0]


def test_missing_and_lonely_files_of_yolo(tmp_path: Path) -> None:
    root = write_yolo(tmp_path)
    (root / "images/b.jpg").unlink()
    assert yolo_dataset(root, on_error="skip").image_ids == ["images/a.jpg", "images/c.jpg"]
    (root / "list.txt").write_text("images/a.jpg\nimages/b.jpg\n")
    (root / "data.yaml").write_text("train: list.txt\nnames: [cat]\n")
    dataset = yolo_dataset(root, on_error="skip")
    assert dataset.image_ids == ["images/a.jpg"]
    assert "line 2: there is no image" in dataset.problems[0]
    (root / "list.txt").write_text("images/b.jpg\n")
    with pytest.raises(ValueError, match=r"data\.on_error=skip leaves no image: 1 of the images of train"):
        yolo_dataset(root, on_error="skip")


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
BAD_YAML = {
    "aliases without end, as names": f"{BOMB}names: *j",
    "aliases without end, inside of names": f"{BOMB}names: [*j]",
    "aliases without end, as a count": f"{BOMB}names: [cat]\nnc: *j",
    "aliases without end, as the path": f"{BOMB}names: [cat]\npath: *j",
    "aliases without end, as the split": f"{BOMB}names: [cat]\ntrain: *j",
    "nested without end": "names: " + "[" * 20_000,
}


@pytest.mark.parametrize("case", BAD_YAML)
@pytest.mark.timeout(60)
def test_a_description_that_could_do_harm(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = write_yolo(tmp_path, yaml=BAD_YAML[case])
    with pytest.raises(ValueError, match=r"data\.yaml"):
        yolo_dataset(root)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!cat", "!!timestamp"])
def test_tags_of_a_description_have_no_effect(
    tmp_path: Path, tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = write_yolo(tmp_path, yaml=f"names: [{tag} 'touch harm']")
    assert yolo_dataset(root).classes == ("touch harm",)
    assert not (tmp_path / "harm").exists()
