"""Files that never end, or that are none of a data set's business."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from detection.checkpoints.loading import read_checkpoint
from detection.data.formats.voc import read_annotation
from detection.data.formats.voc_folder import read_voc
from detection.data.formats.yolo import read_yolo
from detection.data.image_files import decode_image, read_header
from detection.data.voc import VOCDetection
from detection.models.backbones.weights import read_file
from detection.system.file_reading import UnfitFileError, read_file_bytes, read_text
from tests.data.annotated import coco_dataset, yolo_dataset
from tests.data.small_set import jpeg

SECRET = "root:$6$s3cr3t:19000:0:99999:7:::"
READERS: dict[str, Callable[[Path], object]] = {
    "checkpoint": read_checkpoint,
    "weights": lambda path: read_file(path, ""),
    "annotation": read_annotation,
    "coco": lambda path: coco_dataset(path.parent, path),
    "data.yaml": lambda path: yolo_dataset(path, "train"),
    "header": read_header,
    "pixels": lambda path: decode_image(path, upright=False),
    "text": read_text,
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this platform has no fifos")
@pytest.mark.timeout(20)
@pytest.mark.parametrize("reader", READERS)
def test_a_fifo_is_refused(tmp_path: Path, reader: str) -> None:
    path = tmp_path / "fifo.yaml"
    os.mkfifo(path)
    with pytest.raises((ValueError, OSError), match="is a fifo"):
        READERS[reader](path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this platform has no such device")
@pytest.mark.timeout(20)
@pytest.mark.parametrize("reader", READERS)
def test_a_link_to_a_device_is_refused(tmp_path: Path, reader: str) -> None:
    path = tmp_path / "endless.yaml"
    path.symlink_to("/dev/zero")
    with pytest.raises((ValueError, OSError), match="is a device"):
        READERS[reader](path)


@pytest.mark.parametrize("reader", READERS)
def test_a_file_beyond_the_limit_is_refused(tmp_path: Path, reader: str) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(2**35)  # takes no room on the disk
    with pytest.raises((ValueError, OSError), match=r"is larger than .* the limit for files of its kind"):
        READERS[reader](path)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this platform has no such sockets")
def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        with pytest.raises(OSError, match="s"):
            read_text(Path("s"))


def test_the_limit_holds_for_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_file_bytes(tmp_path / "a", 5) == b"12345"
    with pytest.raises(UnfitFileError, match="larger than"):
        read_file_bytes(tmp_path / "a", 4)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    path = tmp_path / "outside/shadow"
    path.write_text(f"{SECRET}\n{SECRET}2\n")
    return path


def yolo_set(root: Path, train: str = "images") -> Path:
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    (root / "images/a.jpg").write_bytes(jpeg())
    (root / "images/b.jpg").write_bytes(jpeg())
    (root / "labels/b.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (root / "data.yaml").write_text(json.dumps({"train": train, "val": "images", "names": ["cat"]}))
    return root


def voc_set(root: Path) -> Path:
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    return root


def list_of_yolo(root: Path, secret: Path) -> Path:
    return yolo_set(root, str(secret))


def label_of_yolo(root: Path, secret: Path) -> Path:
    yolo_set(root)
    (root / "labels/a.txt").symlink_to(secret)
    return root


def description_of_yolo(root: Path, secret: Path) -> Path:
    yolo_set(root)
    (root / "data.yaml").unlink()
    (root / "data.yaml").symlink_to(secret)
    secret.write_text(f"key: [{SECRET}\n: {{")
    return root


def names_of_yolo(root: Path, secret: Path) -> Path:
    description_of_yolo(root, secret)
    secret.write_text(f"names: {{password: '{SECRET}'}}\n")
    return root


def list_of_voc(root: Path, secret: Path) -> Path:
    voc_set(root)
    (root / "ImageSets/Main/train.txt").symlink_to(secret)
    return root


def annotation_of_voc(root: Path, secret: Path) -> Path:
    voc_set(root)
    (root / "ImageSets/Main/train.txt").write_text("a\n")
    (root / "JPEGImages/a.jpg").write_bytes(jpeg())
    (root / "Annotations/a.xml").symlink_to(secret)
    return root


SETS = [list_of_yolo, label_of_yolo, description_of_yolo, names_of_yolo, list_of_voc, annotation_of_voc]


@pytest.mark.parametrize("make", SETS)
def test_nothing_from_outside_is_quoted(tmp_path: Path, secret: Path, make: Callable[..., Path]) -> None:
    root = make(tmp_path / "set", secret)
    yolo = "yolo" in make.__name__
    reading = read_yolo(root, "train") if yolo else read_voc(root, ["train"])
    assert reading.findings
    assert "s3cr3t" not in str(reading)
    with pytest.raises((ValueError, OSError)) as refusal:
        yolo_dataset(root, "train") if yolo else VOCDetection(root, ["train"])
    assert "s3cr3t" not in str(refusal.value)
    assert str(secret) in str(refusal.value) or "a.txt" in str(refusal.value) or "a.xml" in str(refusal.value)


def test_an_error_inside_of_the_data_set_quotes_the_line(tmp_path: Path) -> None:
    root = yolo_set(tmp_path / "set")
    (root / "labels/a.txt").write_text("cat 0.5 0.5 0.2 0.2\n")
    with pytest.raises(ValueError, match=r"a\.txt: line 1 \(cat 0\.5"):
        yolo_dataset(root, "train")
