"""The tensors of a checkpoint: read safely, plain numbers, and those of the network that it describes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from detection.registry import build, without_weights
from detection.settings import SUFFIXES
from detection.system.archive import is_archive, verify
from detection.system.errors import first_line
from detection.system.file_reading import MAX_CHECKPOINT, open_file

if TYPE_CHECKING:
    from torch import Tensor


def read_file(path: Path) -> dict[str, Any]:
    """Read a file that is whole, through one handle, so that it cannot be exchanged in between.

    Args:
        path: of a checkpoint.

    Raises:
        ValueError: it is none, or damaged, or holds more than tensors and plain values.
    """
    import torch

    if path.is_dir():
        raise ValueError(f"{path} is a folder: give a checkpoint, such as checkpoints/best.ckpt of a run's.")
    if path.suffix in SUFFIXES.values():
        raise ValueError(
            f"{path} is an exported file: give the checkpoint that it was made of, such as ckpt=best.ckpt. "
            "predict takes .onnx and .xml, too; what they lose in mAP is in the table of export with data=..."
        )
    try:
        with open_file(path, MAX_CHECKPOINT) as file:
            if not is_archive(file):
                raise ValueError("it is not the archive that torch writes")
            verify(file)
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:  # torch's own words tell how to run what is in it
        raise ValueError(
            f"{path} cannot be read as a checkpoint: it holds more than tensors and plain values, code say."
        ) from error
    except Exception as error:  # a damaged file fails in many ways
        raise ValueError(f"{path} cannot be read as a checkpoint: {first_line(error)}") from error
    return checkpoint if isinstance(checkpoint, dict) else {}


def refuse_odd_tensors(checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Refuse tensors that are no plain numbers or not as large as they say, and weights that find nothing.

    Args:
        checkpoint: as it was loaded, with its ``state_dict``.
        path: where from, for the message.

    Raises:
        ValueError: it holds such a tensor.
    """
    for problem in _odd_tensors(checkpoint):
        raise ValueError(f"{path} cannot be opened safely: {problem}.")


def _odd_tensors(checkpoint: Mapping[str, Any]) -> Iterator[str]:
    import torch

    values, seen = [*checkpoint.items()], set[int]()
    while values:
        key, value = values.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            values += value.items()
        elif isinstance(value, list | tuple):
            values += [(key, child) for child in value]
        elif isinstance(value, torch.Tensor) and not _is_whole(value):
            yield f"the tensor {key!r:.80} is not one of plain numbers that the file holds"
    for part in ("state_dict", "current_model_state"):  # the second where the first is an average
        state = checkpoint.get(part, {})
        if not isinstance(state, dict) or not all(
            isinstance(value, torch.Tensor) for value in state.values()
        ):
            yield f"{part} holds other things than tensors by name"
    state = checkpoint["state_dict"]
    if not all(value.isfinite().all() for key, value in state.items() if not _is_count(key)):
        yield "its weights hold numbers that are not finite, so it would find nothing"


def _is_whole(tensor: "Tensor") -> bool:
    """Whether each element lies in the file: a view may repeat a few bytes to any size."""
    import torch

    # Neither complex, nor quantised, nor one of the floats of 8 bits and less.
    floats = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
    plain = floats | {torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool}
    if tensor.layout != torch.strided or tensor.dtype not in plain or tensor.device.type != "cpu":
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def compare_weights(model: Mapping[str, Any], state: Mapping[str, "Tensor"], path: str | Path) -> None:
    """Compare weights with the network that a description asks for, before any memory is taken for it.

    Args:
        model: the description, checked before.
        state: the weights by name, those of the network beginning with ``network.``.
        path: of the checkpoint, for the message.

    Raises:
        ValueError: they differ in names, shapes or kinds of numbers, or what is described cannot be built.
    """
    import torch

    model = without_weights(model)
    with torch.device("meta"), buildable(path):  # shapes without numbers
        backbone, classes = build(model["backbone"]), len(model["class_names"])
        network = build(model["network"])(backbone=backbone, num_classes=classes)
    wanted = {f"network.{key}": _shape_and_kind(key, value) for key, value in network.state_dict().items()}
    found = {key: _shape_and_kind(key, value) for key, value in state.items() if key.startswith("network.")}
    lines = [
        f"{key[:80]}: {found.get(key, 'missing')} instead of {wanted.get(key, 'nothing')};"
        for key in [*wanted, *(found.keys() - wanted.keys())]
        if found.get(key) != wanted.get(key)
    ]
    if lines:
        raise of_another_network(path, lines[:3])


def of_another_network(path: str | Path, lines: Sequence[str]) -> ValueError:
    """The error of weights that do not fit; ``lines`` tell the first that differ."""
    return ValueError(f"The weights of {path} are of another network: {' '.join(lines)}")


def _shape_and_kind(key: str, tensor: "Tensor") -> str:
    """What may not differ; floats of any precision are read into those of the network."""
    kind = "" if tensor.is_floating_point() or _is_count(key) else f" of {_name(tensor)}"
    return f"{tuple(tensor.shape)}{kind}"


def _is_count(key: str) -> bool:
    """Whether a tensor counts batches: nothing reads it, and who halves the rest may have halved it, too."""
    return key.endswith(".num_batches_tracked")


def kinds_of_floats(state: Mapping[str, "Tensor"]) -> list[str]:
    """The kinds of floats among weights, such as ``float32``."""
    return sorted({_name(value) for value in state.values() if value.is_floating_point()})


def _name(tensor: "Tensor") -> str:
    return str(tensor.dtype).removeprefix("torch.")


@contextmanager
def buildable(path: str | Path) -> Iterator[None]:
    """Say in a sentence that what a checkpoint describes cannot be built.

    Args:
        path: of the checkpoint.

    Raises:
        ValueError: whatever went wrong.
    """
    try:
        yield
    except Exception as error:  # odd arguments fail in as many ways as there are constructors
        raise ValueError(f"{path} describes what cannot be built: {first_line(error)}") from error
