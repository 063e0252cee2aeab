"""Published weights: from torchvision's server, or from a file on this machine."""

import hashlib
import re
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from detection.system.archive import is_archive, verify
from detection.system.file_reading import MAX_CHECKPOINT, open_file

State = Mapping[str, Tensor]


def read_weights(weights: str, published: Any) -> State:
    """Gets a classifier's state dict.

    Args:
        weights: ``"imagenet"`` for the published file, or the path of a file.
        published: the member of torchvision's weights enum that ``"imagenet"`` stands for.

    Raises:
        ValueError: if the file cannot be had or is not a plain state dict.
    """
    if weights != "imagenet":
        return read_file(Path(weights), "model.backbone.weights takes 'imagenet', a path or null")
    name = published.url.rsplit("/", 1)[-1]
    return download(
        published.url,
        f"pass model.backbone.weights=/path/to/{name}, or start from random weights with "
        f"model.backbone.weights=null (of get_model pretrained_backbone='/path/to/{name}', or False)",
    )


def download(url: str, otherwise: str) -> State:
    """Downloads a state dict into torch hub's folder, or finds it there; its hash is part of its name.

    torch compares the hash of what it has just downloaded; here, that of what it finds is compared, too.

    Args:
        url: where it is published.
        otherwise: what else the user can do, for the error message.

    Raises:
        ValueError: if it cannot be had.
    """
    name = url.rsplit("/", 1)[-1]
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    if not _has_its_hash(folder / name):
        raise ValueError(
            f"{folder / name} is damaged: delete it, and it is downloaded again, or {otherwise}."
        )
    try:
        return torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True)
    except (OSError, HTTPException, RuntimeError) as error:  # no network, broken off, wrong checksum
        raise ValueError(
            f"Cannot get the weights {name} ({error}): download {url} and place it in {folder}, or "
            f"{otherwise}."
        ) from error


def read_file(path: Path, choices: str) -> State:
    """Reads a state dict; nothing in the file is executed.

    Args:
        path: the file. It may hold the state dict under ``state_dict``.
        choices: what the user can give in its place, for the error message.

    Raises:
        ValueError: if it is not there or is not a plain state dict.
    """
    if not path.exists():
        raise ValueError(f"There is no weights file {path}; {choices}.")
    try:
        with open_file(path, MAX_CHECKPOINT) as file:
            # Weights older than torch 1.6 are no archives, and have no check sums.
            if is_archive(file):
                _verify(file, path)
            file.seek(0)
            state = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error}); {choices}.") from error
    except Exception as error:  # what is no such file fails in many ways; the check sum's is a sentence
        if isinstance(error.__cause__, ValueError):
            raise
        raise ValueError(
            f"{path} is not a file of plain tensors; save it with torch.save(model.state_dict(), path)."
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} holds no state dict; save it with torch.save(model.state_dict(), path).")
    return state


def _verify(file: BinaryIO, path: Path) -> None:
    try:
        verify(file)
    except ValueError as error:
        raise ValueError(f"{path} is not a file of plain tensors as torch wrote it: {error}.") from error


def _has_its_hash(path: Path) -> bool:
    """Whether the SHA-256 of a file is that in its name; one that is not there counts as right."""
    written = re.search(r"-([0-9a-f]{8,})\.", path.name)
    if written is None or not path.is_file():
        return True
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().startswith(written[1])


def load_submodule(module: nn.Module, state: State, source: str) -> str:
    """Copies the tensors of ``module`` out of a larger state dict, such as a whole classifier's.

    The two may differ by a prefix (``features.``, ``module.``, ...), which is found by itself: the one
    under which the file has most of the module's tensors. Everything else in the file is ignored.

    Args:
        module: what to fill.
        state: the larger state dict.
        source: the file's name, for the error message.

    Returns:
        The prefix of the module's keys in the file.

    Raises:
        ValueError: if tensors are missing or have another shape; it names the first of them.
    """
    # Files older than PyTorch 0.4.1 do not count batches, and nothing here uses the count.
    wanted = {k: v for k, v in module.state_dict().items() if not k.endswith("num_batches_tracked")}
    first = next(iter(wanted))
    prefixes = {key.removesuffix(first) for key in state if key == first or key.endswith(f".{first}")} or {""}
    prefix = max(prefixes, key=lambda p: sum(p + key in state for key in wanted))
    missing = [key for key in wanted if prefix + key not in state]
    if missing:
        raise ValueError(
            f"{source} does not fit this backbone: {len(missing)} of {len(wanted)} tensors are missing, "
            f"the first are {', '.join(prefix + key for key in missing[:3])}."
        )
    for key, value in wanted.items():
        if state[prefix + key].shape != value.shape:
            raise ValueError(
                f"{source} does not fit this backbone: {prefix + key} has shape "
                f"{tuple(state[prefix + key].shape)} instead of {tuple(value.shape)}."
            )
    module.load_state_dict({key: state[prefix + key] for key in wanted}, strict=False)
    return prefix
