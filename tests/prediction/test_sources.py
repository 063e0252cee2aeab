"""What a source names."""

from pathlib import Path

import pytest

from detection.data.image_sources import MARK, ImageFiles, VideoFile, Webcam, find_source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "b.jpg",
        "a.PNG",
        "sub/b.jpg",
        "sub/deep er/ü.webp",
        ".hidden/x.jpg",
        "sub/._b.jpg",
        "notes.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "film.MP4").touch()
    return tmp_path


def names(source: str | Path) -> list[str]:
    found = find_source(str(source))
    assert isinstance(found, ImageFiles)
    assert all(file.path.is_file() for file in found.files)
    return [file.name for file in found.files]


def test_a_folder_with_its_subfolders(folder: Path) -> None:
    assert names(folder) == ["a.PNG", "b.jpg", "sub/b.jpg", "sub/deep er/ü.webp"]


def test_what_a_prediction_has_written_is_not_read_again(folder: Path) -> None:
    """Its pictures have boxes drawn in them, and its sets are the images once more."""
    for name in ("out/images/b.jpg", "out/coco/train2017/b.jpg", "out/mine/b.jpg", "theirs/images/c.jpg"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).touch()
    for name in ("out/coco", "out/images"):
        (folder / name / MARK).touch()
    (folder / "theirs/detections.json").write_text("[]")  # another tool's
    found = find_source(str(folder))
    assert isinstance(found, ImageFiles)
    assert found.drawn == [folder / "out/coco", folder / "out/images"]
    assert names(folder)[2:4] == ["out/mine/b.jpg", "sub/b.jpg"]
    assert names(folder)[-1] == "theirs/images/c.jpg"
    assert names(folder / "out/images") == ["b.jpg"], "asked for"
    (folder / "out/mine/b.jpg").unlink()
    with pytest.raises(ValueError, match=r"written by an earlier prediction: .*out/coco, .*out/images\."):
        find_source(str(folder / "out"))


def test_one_image(folder: Path) -> None:
    assert names(folder / "sub/b.jpg") == ["b.jpg"]


def test_patterns_keep_what_is_below_their_fixed_part(folder: Path) -> None:
    assert names(folder / "*.jpg") == ["b.jpg"]
    assert names(folder / "*/*.jpg") == ["sub/b.jpg"]
    assert names(folder / "**/b.*") == ["b.jpg", "sub/b.jpg"]
    assert names(folder / "sub/*") == ["b.jpg"]


def test_a_file_whose_name_looks_like_a_pattern_or_a_number(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "[1].jpg").touch()
    assert names(folder / "[1].jpg") == ["[1].jpg"]
    (folder / "7").mkdir()
    (folder / "7/a.jpg").touch()
    monkeypatch.chdir(folder)
    assert names("7") == ["a.jpg"]


def test_heic_photos_are_not_silently_left_out(folder: Path) -> None:
    (folder / "photo.HEIC").touch()
    assert "photo.HEIC" in names(folder)


def test_a_url_is_no_file() -> None:
    with pytest.raises(ValueError, match=r"https://example\.org/a\.jpg is no file of this machine: download"):
        find_source("https://example.org/a.jpg")


def test_videos_and_webcams(folder: Path) -> None:
    assert find_source(str(folder / "film.MP4")) == VideoFile(folder / "film.MP4")
    assert find_source(0) == find_source("0") == Webcam(0)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none", "there is no such file or folder. source takes an image, a folder"),
        ("notes.txt", "neither an image .*jpg.* nor a video .*mp4"),
        ("*.gif", r"The pattern .* has no image .*it has no files at all"),
        ("*.MP4", r"it has 1 x \.mp4\. Videos are given one by one"),
        ("empty", r"The folder .* has no image .*it has 1 x \.txt"),
    ],
)
def test_nothing_to_detect_in(folder: Path, source: str, message: str) -> None:
    (folder / "empty").mkdir()
    (folder / "empty/readme.txt").touch()
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        find_source(str(folder / source))
