"""The one way in for files from anywhere: regular files only, up to a limit, and never quoted in vain.

A fifo or a device would hang a reader or feed it for ever, and a link in a data set may lead to a file that
is none of the set's business. What is opened here is a file of a bounded size; what lies outside of the
data set is not repeated in messages.
"""

import os
import stat
from collections import Counter
from io import BufferedReader
from pathlib import Path
from typing import Any

import yaml

MAX_TEXT = 256 * 2**20
"""Bytes of a list, an annotation, a label file or a YAML file."""
MAX_JSON = 4 * 2**30
"""Bytes of COCO's annotations: those of the largest public sets have less than 3 GB."""
MAX_IMAGE = 2**30
"""Bytes of an image file."""
MAX_CHECKPOINT = 16 * 2**30
"""Bytes of a checkpoint or a file of weights."""

_KINDS = {
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class UnfitFileError(OSError):
    """What a path names is no file of a size that is read; the message says what it is."""


def open_file(path: Path | str, limit: int) -> BufferedReader:
    """Open a regular file to read it; the caller closes it.

    Args:
        path: the file, or a link to it.
        limit: in bytes; a larger file is refused before anything is read.

    Raises:
        UnfitFileError: it is a fifo, a device or a socket, or it is larger.
        OSError: it cannot be opened.
    """
    # A fifo that nobody writes to would let open() wait for ever. Windows knows no such flag, and no fifos.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    file = os.fdopen(descriptor, "rb")
    reason = _refusal(os.fstat(descriptor), path, limit)
    if reason is not None:
        file.close()
        raise UnfitFileError(reason)
    return file


def read_file_bytes(path: Path | str, limit: int) -> bytes:
    """Read a whole file; see ``open_file``.

    Args:
        path: the file.
        limit: in bytes; also of what a file has that claims to be empty, as those of ``/proc`` do.
    """
    with open_file(path, limit) as file:
        # Room is made for as much as the file claims to have: for the limit it takes longer than to read.
        size = os.fstat(file.fileno()).st_size
        content = file.read(size + 1)
        if len(content) > size:
            content += file.read(limit - size)
    if len(content) > limit:
        raise UnfitFileError(_too_large(path, limit))
    return content


def read_text(path: Path | str, limit: int = MAX_TEXT) -> str:
    """Read a text file in UTF-8, with or without a byte order mark.

    Args:
        path: the file.
        limit: in bytes.

    Raises:
        ValueError: it is in another encoding, or no text at all.
        OSError: the file cannot be opened, or is none to read: see ``open_file``.
    """
    try:
        text = read_file_bytes(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8 ({error.reason}): save it in that encoding") from error
    if "\0" in text:
        raise ValueError(f"{path} is not text in UTF-8 (it holds zero bytes): save it in that encoding")
    # As in files opened as text, of Windows or of an old Macintosh.
    return text.replace("\r\n", "\n").replace("\r", "\n")


class _Words(yaml.BaseLoader):  # type: ignore[misc]  # it has no types
    """Every value is the word that is written, and no key is there twice, of which YAML takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse it."""
        counts = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if twice := [key for key, count in counts.items() if count > 1]:
            raise ValueError(f"has {twice[0]} twice: leave one of them")
        return dict(super().construct_mapping(node, deep))


def read_words(path: Path | str) -> Any:
    """Read a YAML file, in which every value is the word that is written: ``no``, too. Tags have no effect.

    Args:
        path: the file.

    Raises:
        ValueError: it is no YAML, or has a key twice; the message goes on from its name.
        OSError: the file cannot be opened, or is none to read: see ``open_file``.
    """
    try:
        return _Words(read_text(path)).get_single_data()
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"is not well-formed YAML: {error}") from error


def is_inside(path: Path, root: Path) -> bool:
    """Whether a file, wherever links lead, lies below a folder."""
    # Path.resolve() fails at a circle of links.
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def fault_of(path: Path, root: Path, error: Exception) -> str:
    """Say what is wrong with a file, going on from its name, without quoting one outside of the data set.

    Args:
        path: the file.
        root: the folder of the data set.
        error: what was raised about it.
    """
    if is_inside(path, root) or isinstance(error, UnfitFileError):
        return str(error).removeprefix(f"{path} ")
    return f"cannot be used. {outside(path, root)}"


def outside(path: Path, root: Path) -> str:
    """Say that a file lies outside of the data set in ``root``, and why it is not quoted."""
    return (
        f"It lies outside of the data set ({os.path.realpath(path)}), so nothing that it holds is shown: "
        f"correct what leads there, or put the file below {root}"
    )


def _refusal(about: os.stat_result, path: Path | str, limit: int) -> str | None:
    name = _KINDS.get(stat.S_IFMT(about.st_mode))
    if name is not None:
        return f"{path} is {name}, where a file is expected"
    return _too_large(path, limit) if about.st_size > limit else None


def _too_large(path: Path | str, limit: int) -> str:
    unit, size = ("GiB", 2**30) if limit >= 2**30 else ("MiB", 2**20)
    return f"{path} is larger than {limit / size:g} {unit}, the limit for files of its kind"
