import os
import unicodedata
from pathlib import Path

from detection.data.formats.places import (
    FilesByName,
    files_below,
    find_images,
    images_by_stem,
    labels_of,
    moved,
    named_place,
)


def test_links_to_folders_are_followed_once_and_circles_end(tmp_path: Path) -> None:
    (tmp_path / "set/day").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for name in ("set/b.jpg", "set/day/a.jpg", "set/day/._a.jpg", "elsewhere/c.jpg"):
        (tmp_path / name).touch()
    os.symlink(tmp_path / "elsewhere", tmp_path / "set/shots")
    os.symlink(tmp_path / "elsewhere", tmp_path / "set/shots too")
    os.symlink(tmp_path / "set", tmp_path / "elsewhere/back")
    found = [Path(file).relative_to(tmp_path / "set") for file in files_below(tmp_path / "set")]
    assert [str(file) for file in found if file.suffix] == ["b.jpg", "day/a.jpg", "shots/c.jpg"]
    assert files_below(tmp_path / "nowhere") == []


def test_a_link_above_the_folder_brings_no_other_split(tmp_path: Path) -> None:
    for name in ("images/train/a.jpg", "images/val/b.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    os.symlink("..", tmp_path / "images/train/loop")
    os.symlink("/", tmp_path / "images/train/root")
    found = files_below(tmp_path / "images/train")
    assert [file for file in found if file.endswith(".jpg")] == [str(tmp_path / "images/train/a.jpg")]


def test_paths_of_another_computer_lead_to_their_longest_end_here(tmp_path: Path) -> None:
    (tmp_path / "images/train").mkdir(parents=True)
    (tmp_path / "train").mkdir()
    here = tmp_path / "images/train"
    for path in ("/content/pets/images/train", "C:\\pets\\images\\train", "../../pets/images/train/"):
        assert moved(tmp_path, path) == here
    assert moved(tmp_path, "/other/train") == tmp_path / "train"
    assert moved(tmp_path, "/content/pets/photos") is None
    assert moved(tmp_path, "pets/images/train") is None, "relative to the set: a mistake, not another place"
    assert moved(tmp_path / "train", "/../images/train") is None, "never above the set"


def test_labels_may_end_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.TXT").touch()
    assert labels_of(tmp_path / "images/a.jpg") == str(tmp_path / "labels/a.TXT")
    assert labels_of(tmp_path / "images/b.jpg") == str(tmp_path / "labels/b.txt")


def test_folders_may_be_written_in_capitals(tmp_path: Path) -> None:
    for name in ("IMAGES/Train/a.jpg", "LABELS/Train/a.txt"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    image = tmp_path / "IMAGES/Train/a.jpg"
    assert labels_of(image) == str(tmp_path / "LABELS/Train/a.txt")
    assert named_place(tmp_path, "images/train") == image.parent
    assert named_place(tmp_path, "images/val") is None
    (tmp_path / "labels").mkdir()
    assert labels_of(image) == str(tmp_path / "labels/Train/a.txt"), "the name as it is goes before"


def test_of_two_images_of_one_name_the_one_in_that_folder_is_meant(tmp_path: Path) -> None:
    touched(tmp_path / "a/x.jpg")
    assert FilesByName(tmp_path).find("elsewhere/X.JPG") == "a/x.jpg"
    touched(tmp_path / "b/x.jpg")
    assert FilesByName(tmp_path).find("elsewhere/X.JPG") is None
    assert FilesByName(tmp_path).find("b\\x.jpg") == "b/x.jpg"
    for path in ("/content/pets/train/b/x.jpg", "C:\\pets\\b\\x.jpg", "../b/x.jpg", "train/b/x.jpg"):
        assert FilesByName(tmp_path).find(path) == "b/x.jpg"
    assert FilesByName(tmp_path / "a").find("../b/x.jpg") == "x.jpg", "never above the folder"


def test_the_folder_that_holds_most_of_the_images_is_theirs(tmp_path: Path) -> None:
    annotations = tmp_path / "annotations/instances_val2017.json"
    for name in ("a", "b", "c"):
        touched(tmp_path / f"images/{name}.jpg")
    touched(tmp_path / "val2017/a.jpg")
    names = ["a.jpg", "b.jpg", "c.jpg", "missing.jpg"]
    assert find_images(annotations, names) == tmp_path / "images"
    assert find_images(annotations, ["missing.jpg", *names]) == tmp_path / "images"
    for name in ("b", "c"):
        touched(tmp_path / f"val2017/{name}.jpg")
    assert find_images(annotations, names) == tmp_path / "val2017", "the first of those that hold as many"


def touched(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_letters_that_are_put_together_otherwise_are_the_same(tmp_path: Path) -> None:
    """A Mac writes an umlaut into the name of a file as two characters, an annotation has one."""
    one, two = (unicodedata.normalize(form, "Käfer 1") for form in ("NFC", "NFD"))
    for there, asked in ((one, two), (two, one)):
        folder = tmp_path / str(len(there))
        for name in (f"images/{there}.jpg", f"labels/{there}.TXT"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        assert FilesByName(folder / "images").find(f"{asked}.jpg") == f"{there}.jpg"
        assert labels_of(folder / "images" / f"{asked}.jpg") == f"{folder}/labels/{there}.TXT"
        assert images_by_stem(folder / "images")[asked] == f"{there}.jpg"


def test_an_address_goes_on_behind_the_file(tmp_path: Path) -> None:
    (tmp_path / "a b.jpg").touch()
    assert FilesByName(tmp_path).find("https://host/x/a%20b.jpg?X-Amz=1&b=2") == "a b.jpg"
