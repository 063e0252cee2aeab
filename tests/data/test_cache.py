"""Decoded images that are kept: the same samples, one copy, full disks, changed images, real processes."""

import atexit
import errno
import logging
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from PIL import Image

from detection.cli.faults import describe
from detection.data import cache
from detection.data.cache import CacheError, ImageCache, open_cache
from detection.data.image_files import ImageError, decode_image
from detection.data.sources import VOCDataModule
from detection.types import PaddedBatch
from tests.data.small_set import SIZE, SmallSet, encoded

BYTES = 3 * SIZE * SIZE


@pytest.fixture
def noisy_set(small_set: SmallSet) -> SmallSet:
    """Five images that differ."""
    rng = np.random.default_rng(0)
    for image_id in "abcde":
        pixels = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        content = encoded(Image.fromarray(pixels), "JPEG")
        if image_id in small_set.ids:
            (small_set.root / "JPEGImages" / f"{image_id}.jpg").write_bytes(content)
        else:
            small_set.add(image_id, content)
    return small_set


@pytest.fixture
def shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setattr(cache, "SHARED_MEMORY", folder)
    return folder


def batches(module: VOCDataModule) -> Iterator[PaddedBatch]:
    """Two epochs of training, the second from what the first has kept, and one of evaluation."""
    loader: Any = module.train_dataloader()
    for epoch in range(2):
        loader.batch_sampler.sampler.set_epoch(epoch)
        yield from loader
    yield from module.val_dataloader()


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_samples_are_the_same_with_and_without(
    noisy_set: SmallSet, shared_memory: Path, tmp_path: Path, kind: str, workers: int
) -> None:
    plain = list(batches(noisy_set.module(workers=0)))
    folder = tmp_path / "kept"
    kept = list(batches(noisy_set.module(workers=workers, cache=kind, cache_folder=str(folder))))
    assert len(plain) == len(kept)
    for expected, found in zip(plain, kept, strict=True):
        assert torch.equal(expected.images, found.images)
        assert torch.equal(expected.boxes, found.boxes)
        assert expected.image_ids == found.image_ids
    # One copy of each, whoever read it: training, validation and test are the same five images.
    place = folder if kind == "disk" else next(shared_memory.iterdir())
    files = [path for path in place.rglob("*") if path.is_file() and path.name != "lock"]
    assert [path.stat().st_size for path in files] == [BYTES + 40] * 5


def test_a_second_run_decodes_nothing(
    noisy_set: SmallSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, upright: bool) -> NoReturn:
        raise AssertionError(f"{path} was decoded")

    options: dict[str, Any] = {"cache": "disk", "cache_folder": str(tmp_path / "kept")}
    first = list(batches(noisy_set.module(workers=2, **options)))
    monkeypatch.setattr(cache, "decode_image", refuse)
    for batch, again in zip(first, batches(noisy_set.module(workers=0, **options)), strict=True):
        assert torch.equal(batch.images, again.images)


def test_its_size_is_told_before_it_is_filled(
    noisy_set: SmallSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        module = noisy_set.module(cache="disk", cache_folder=str(tmp_path / "kept"), workers=0)
        assert not list((tmp_path / "kept").iterdir())
    assert f"data.cache=disk: 5 images not decoded yet need 0.0 MB in {tmp_path / 'kept'}" in caplog.text
    list(module.val_dataloader())
    caplog.clear()
    with caplog.at_level(logging.INFO):
        noisy_set.module(cache="disk", cache_folder=str(tmp_path / "kept"), workers=0)
    assert "data.cache=disk: 0 images not decoded yet need 0.0 MB" in caplog.text


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_too_little_room_is_refused(
    noisy_set: SmallSet, shared_memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def room(count: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**40, 0, count))

    options: dict[str, Any] = {"cache": kind, "cache_folder": str(tmp_path / "kept"), "workers": 0}
    room(5 * BYTES - 1)
    with pytest.raises(CacheError, match=r"5 images not decoded yet need 0\.0 MB in .* take data\.cache"):
        noisy_set.module(**options)
    room(5 * BYTES)
    noisy_set.module(**options)
    monkeypatch.setattr(cache, "available_memory", lambda: 1000)
    if kind == "ram":
        with pytest.raises(CacheError, match=r"take data\.cache=disk, or data\.cache=none"):
            noisy_set.module(**options)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_disk_that_fills_up_ends_in_a_sentence(noisy_set: SmallSet, tmp_path: Path, workers: int) -> None:
    if workers and multiprocessing.get_start_method() != "fork":
        pytest.skip("workers are started by a process that began without this limit")
    module = noisy_set.module(cache="disk", cache_folder=str(tmp_path / "kept"), workers=workers)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(CacheError) as caught:
            list(module.val_dataloader())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    sentence = describe(caught.value)
    assert sentence is not None
    assert sentence.startswith(
        f"The folder of decoded images, {tmp_path / 'kept'}, cannot be written (File too large"
    )
    assert "data.cache=none" in sentence
    assert "\n" not in sentence
    deadline = time.monotonic() + 20  # a worker goes on to the batches it was asked for ahead
    while half_written := [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]:
        assert time.monotonic() < deadline, half_written
        time.sleep(0.1)


def test_a_full_disk_is_called_full(
    noisy_set: SmallSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(CacheError, match=r"kept, is full: make room, or take"):
        ImageCache(tmp_path / "kept")(noisy_set.root / "JPEGImages/a.jpg", False)


def test_a_changed_image_is_decoded_anew(noisy_set: SmallSet, tmp_path: Path) -> None:
    path, kept = noisy_set.root / "JPEGImages/a.jpg", ImageCache(tmp_path / "kept")
    before = kept(path, False)
    assert (before == decode_image(path, False)).all()
    path.write_bytes(encoded(Image.new("RGB", (SIZE, SIZE), (1, 2, 3)), "PNG"))
    assert (kept(path, False) == (1, 2, 3)).all()
    assert (kept(path, False) == (1, 2, 3)).all()


def test_a_broken_entry_is_decoded_anew(noisy_set: SmallSet, tmp_path: Path) -> None:
    path, kept = noisy_set.root / "JPEGImages/a.jpg", ImageCache(tmp_path / "kept")
    expected = kept(path, False)
    (entry,) = (file for file in (tmp_path / "kept").rglob("*") if file.is_file())
    whole = entry.read_bytes()
    for broken in (b"", whole[:20], whole[:-1]):
        entry.write_bytes(broken)
        assert (kept(path, False) == expected).all()
        assert entry.read_bytes() == whole


def test_turned_and_stored_pixels_are_kept_apart(tmp_path: Path) -> None:
    image, exif = Image.new("RGB", (20, 10)), Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    path, kept = tmp_path / "a.jpg", ImageCache(tmp_path / "kept")
    path.write_bytes(encoded(image, "JPEG", exif=exif))
    for _ in range(2):
        assert kept(path, False).shape == (10, 20, 3)
        assert kept(path, True).shape == (20, 10, 3)


def test_what_cannot_be_decoded_is_not_kept(tmp_path: Path) -> None:
    kept, path = ImageCache(tmp_path / "kept"), tmp_path / "a.jpg"
    for content in (None, b"no image"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ImageError, match=r"a\.jpg (cannot be|is not an image)"):
            kept(path, False)
    assert not (tmp_path / "kept").exists()


def test_shared_memory_goes_with_its_last_user(
    shared_memory: Path, noisy_set: SmallSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    endings: list[tuple[Any, ...]] = []
    monkeypatch.setattr(atexit, "register", lambda *ending: endings.append(ending))
    list(noisy_set.module(workers=1, cache="ram").val_dataloader())
    place = shared_memory / f"lightning-detection-{os.getuid()}"
    assert len(list(place.glob("*/*"))) == 5
    code = f"""
from pathlib import Path
from detection.data import cache
cache.SHARED_MEMORY = Path({str(shared_memory)!r})
kept, _ = cache.open_cache("ram", None, [])
cache.decode_image = None
kept(Path({str(noisy_set.root)!r}) / "JPEGImages/a.jpg", False)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    assert len(list(place.glob("*/*"))) == 5  # another process has come and gone
    ((remove, *arguments),) = endings
    remove(*arguments)
    assert not place.exists()


def test_shared_memory_of_another_user_is_not_trusted(
    shared_memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shared_memory / "lightning-detection-12345").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(CacheError, match="belongs to another user"):
        open_cache("ram", None, [])


def test_machines_without_shared_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cache, "SHARED_MEMORY", tmp_path / "none")
    with pytest.raises(CacheError, match=r"data\.cache=ram needs .* take data\.cache=disk"):
        open_cache("ram", None, [])


def test_the_folder_for_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    opened, line = open_cache("disk", None, [])
    assert opened.folder == tmp_path / "lightning-detection/images"
    assert str(opened.folder) in line
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match=r"data\.cache_folder=.*file/in cannot be made: Not a directory"):
        open_cache("disk", str(tmp_path / "file/in"), [])


def test_without_a_cache_images_are_decoded(noisy_set: SmallSet) -> None:
    module = noisy_set.module(workers=0)
    assert {split.decode for split in module.datasets.values()} == {decode_image}


def test_learning_by_heart_keeps_few_images(noisy_set: SmallSet, tmp_path: Path) -> None:
    options: dict[str, Any] = {"cache": "disk", "cache_folder": str(tmp_path / "kept"), "overfit_images": 2}
    module = noisy_set.module(workers=0, **options)
    list(batches(module))
    assert len([path for path in (tmp_path / "kept").rglob("*") if path.is_file()]) == 2
