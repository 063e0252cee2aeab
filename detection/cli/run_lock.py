"""One run at a time in a folder: two would mix their checkpoints and metrics.

A run keeps a file in its folder that says whose it is, and touches it every few seconds. Nothing else is
asked of the disk than that one of two can make a file, which network disks do too.
"""

import atexit
import json
import os
import secrets
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from detection.cli.command_folders import folder_of_run
from detection.system.console import tell
from detection.system.files import is_alive, place_for_others
from detection.system.processes import is_first, is_started_again

NAME = ".running"
BEAT_SECONDS = 5.0
SILENT_SECONDS = 30.0  # after which an owner is taken for dead


class Owner(NamedTuple):
    """Who writes to a folder. Of two, everything is equal only where they are one."""

    host: str
    pid: int
    machine: str
    """What tells machines and containers of one name apart; process ids count within it."""
    job: str
    """Of Slurm or torchrun; empty without."""
    restart: str
    """How often the job was started again."""
    token: str

    def __str__(self) -> str:
        job = f", {self.job}" if self.job else ""
        return f"process {self.pid} on {self.host}{job}"


class Lock:
    """A folder that belongs to this process.

    Args:
        folder: the run's folder.
        owner: this process.
    """

    def __init__(self, folder: Path, owner: Owner) -> None:
        self.path = folder / NAME
        self.owner = owner
        self._released = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()
        atexit.register(self.release)

    def release(self) -> None:
        """Leave the folder to others."""
        if not self._released.is_set():
            self._released.set()
            if _read(self.path) == self.owner:
                with suppress(OSError):
                    self.path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._released.wait(BEAT_SECONDS):
            now = _read(self.path)
            if now == self.owner:
                with suppress(OSError):  # a disk that is away for a while
                    os.utime(self.path)
            elif now is not None and not self._released.is_set():
                # This process was asleep, or the disk away, and was taken for dead.
                print(
                    f"{self.path.parent} now belongs to another run ({now}): this one ends, so as not to "
                    "write over it.",
                    file=sys.stderr,
                    flush=True,
                )
                os._exit(1)


def claim(folder: Path, key: str = "run_dir") -> Lock | None:
    """Take a run's folder for this process, or end where another one writes to it.

    Taken over is the folder of a run that has died: whose process on this machine is gone, whose Slurm or
    torchrun job was started again since, or that has not touched its file for half a minute.

    Args:
        folder: the run's folder; made if it is not there.
        key: by which the user names it.

    Returns:
        The lock; None in the other processes of a run, which share the first one's.

    Raises:
        SystemExit: another run writes to the folder.
    """
    if not is_first():
        return None
    folder = folder.absolute()
    me = _myself()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _make(folder / NAME, me, key)
        for left in (folder / "checkpoints").glob(".*.new"):  # half-written by one that was killed
            left.unlink(missing_ok=True)
    except OSError as error:
        raise SystemExit(
            f"{folder} cannot be written to ({error.strerror}): name another folder, {key}=..."
        ) from error
    return Lock(folder, me)


class ClaimFolder(Callback):
    """Claims a run's folder before Hydra writes the first file to it."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Claim it, and say so where the checkpoints of another run are there.

        Raises:
            SystemExit: another run writes to it, it is the folder of the data, or it holds a report.
        """
        folder = folder_of_run(config)
        if folder is None:
            return
        root = OmegaConf.select(config, "data.root")
        if root is not None and _resolved(root) == _resolved(folder):
            raise SystemExit(
                f"run_dir={folder} is the folder of the data (data.root): name another, to write to."
            )
        verb, has_page = config.hydra.job.config_name, (folder / "report.html").exists()
        if verb == "train" and has_page and (folder / "metrics.json").exists():
            raise SystemExit(
                f"run_dir={folder} holds the report of an evaluation, which this would replace: name another "
                "folder."
            )
        if verb == "check" and has_page and not (folder / "report.png").exists():  # its own has one
            raise SystemExit(
                f"run_dir={folder} holds a report.html that is not of a check, which this would replace: "
                "name another folder."
            )
        if claim(folder) is not None and (kept := _would_be_moved(config, folder)) is not None:
            source = folder if kept.name == "last.ckpt" else kept
            tell(
                f"{folder} holds the checkpoints of another run: this one moves them to "
                f"{place_for_others(folder / 'checkpoints')} when it begins to train, and replaces its other "
                f"files. ckpt={source} resumes that run, and run_dir=... names another folder."
            )


def _would_be_moved(config: DictConfig, folder: Path) -> Path | None:
    """The checkpoint of another run, where this one is to begin in its folder; the last one if it is there.

    None for a run that resumes from there; for a search for settings, which keeps no weights; and for a job
    of a sweep, which writes where the job of its number did when the sweep was started before.
    """
    if is_started_again(folder) or OmegaConf.select(config, "find"):
        return None
    if not OmegaConf.is_missing(config.hydra.job, "num"):
        return None
    ckpt = OmegaConf.select(config, "ckpt")
    if ckpt in ("last", "best"):  # which are looked for in this folder
        return None
    if ckpt is not None and _resolved(str(ckpt)).is_relative_to(_resolved(folder)):
        return None
    kept = (folder / "checkpoints").glob("*.ckpt")
    return max(kept, key=lambda path: (path.name == "last.ckpt", path.name), default=None)


def _resolved(folder: str | Path) -> Path:
    return Path(folder).expanduser().resolve()


def _make(path: Path, me: Owner, key: str) -> None:
    while not _made(path, me):
        other = _read(path)
        if not _has_died(other, me, path):
            raise SystemExit(
                f"{path.parent} is written to by another run ({other or 'unknown'}). Wait for its end, stop "
                f"it, or name another folder: {key}=..."
            )
        gone = path.with_name(f"{NAME}.{me.token}")
        with suppress(FileNotFoundError):
            os.rename(path, gone)
            if _read(gone) == other:
                gone.unlink()
            else:  # of two that found the owner dead, the other one was quicker
                os.rename(gone, path)


def _has_died(other: Owner | None, me: Owner, path: Path) -> bool:
    if other is not None:
        if (other.host, other.machine) == (me.host, me.machine):
            return not is_alive(other.pid) or other.pid == me.pid
        if other.job and other.job == me.job and other.restart != me.restart:
            return True
    # Compared with each other only: the clock of this machine may be another one than the disk's.
    before, started = _touched(path), time.monotonic()
    print(f"{path.parent}: waiting to see whether another run ({other or 'unknown'}) is alive.", flush=True)
    while time.monotonic() - started < SILENT_SECONDS:
        time.sleep(min(1.0, SILENT_SECONDS / 10))
        if _read(path) != other:
            return True  # it has ended, or somebody else was quicker
        if _touched(path) != before:
            return False
    return True


def _made(path: Path, owner: Owner) -> bool:
    """Make the file with its content in one go, where it is not there."""
    written = path.with_name(f"{NAME}.{owner.token}.new")
    written.write_text(json.dumps(owner._asdict()) + "\n", encoding="utf-8")
    try:
        os.link(written, path)
    except FileExistsError:
        return False
    except OSError:  # a disk without links
        return _made_without_links(path, owner)
    finally:
        written.unlink(missing_ok=True)
    return True


def _made_without_links(path: Path, owner: Owner) -> bool:
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return False
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(json.dumps(owner._asdict()) + "\n")
    return True


def _read(path: Path) -> Owner | None:
    """Who a folder belongs to; None where nobody says."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Owner(**content)
    except (OSError, ValueError, TypeError):
        return None


def _touched(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_mtime_ns
    return 0


def _myself() -> Owner:
    slurm, torchrun = os.environ.get("SLURM_JOB_ID"), os.environ.get("TORCHELASTIC_RUN_ID", "none")
    job, restart = "", ""
    if slurm:
        job, restart = f"Slurm job {slurm}", os.environ.get("SLURM_RESTART_COUNT", "0")
    elif torchrun != "none":  # what torchrun names a run whose name nobody gave
        job, restart = f"torchrun {torchrun}", os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return Owner(socket.gethostname(), os.getpid(), _machine(), job, restart, secrets.token_hex(4))


def _machine() -> str:
    """The start of this machine and, on Linux, the container: ids of processes count within it."""
    parts = []
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)
