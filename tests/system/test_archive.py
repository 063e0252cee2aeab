"""A checkpoint whose bytes changed is refused, sealed or not."""

import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from detection.callbacks.safe_checkpoints import SafeCheckpointIO
from detection.checkpoints.loading import read_checkpoint
from detection.models.backbones.weights import download, read_file
from detection.system.archive import seal, verify


def written(sealed: bool) -> bytes:
    torch.manual_seed(0)
    content = io.BytesIO()
    torch.save({"a": torch.randn(5000), "b": [torch.zeros(0), torch.ones(3)], "c": "text"}, content)
    if sealed:
        seal(content)
    return content.getvalue()


def check(content: bytes) -> None:
    file = io.BytesIO(content)
    verify(file)
    assert file.tell() == 0


@pytest.mark.parametrize("sealed", [True, False])
def test_a_whole_archive_passes_and_loads(sealed: bool) -> None:
    content = written(sealed)
    check(content)
    loaded = torch.load(io.BytesIO(content), weights_only=True)
    assert loaded["c"] == "text"
    assert zipfile.ZipFile(io.BytesIO(content)).testzip() is None


def test_any_single_byte_of_a_sealed_archive_counts() -> None:
    content = written(sealed=True)
    draw = random.Random(0)
    # The beginning and the end, with headers and the directory, and some of what lies between.
    places = [
        *range(200),
        *range(len(content) - 1500, len(content), 3),
        *draw.sample(range(len(content)), 200),
    ]
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1 << draw.randrange(8)
        with pytest.raises(ValueError, match=r"damaged|compressed"):
            check(bytes(changed))


def test_changed_numbers_of_an_archive_without_a_seal_are_noticed() -> None:
    content = written(sealed=False)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        record = max(archive.infolist(), key=lambda item: item.file_size)
    start = content.index(bytes(torch.randn(5000, generator=torch.Generator().manual_seed(0)).numpy())[:64])
    assert start > record.header_offset
    for place in random.Random(1).sample(range(start, start + record.file_size), 50):
        changed = bytearray(content)
        changed[place] ^= 1
        with pytest.raises(ValueError, match="damaged"):
            check(bytes(changed))


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda content: content[:-1],
    "cut in half": lambda content: content[: len(content) // 2],
    "appended": lambda content: content + b"x",
    "prepended": lambda content: b"x" + content,
    "zeroed": lambda content: content[:3000] + bytes(64) + content[3064:],
    "no directory": lambda content: content[:-300] + bytes(200) + content[-100:],
    "empty": lambda content: b"",
}


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_archive_is_refused(tmp_path: Path, damage: str, sealed: bool) -> None:
    path = tmp_path / "damaged.ckpt"
    path.write_bytes(DAMAGES[damage](written(sealed)))
    with pytest.raises(
        ValueError, match=r"damaged\.ckpt cannot be read as a checkpoint: it is (damaged|not)"
    ):
        read_checkpoint(path)


def test_an_archive_without_check_sums_passes() -> None:
    compute = getattr(torch.serialization, "set_crc32_options", None)
    if compute is None:
        pytest.skip("this torch always writes them")
    compute(False)
    try:
        content = written(sealed=False)
    finally:
        compute(True)
    check(content)


def test_what_would_unpack_to_more_is_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(10**6))
    with pytest.raises(ValueError, match="is compressed, which torch never does"):
        check(content.getvalue())


def test_training_seals_what_it_writes(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    writer = SafeCheckpointIO()
    writer.save_checkpoint({"a": torch.zeros(3)}, path)
    writer.teardown()
    assert zipfile.ZipFile(path).comment.startswith(b"sha256:")
    with path.open("rb") as file:
        verify(file)
    assert torch.load(path, weights_only=True)["a"].tolist() == [0, 0, 0]


def test_weights_of_the_user_are_verified_too(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(5000.0)}, tmp_path / "w.pth")
    content = bytearray((tmp_path / "w.pth").read_bytes())
    content[2000] ^= 1
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"w\.pth is not a file of plain tensors as torch wrote it: it is dam"
    ):
        read_file(tmp_path / "w.pth", "")
    torch.save({"a": torch.zeros(1)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert read_file(tmp_path / "old.pth", "")["a"].item() == 0


def test_a_damaged_download_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/net-0a1b2c3d.pth").write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"net-0a1b2c3d\.pth is damaged: delete it"):
        download("https://example.com/net-0a1b2c3d.pth", "do without")
