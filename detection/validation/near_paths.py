"""A path that is not there, and the one beside it that was likely meant."""

import difflib
import re
from pathlib import Path

_SCANNED = 20_000  # names of a folder that are looked at; a message is no search


def as_found(path: str) -> str | None:
    """Find what a path names but for the case of its letters, or with a backslash in the place of a slash.

    Args:
        path: as it was typed; ``~`` is the home folder.

    Returns:
        The path that is there; None where it is there as it stands, or where none is, or several are.
    """
    if not path or Path(path).expanduser().exists():
        return None
    slashed = path.strip().removeprefix("file://").replace("\\", "/")
    found = _in_any_case(Path(slashed).expanduser())
    return str(found) if found else None


def beside(path: str | Path) -> str:
    """What is there in the place of a missing path, to be put behind a message; empty where nothing is near.

    Args:
        path: what is missing.
    """
    path = Path(path).expanduser()
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        path, folder = folder, folder.parent
    names = _names(folder)
    same = [name for name in names if Path(name).stem.casefold() == path.stem.casefold()]
    near = same or difflib.get_close_matches(path.name, names, n=3, cutoff=0.75)
    if near:
        return f"; there is {' and '.join(str(folder / name) for name in sorted(near)[:3])}"
    newest = newest_run(path.name) if path.suffix in (".ckpt", "") else None
    if newest is None and path.name in ("last", "best"):
        return f", and no runs/*/*/checkpoints/{path.name}.ckpt"
    return f"; the newest run has {newest}" if newest else ""


def refuse_url(path: str | Path) -> None:
    """Refuse what lies elsewhere, before it is called a missing file.

    Args:
        path: as it was typed; a ``Path`` has one slash of two.

    Raises:
        ValueError: it is a URL.
    """
    if re.match(r"\w{2,}:/", str(path)):  # one letter is a drive of Windows
        raise ValueError(f"{path} is no file of this machine: download it first, and give its path.")


def newest_run(name: str) -> Path | None:
    """The checkpoint of this name, such as ``best.ckpt`` or ``best``, that was written last of all runs here.

    Args:
        name: with or without ``.ckpt``.
    """
    if Path(name).stem not in ("best", "last"):
        return None
    found = Path("runs").glob(f"*/*/checkpoints/{Path(name).stem}.ckpt")
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def _in_any_case(path: Path) -> Path | None:
    if path.exists():
        return path
    if path == path.parent:
        return None
    folder = _in_any_case(path.parent)
    if folder is None or not folder.is_dir():
        return None
    if (folder / path.name).exists():
        return folder / path.name
    found = [name for name in _names(folder) if name.casefold() == path.name.casefold()]
    return folder / found[0] if len(found) == 1 else None


def _names(folder: Path) -> list[str]:
    try:
        return [entry.name for entry, _ in zip(folder.iterdir(), range(_SCANNED), strict=False)]
    except OSError:
        return []
