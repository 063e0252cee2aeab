"""Whether the tensors of a checkpoint are plain numbers, and those of the network that it describes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detection.registry import build, without_weights
from detection.system.errors import first_line

if TYPE_CHECKING:
    from torch import Tensor


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
