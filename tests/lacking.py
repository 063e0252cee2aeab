"""Runs Python as on a system that lacks things which Linux has; macOS and Windows are such systems.

``python tests/lacking.py in_turn FOLDER`` uses the parts of the project that touch the system with each thing
hidden in turn; ``python tests/lacking.py all PROGRAM ARGUMENTS`` runs a program with all of them hidden.
"""

import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

NOWHERE = Path("/no/such/folder")
MODULES = ("fcntl", "resource", "termios", "pwd")
OF_OS = ("fork", "forkpty", "register_at_fork", "killpg", "getppid", "getuid", "sched_getaffinity")
SIGNALS = ("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGALRM")
THINGS = (*MODULES, *OF_OS, *SIGNALS, "os.kill", "/dev/shm", "/proc")


class _Windows:
    """The module ``os`` as there; the standard library keeps the real one, which its files need."""

    name = "nt"

    def __getattr__(self, name: str) -> Any:
        if name in OF_OS:
            raise AttributeError(f"os has no {name}")
        return getattr(os, name)


@contextmanager
def hidden(thing: str) -> Iterator[None]:
    """Hide one of ``THINGS``."""
    from pytorch_lightning.trainer.connectors import signal_connector

    from detection.cli import run_lock
    from detection.data import cache, shared_memory
    from detection.system import endings, files

    with ExitStack() as patches:
        if thing in MODULES:
            patches.enter_context(mock.patch.dict(sys.modules, {thing: None}))
            if thing == "fcntl":  # there is none without the other
                patches.enter_context(hidden("/dev/shm"))
        elif thing in OF_OS or thing == "os.kill":  # which ends a process on Windows, whatever the signal
            for module in (endings, files, run_lock):
                patches.enter_context(mock.patch.object(module, "os", _Windows()))
        elif thing in SIGNALS:
            number = getattr(signal, thing)
            patches.enter_context(mock.patch.object(signal, thing, number))
            patches.enter_context(mock.patch.object(signal_connector, "_IS_WINDOWS", True))
            patches.enter_context(
                mock.patch.object(signal, "valid_signals", return_value={signal.SIGINT, signal.SIGTERM})
            )
            delattr(signal, thing)
        elif thing == "/dev/shm":
            for place in (shared_memory, cache):
                patches.enter_context(mock.patch.object(place, "SHARED_MEMORY", NOWHERE))
        else:
            patches.enter_context(mock.patch.object(sys, "platform", "darwin"))
            read = Path.read_text

            def no_proc(path: Path, *args: Any, **options: Any) -> str:
                return read(NOWHERE if path.is_relative_to("/proc") else path, *args, **options)

            patches.enter_context(mock.patch.object(Path, "read_text", no_proc))
        yield
        if thing in SIGNALS:
            setattr(signal, thing, number)


def ask(folder: Path) -> None:
    """Use what touches the system."""
    import pytorch_lightning as pl

    from detection.benchmarking.measure import host_memory
    from detection.callbacks.own_signals import keep_own_signals
    from detection.cli import run_lock
    from detection.data.cache import CacheError, open_cache
    from detection.data.datamodule import DetectionDataModule
    from detection.data.shared_memory import check_shared_memory
    from detection.system import endings, files, processes

    endings.hear_signals()
    assert endings.stopped_by() == ""
    processes.end_with_the_first()
    lock = run_lock.claim(folder)
    assert lock is not None
    files.write_text(folder / "file", "content")
    assert files.is_alive(os.getpid())
    lock.release()
    host_memory()
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, default_root_dir=folder)
    keep_own_signals(trainer)
    trainer._signal_connector.register_signal_handlers()
    trainer._signal_connector.teardown()
    batches = {"num_workers": 1, "size": 64, "images_at_once": 4, "eval_batch_size": None, "assign": None}
    check_shared_memory(mock.Mock(spec=DetectionDataModule, **batches), devices=1)
    open_cache("disk", str(folder / "cache"), [])
    with suppress(CacheError):  # which names the disk
        open_cache("ram", None, [])


if __name__ == "__main__":
    if sys.argv[1] == "in_turn":
        for thing in THINGS:
            with hidden(thing):
                ask(Path(sys.argv[2]))
            print(thing, flush=True)
    else:
        multiprocessing.set_start_method("spawn")
        with ExitStack() as everything:
            for thing in THINGS:
                if thing != "/proc":  # torch asks for the platform while it runs
                    everything.enter_context(hidden(thing))
            sys.argv[:2] = []
            runpy.run_path(sys.argv[0], run_name="__main__")
