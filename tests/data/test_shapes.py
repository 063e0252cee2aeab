import json
from pathlib import Path

import numpy as np
import pytest

from detection.data.shape_drawing import draw_image
from detection.data.shapes import SHAPE_CLASSES, write_shapes
from detection.data.voc import VOCDetection


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def contents(devkit: Path) -> dict[str, bytes]:
    return {str(path.relative_to(devkit)): path.read_bytes() for path in devkit.rglob("*") if path.is_file()}


def test_is_read_as_voc(tmp_path: Path) -> None:
    devkit = write_shapes(tmp_path, 30, 4, 6, size=96)
    lengths = {}
    for split in ("train", "val", "test"):
        dataset = VOCDetection(devkit, [("Shapes", split)], SHAPE_CLASSES)
        lengths[split] = len(dataset)
        for image, target in (dataset[i] for i in range(len(dataset))):
            assert image.shape == (3, 96, 96)
            assert len(target["boxes"]) <= 4
    assert lengths == {"train": 30, "val": 4, "test": 6}
    assert sorted(path.name for path in tmp_path.joinpath("VOCdevkit").iterdir()) == ["Shapes"]


def test_same_seed_same_bytes_and_splits_do_not_depend_on_each_other(tmp_path: Path) -> None:
    first = contents(write_shapes(tmp_path / "a", 4, 2, 2, seed=3))
    assert contents(write_shapes(tmp_path / "b", 4, 2, 2, seed=3)) == first
    other = contents(write_shapes(tmp_path / "c", 6, 3, 2, seed=3))
    images = [name for name in first if name.endswith((".jpg", ".xml"))]
    assert all(other[name] == first[name] for name in images)
    reseeded = contents(write_shapes(tmp_path / "d", 4, 2, 2, seed=4))
    assert all(reseeded[name] != first[name] for name in images if name.endswith(".jpg"))
    pictures = [first[name] for name in images if name.endswith(".jpg")]
    assert len(set(pictures)) == len(pictures)


def test_written_once_and_beside_for_other_settings(tmp_path: Path) -> None:
    first = write_shapes(tmp_path, 2, 1, 1)
    image = first / "Shapes" / "JPEGImages" / "train_00000.jpg"
    image.write_bytes(b"mark")
    assert write_shapes(tmp_path, 2, 1, 1) == first
    other = write_shapes(tmp_path, 3, 1, 1)
    assert write_shapes(tmp_path, 3, 1, 1) == other != first
    assert image.read_bytes() == b"mark", "another run may be training on these"
    assert len(list((other / "Shapes" / "JPEGImages").iterdir())) == 5
    assert json.loads((other / "Shapes" / "manifest.json").read_text())["num_train"] == 3


def test_interrupted_writing_leaves_nothing_that_looks_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devkit = write_shapes(tmp_path, 2, 1, 1)
    before = contents(devkit)

    def full_disk(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("detection.data.shapes._write_image", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_shapes(tmp_path, 5, 1, 1)
    assert contents(devkit) == before
    monkeypatch.undo()
    whole = write_shapes(tmp_path, 5, 1, 1)
    assert len(list((whole / "Shapes" / "JPEGImages").iterdir())) == 7


def test_never_replaces_what_it_did_not_write(tmp_path: Path) -> None:
    (tmp_path / "VOCdevkit" / "Shapes").mkdir(parents=True)
    with pytest.raises(FileExistsError, match="was not written by write_shapes"):
        write_shapes(tmp_path, 1, 1, 1)


@pytest.mark.parametrize(("counts", "size"), [((-1, 0, 0), 128), ((1, 1, 1), 20)])
def test_bad_parameters(tmp_path: Path, counts: tuple[int, int, int], size: int) -> None:
    with pytest.raises(ValueError, match="counts of 0 or more and a size of at least 64"):
        write_shapes(tmp_path, *counts, size=size)


def test_jpeg_keeps_the_colours(tmp_path: Path) -> None:
    dataset = VOCDetection(write_shapes(tmp_path, 1, 0, 0, seed=9), [("Shapes", "train")], SHAPE_CLASSES)
    drawn = draw_image(np.random.default_rng((9, 0, 0)), 128).image.astype(float)
    read = dataset[0].image.permute(1, 2, 0).numpy().astype(float)
    assert np.abs(drawn - read).mean() < 6
    assert np.abs(drawn - read[..., ::-1]).mean() > 12
