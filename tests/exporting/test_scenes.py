"""Images to compare on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from detection.exporting.verification import generated_scenes, plain_scene, scenes_of_files, spread


def prepare(image: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1)


def test_rows_are_spread_over_all() -> None:
    assert spread(3, 11) == [0, 5, 10]
    assert spread(5, 2) == [0, 1]
    assert spread(1, 7) == [0]


def test_files_are_spread_over_the_folder(tmp_path: Path) -> None:
    for i in range(5):
        Image.new("RGB", (10 + i, 8), (i, 0, 0)).save(tmp_path / f"{i}.png")
    scenes = scenes_of_files(str(tmp_path), 3, prepare)
    assert [scene.name for scene in scenes] == ["0.png", "2.png", "4.png"]
    assert scenes[1].image.shape == (3, 8, 12)
    assert scenes[1].image[:, 0, 0].tolist() == [2, 0, 0]


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ValueError, match=r"broken\.jpg breaks off"):
        scenes_of_files(str(tmp_path), 3, prepare)


def test_a_damaged_image_among_others_is_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    Image.new("RGB", (10, 8)).save(tmp_path / "whole.png")
    assert [scene.name for scene in scenes_of_files(str(tmp_path), 3, prepare)] == ["whole.png"]
    assert "Passed over: " in (told := capsys.readouterr().out)
    assert "broken.jpg breaks off" in told


def test_a_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match="give an image, a folder of images"):
        scenes_of_files(str(tmp_path / "film.mp4"), 3, prepare)


def test_generated_scenes_differ_in_size_and_content_and_repeat_with_the_seed() -> None:
    scenes, again = generated_scenes(4, 0, prepare), generated_scenes(4, 0, prepare)
    assert [scene.image.shape[1:] for scene in scenes] == [(300, 400), (400, 300), (320, 320), (300, 400)]
    assert not scenes[0].image.equal(scenes[3].image)
    assert all(a.image.equal(b.image) for a, b in zip(scenes, again, strict=True))
    assert len(plain_scene(prepare).image.flatten(1).unique(dim=1)[0]) == 1
