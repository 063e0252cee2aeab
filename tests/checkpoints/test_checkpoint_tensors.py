"""Weights of other kinds of numbers: floats are read and told, all else is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from detection.checkpoints.loading import load_task, read_checkpoint
from detection.checkpoints.notes import notes

Change = Callable[[Tensor], Tensor]
Write = Callable[[Path, str, list[str]], Path]


@pytest.fixture(scope="module")
def original(write_checkpoint: Write, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("tensors"), "quickstart", ["cat", "dog"])


def changed(original: Path, path: Path, change: Change, key: str = "") -> Path:
    """The checkpoint with every weight changed, or the one that is named."""
    checkpoint: dict[str, Any] = torch.load(original, weights_only=True)
    state = checkpoint["state_dict"]
    checkpoint["state_dict"] = {
        name: change(value) if key in ("", name) else value for name, value in state.items()
    }
    torch.save(checkpoint, path)
    return path


def of_floats(kind: torch.dtype) -> Change:
    return lambda value: value.to(kind) if value.is_floating_point() else value


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (of_floats(torch.float16), "float16"),
        (of_floats(torch.bfloat16), "bfloat16"),
        (of_floats(torch.float64), "float64"),
        (Tensor.half, "float16"),  # with the counts of batches
        (of_floats(torch.float32), ""),
    ],
)
def test_floats_of_another_precision_are_read_and_told(
    original: Path, tmp_path: Path, change: Change, told: str
) -> None:
    path = changed(original, tmp_path / "other.ckpt", change)
    task, expected = load_task(path), load_task(original)
    for (name, value), wanted in zip(task.state_dict().items(), expected.state_dict().values(), strict=True):
        assert value.dtype == wanted.dtype, name
        torch.testing.assert_close(value, wanted, rtol=0.01, atol=1e-3)
    line = notes(task.hparams, path)
    assert ("\n" in line, bool(line)) == (False, bool(told))
    assert not told or f"holds weights in {told}, which are read into float32" in line


def test_a_count_too_large_for_half_precision_does_not_matter(original: Path, tmp_path: Path) -> None:
    counts = "network.backbone.layers.0.1.num_batches_tracked"
    load_task(changed(original, tmp_path / "a.ckpt", lambda value: torch.tensor(1e6).half(), counts))


PLAIN = r"cannot be opened safely: the tensor '[\w.]+' is not one of plain numbers"
OTHER = r"are of another network: network\.\S+: \([\d, ]+\){} instead of \([\d, ]+\);"
KINDS: dict[str, tuple[Change, str]] = {
    "int8": (lambda value: value.to(torch.int8), OTHER.format(" of int8")),
    "int64": (lambda value: value.to(torch.int64), OTHER.format(" of int64")),
    "bool": (lambda value: value > 0, OTHER.format(" of bool")),
    "complex": (lambda value: value.to(torch.complex64), PLAIN),
    "8 bits": (lambda value: value.to(torch.float8_e4m3fn), PLAIN),
    "unsigned": (lambda value: value.abs().to(torch.uint16), PLAIN),
    "quantised": (lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8), PLAIN),
    "another shape": (lambda value: value[:1], OTHER.format("")),
}


@pytest.mark.filterwarnings("ignore:.*quantized tensor", "ignore:TypedStorage is deprecated")
@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_another_kind_are_refused(original: Path, tmp_path: Path, kind: str) -> None:
    change, message = KINDS[kind]
    path = changed(original, tmp_path / "odd.ckpt", change, "network.backbone.layers.0.0.weight")
    with pytest.raises(ValueError, match=message):
        load_task(path)


def test_the_kinds_are_those_of_the_file_whatever_it_says(original: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(original, weights_only=True)
    checkpoint["hyper_parameters"]["weights"] = ["complex"]
    torch.save(checkpoint, tmp_path / "a.ckpt")
    assert read_checkpoint(tmp_path / "a.ckpt")["hyper_parameters"]["weights"] == ["float32"]


def test_a_checkpoint_runs_no_compiler(original: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(original, weights_only=True)
    checkpoint["hyper_parameters"]["model"]["compile"] = True
    torch.save(checkpoint, tmp_path / "a.ckpt")
    assert load_task(tmp_path / "a.ckpt").network._compiled_call_impl is None
