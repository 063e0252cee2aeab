"""Images that look alike, from files."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from detection.data import likeness
from detection.data.formats.records import ImageRecord
from detection.data.likeness import DIFFERING, group_alike, look, look_at


def scene(seed: int, size: tuple[int, int] = (240, 320)) -> NDArray[np.uint8]:
    """Blurred noise, which has structure of all sizes, as photographs have."""
    rng = np.random.default_rng(seed)
    image = np.zeros((*size, 3))
    for cells in (3, 6, 12, 40):
        noise = rng.normal(size=(cells, cells, 3)) * 40 / np.log2(cells + 1)
        image += cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(image + 128, 0, 255).astype(np.uint8)


def record(path: Path, image: NDArray[np.uint8], *options: int) -> ImageRecord:
    cv2.imwrite(str(path), image, options)
    return ImageRecord(path.name, str(path), (image.shape[0], image.shape[1]), (), "")


def test_copies_of_an_image_are_alike_and_others_are_not(tmp_path: Path) -> None:
    records = []
    for seed in range(20):
        image = scene(seed)
        brighter = np.clip(image.astype(np.float64) * 1.1 + 10, 0, 255).astype(np.uint8)
        kinds: dict[str, NDArray[Any]] = {
            "large.jpg": cv2.resize(image, (960, 720)), "small.jpg": cv2.resize(image, (160, 120)),
            "plain.png": image, "bright.jpg": brighter,
        }  # fmt: skip
        records += [record(tmp_path / f"{seed}_{name}", kind) for name, kind in kinds.items()]
        records.append(record(tmp_path / f"{seed}_bad.jpg", image, cv2.IMWRITE_JPEG_QUALITY, 20))
    names = [item.image_id for item in records]
    groups = group_alike(names, [look(item) for item in records], DIFFERING[0])
    assert sorted(len(group) for group in groups) == [5] * 20
    assert all(len({name.split("_")[0] for name in group}) == 1 for group in groups)


def test_copies_that_a_tool_made_are_told_by_their_names() -> None:
    names = ["a_jpg.rf.01ab.jpg", "a_jpg.rf.02cd.jpg", "b_jpg.rf.01ab.jpg", "a.jpg"]
    groups = group_alike(names, [""] * 4, 0)
    assert groups == [names[:2], names[2:3], names[3:]]


def test_chains_of_likeness_are_one_group_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likeness, "_ROWS", 2)
    steps = [bytes([255] * n + [0] * (16 - n)).hex() for n in range(6)]  # eight bits from one to the next
    names = [f"{n}" for n in range(7)]
    assert group_alike(names, [*steps[::-1], ""], 8) == [names[:6], names[6:]]
    assert len(group_alike(names, [*steps, ""], 7)) == 7


def test_what_was_seen_is_not_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    records = [record(tmp_path / f"{seed}.jpg", scene(seed)) for seed in range(3)]
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    records.append(ImageRecord("broken", str(tmp_path / "broken.jpg"), (9, 9), (), ""))
    first = look_at(records, tmp_path)
    assert first[3] == ""
    monkeypatch.setattr(likeness, "look", lambda item: "00" * 16)
    assert look_at(records, tmp_path) == first
    cv2.imwrite(str(records[1].path), scene(7))
    assert look_at(records, tmp_path) == [first[0], "00" * 16, *first[2:]]
    for content in ("[]", "{", '{"format": 1, "looks": {"a": 3}}'):
        (file,) = (tmp_path / "cache/lightning-detection").glob("*.json")
        file.write_text(content)
        assert len(look_at(records, tmp_path)) == 4
