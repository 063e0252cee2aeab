"""Files that are there whole or not at all, in UTF-8 whatever the locale, and names that any disk takes."""

import csv
import hashlib
import io
import json
import os
import re
import secrets
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from detection.system.wording import folded

_TOKEN = secrets.token_hex(4)  # two machines of one disk may have one name, and processes with one id
_LONGEST = 100  # bytes of a name that is part of a file's name; most disks take 255 in all
# What Windows or a shell would take for something else, and whatever cannot be printed.
_UNSAFE = re.compile(r'[/\\:*?"<>|%\x00-\x1f\x7f]')


def cache_folder() -> Path:
    """The user's folder for what can be made again: ``~/.cache/lightning-detection``."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"  # empty is unset, by the XDG specification
    return Path(caches).expanduser() / "lightning-detection"


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give the name of a file to write beside ``path``, and put it there when the block has ended well.

    The name is unlike that of any other process, on this machine or on another one that shares the disk.

    Args:
        path: what is there already stays until the new file is complete.
    """
    host = quote(socket.gethostname(), safe="").replace(".", "%2E")
    written = path.with_name(f".{path.name}.{host}.{os.getpid()}.{_TOKEN}.new")
    try:
        yield written
        os.replace(written, path)
    finally:
        written.unlink(missing_ok=True)
        _remove_left_behind(path, host)


@contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """Give the name of a folder to make beside ``path``, and put it there when the block has ended well.

    Args:
        path: is not there yet, or empty.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as temporary:
        fresh = Path(temporary) / path.name
        yield fresh
        if path.exists():
            path.rmdir()
        fresh.rename(path)


def refuse_unwritable(folder: Path, key: str) -> None:
    """Refuse a folder that cannot be written to, before there is work for it.

    An empty file is tried, for what a folder allows is not all that decides: a disk may be read-only.

    Args:
        folder: to be written to; where it is not there, it is to be made.
        key: by which the user names it.

    Raises:
        OSError: with the reason and the key.
    """
    folder = folder.absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        why = f"{there} is a file" if there.is_file() else os.strerror(error.errno or 0)
        raise OSError(f"{folder} cannot be written to ({why}): name another, {key}=...") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all.

    Args:
        path: where to.
        text: its content. A path that the locale could not decode is written as the bytes that it is.
    """
    with written_whole(path) as written:
        written.write_text(text, encoding="utf-8", errors="surrogateescape")


def json_of(value: object, indent: int | None = None) -> str:
    """JSON in the letters of any script; in escapes where a name of a file has bytes that are in no encoding.

    Args:
        value: what JSON can hold.
        indent: of each level; None is one line.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text


def read_history(path: Path) -> list[dict[str, str]]:
    """Read the rows of ``metrics.csv``, without what is no row of it: half a line of a killed run, or worse.

    Args:
        path: the file; missing is empty.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace").replace("\0", "")
        return [row for row in csv.DictReader(io.StringIO(text)) if (row.get("step") or "").isdecimal()]
    except (OSError, csv.Error):
        return []


def is_alive(process: int) -> bool:
    """Whether a process of this machine lives; True where that cannot be asked.

    Args:
        process: its id.
    """
    if os.name != "posix":  # where the signal 0 is no question
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


def file_names(names: Sequence[str]) -> list[str]:
    """Make names that can be part of a file's name: different from each other on any disk.

    Plain names stay as they are. Elsewhere ``/`` becomes ``%2F`` as in an address, and a long name is cut.

    Args:
        names: of classes, say; different from each other.
    """
    return distinct([_file_name(name) for name in names])


def distinct(names: Sequence[str]) -> list[str]:
    """Give names that some disk does not tell apart, as Cat and cat, a number: ``cat_2``; the first stays.

    Args:
        names: in the order in which they are served.
    """
    taken: set[str] = set()
    told_apart = []
    for name in names:
        number, free = 1, name
        while folded(free) in taken:
            number += 1
            free = f"{name}_{number}"
        taken.add(folded(free))
        told_apart.append(free)
    return told_apart


def _file_name(name: str) -> str:
    safe = _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", name)
    if safe.strip(". ") != safe or not safe:  # Windows drops them at the end, and .. is a folder
        safe = re.sub(r"^[. ]+|[. ]+$", lambda match: "".join(f"%{ord(c):02X}" for c in match[0]), safe)
    content = safe.encode("utf-8", "replace")
    if len(content) > _LONGEST:
        digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
        safe = f"{content[: _LONGEST - 9].decode('utf-8', 'ignore')}_{digest}"
    return safe.encode("utf-8", "replace").decode() or "_"


def _remove_left_behind(path: Path, host: str) -> None:
    """Remove what processes of this machine that were killed had begun to write."""
    # Not by a pattern: a file's own name may hold brackets.
    beginning = f".{path.name}.{host}."
    with suppress(OSError):
        for entry in os.scandir(path.parent):
            process = entry.name.removeprefix(beginning).partition(".")[0]
            is_one = entry.name.startswith(beginning) and entry.name.endswith(".new")
            if is_one and process.isdecimal() and not is_alive(int(process)):
                Path(entry.path).unlink(missing_ok=True)


def place_for_others(folder: Path) -> Path:
    """Where the checkpoints of an earlier run go when another begins in its folder; it is not made.

    Args:
        folder: of the checkpoints.

    Returns:
        ``before`` in that folder, or ``before_2`` and so on where that is taken.
    """
    return free_name(folder / "before")


def free_name(path: Path) -> Path:
    """The path, or with ``_2`` and so on behind its name where that is there."""
    free, number = path, 1
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}_{number}")
    return free


def make_free_folder(folder: Path) -> Path:
    """Make a folder, or one of :func:`free_name` where it is there: of two processes each has its own.

    Args:
        folder: to be made.
    """
    while True:
        free = free_name(folder)
        try:
            free.mkdir(parents=True)
        except FileExistsError:  # another process was quicker
            continue
        return free
