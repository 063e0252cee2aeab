"""A detector as a folder to share: weights in ``model.safetensors``, a description in ``detector.json``.

Neither can hold code: the weights are numbers by name, the description is JSON, and is checked as that of a
checkpoint is. The description names the SHA-256 of the weights, so that what is read is what was written.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detection.registry import without_weights
from detection.system.errors import first_line
from detection.system.file_reading import MAX_CHECKPOINT, read_file_bytes, read_text

if TYPE_CHECKING:
    from types import ModuleType

    from torch import Tensor

WEIGHTS, DESCRIPTION = "model.safetensors", "detector.json"
"""The files of a shared folder that are read."""
_ADDRESS = re.compile(r"hf:/{1,2}([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")  # a Path has one slash of two


def is_shared(folder: Path) -> bool:
    """Whether a folder is one that ``detection share`` wrote.

    Args:
        folder: of any kind, or a path where none is.
    """
    return (folder / DESCRIPTION).is_file()


def is_address(source: str | Path) -> bool:
    """Whether a checkpoint is named by where it lies on the Hugging Face hub.

    Args:
        source: as it was typed, or as a ``Path``.
    """
    return str(source).startswith("hf:/")


def address_of(source: str | Path) -> tuple[str, str | None]:
    """The repository and the revision of ``hf://user/name@revision``.

    Args:
        source: as it was typed, or as a ``Path``.

    Returns:
        ``user/name``; and a branch, a tag or a commit, None for the newest.

    Raises:
        ValueError: it is no such address.
    """
    found = _ADDRESS.fullmatch(str(source))
    if found is None:
        raise ValueError(f"{source}: give hf://user/name, or hf://user/name@revision for one commit of it.")
    return found[1], found[2]


def read_address(source: str | Path) -> dict[str, Any]:
    """Read a shared detector from the Hugging Face hub; what was fetched before is not fetched again.

    Args:
        source: ``hf://user/name``, or ``hf://user/name@revision``.

    Returns:
        ``hyper_parameters``, still to be checked, and ``state_dict``, as a checkpoint has them.

    Raises:
        ImportError: a package is missing.
        ValueError: there is no such repository or file, the hub cannot be reached, or see ``read_shared``.
    """
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise ImportError(f"{source} needs huggingface_hub ({error}): pip install -e '.[share]'") from error

    repository, revision = address_of(source)
    try:
        described = Path(hf_hub_download(repository, DESCRIPTION, revision=revision))
        # By the commit that the first file is of: the weights are of the same, whoever uploads meanwhile.
        weights = Path(hf_hub_download(repository, WEIGHTS, revision=described.parent.name))
    except Exception as error:  # the network fails in many ways
        raise ValueError(_why_not_fetched(error, repository, revision)) from error
    return read_shared(weights.parent)


def _why_not_fetched(error: Exception, repository: str, revision: str | None) -> str:
    """One sentence for the many ways in which the hub refuses; the library's own are paragraphs."""
    from huggingface_hub import errors

    address = f"hf://{repository}" + (f"@{revision}" if revision else "")
    if isinstance(error, errors.GatedRepoError):
        return f"{address} asks for consent: give it on the page of {repository}, then type hf auth login."
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"{address}: the hub has no such repository, or it is private: type hf auth login for yours."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{address}: {repository} has no revision {revision}: give a branch, a tag or a commit of it."
    if isinstance(error, errors.LocalEntryNotFoundError):
        return (
            f"{address}: the hub cannot be reached, and {repository} was not fetched before: connect, or "
            "give the folder of a copy, ckpt=folder."
        )
    if isinstance(error, errors.EntryNotFoundError):
        return f"{address} holds no detector of this project: {DESCRIPTION} and {WEIGHTS} are not in it."
    return f"{address} cannot be fetched ({first_line(error)}): try again."


def read_shared(folder: Path) -> dict[str, Any]:
    """Read a folder that ``detection share`` wrote.

    Args:
        folder: with ``detector.json`` and ``model.safetensors``.

    Returns:
        ``hyper_parameters``, still to be checked, and ``state_dict``, as a checkpoint has them.

    Raises:
        ImportError: safetensors is missing.
        FileNotFoundError: a file is missing.
        ValueError: a file is not what was written.
    """
    safetensors = _safetensors(folder)
    described, digest = _read_description(folder / DESCRIPTION)
    path = folder / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there are no weights beside {DESCRIPTION}; copy the whole folder.")
    content = read_file_bytes(path, MAX_CHECKPOINT)
    if hashlib.sha256(content).hexdigest() != digest:
        raise ValueError(
            f"{path} is not the file that {DESCRIPTION} names by its SHA-256 (cut off, damaged or "
            "exchanged): delete it and fetch the folder again."
        )
    try:
        state = safetensors.load(content)
    except Exception as error:  # the header is somebody's, and fails in as many ways
        raise ValueError(f"{path} cannot be read as safetensors: {first_line(error)}") from error
    return {"hyper_parameters": described, "state_dict": state}


def _read_description(path: Path) -> tuple[dict[str, Any], str]:
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {first_line(error)}") from error
    described = content.get("description") if isinstance(content, dict) else None
    weights = content.get("weights") if isinstance(content, dict) else None
    digest = weights.get("sha256") if isinstance(weights, dict) else None
    if not isinstance(described, dict) or not isinstance(digest, str):
        raise ValueError(f"{path} does not describe a detector: give a folder that detection share wrote.")
    return described, digest


def write_shared(folder: Path, described: Mapping[str, Any], state: "Mapping[str, Tensor]") -> None:
    """Write ``model.safetensors`` and ``detector.json``.

    Args:
        folder: that is there.
        described: the description of a checkpoint, as ``read_checkpoint`` gives it.
        state: its weights by name.

    Raises:
        ImportError: safetensors is missing.
    """
    safetensors = _safetensors(folder)
    # Tensors that share their memory are written one by one.
    content: bytes = safetensors.save({key: value.clone().contiguous() for key, value in state.items()})
    (folder / WEIGHTS).write_bytes(content)
    document = {
        "written_by": f"lightning-detection {version('lightning-detection')}",
        "weights": {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)},
        # What kinds of numbers the weights are is read from them; where the backbone's first ones lay on the
        # disk of the training is nobody's business.
        "description": {
            **{key: value for key, value in described.items() if key != "weights"},
            "model": without_weights(described["model"]),
        },
    }
    text = json.dumps(document, indent=1, ensure_ascii=False)
    (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


def _safetensors(folder: Path) -> "ModuleType":
    try:
        import safetensors.torch
    except ImportError as error:
        raise ImportError(f"{folder} needs safetensors ({error}): pip install -e '.[share]'") from error
    return safetensors.torch
