"""How a command ends when it is told to: by Ctrl-C, or by SIGTERM (Slurm, Kubernetes, Docker, kill).

Either becomes an exception in the main thread, so that what is open is closed on the way out: tables of
figures, W&B, a video. A training first completes its step, and keeps it. But a main thread that waits inside
of a library, for the gradients of another process say, does not hear of a signal before the library returns,
which may be never. A thread of its own hears of it at once, and ends the process when the main thread has not
done so in time.
"""

import atexit
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from types import FrameType, TracebackType
from typing import NoReturn

from detection.system.processes import is_child, is_first, is_job

GRACE_SECONDS = 8  # Docker kills after ten


@dataclass
class _State:
    """A process ends once."""

    tell: Callable[[], str] = str
    """What the first process of a run says when it ends early: what is kept and how to resume."""
    names_signal: bool = False
    told_by: signal.Signals | None = None
    waits: bool = False
    """Whether a signal waits for the end of a step."""
    hears: bool = False
    """Whether this process hears signals."""
    was_dropped: bool = False
    """Whether its exception was raised where Python goes on without, so that it has to be raised again."""
    has_said: bool = False
    saying: threading.RLock = field(default_factory=threading.RLock)


_state = _State()


class ToldToEnd(SystemExit):
    """A signal has come: the process ends with exit status 128 and its number, 143 after SIGTERM."""

    def __str__(self) -> str:
        return stopped_by()


def hear_signals() -> None:
    """Let Ctrl-C and SIGTERM end this process as described above, and Ctrl-C twice at once."""
    if threading.current_thread() is not threading.main_thread():
        return
    _state.hears = True
    if is_child():
        # Ctrl-C reaches all processes of a terminal, and the first one ends the others.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    elif signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, as under nohup
        signal.signal(signal.SIGINT, _on_signal)
    signal.signal(signal.SIGTERM, _on_signal)
    if os.name != "posix":  # Windows ends a process without asking it
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader, writer, os.getppid()), daemon=True).start()
    sys.unraisablehook = partial(_on_dropped, sys.unraisablehook)
    os.register_at_fork(after_in_child=_forget_in_child)


def hear_also(number: int) -> None:
    """Let another signal end a run as SIGTERM does: the one by which Slurm says that it will end a job.

    Only the first process heeds it. There is time until the end comes, so nothing ends the process by force.

    Args:
        number: of the signal.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(number, _on_signal if is_first() else signal.SIG_IGN)


def wait_for_steps(wait: bool) -> None:
    """Let a signal wait until this process asks for it by :func:`told`, between two steps; or no longer.

    The other processes of a run go on until the first one is done, lest it wait for them in vain.
    """
    _state.waits = wait


def told() -> signal.Signals | None:
    """The signal that has come and ends this process, the first one of a run; None where none has."""
    return _state.told_by if is_first() else None


def hears_signals() -> bool:
    """Whether `hear_signals` was called: by a command, not by who imports this package."""
    return _state.hears


def outlive_the_step() -> None:
    """Let a process that loads images go on for a while when it is told to end, as all of a group are.

    The step that is being made may still need what it loads. Announcements are for the first process alone.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, _end_later)
        for name in {"SIGUSR1", "SIGUSR2"}.intersection(dir(signal)):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def say_at_the_end(tell: Callable[[], str], names_signal: bool = False) -> None:
    """Decide what is said when this process is told to end.

    Args:
        tell: makes it. It may be called from another thread than the main one.
        names_signal: whether it says itself which signal has come.
    """
    _state.tell, _state.names_signal, _state.has_said = tell, names_signal, False


def say(has_lock: bool = False) -> None:
    """Say it, once; ``has_lock`` where the thread that waits for this one has the lock."""
    with nullcontext() if has_lock else _state.saying, suppress(Exception):  # nobody may be there to read it
        if _state.has_said or not is_first():
            return
        by = "" if is_job() or _state.names_signal else stopped_by()  # a sweep says it for its jobs
        text = "\n".join(filter(None, [by, _state.tell()]))
        _state.has_said = True  # not before: another signal may come while the text is made
        if text:
            print(f"\n{text}\n", end="", file=sys.stderr, flush=True)


def stopped_by() -> str:
    """Which signal has come, as a sentence; empty where none has."""
    if _state.told_by is None:
        return ""
    return f"Stopped by {'Ctrl-C' if _state.told_by == signal.SIGINT else _state.told_by.name}."


def raise_if_told() -> None:
    """Pass on what a signal began, where another error came in between: that of a process that it ended, say.

    Raises:
        ToldToEnd: SIGTERM came, or what :func:`hear_also` names.
        KeyboardInterrupt: Ctrl-C came.
    """
    if _state.told_by is None:
        return
    let_others_die()
    _state.was_dropped = False
    if _state.told_by == signal.SIGINT:
        raise KeyboardInterrupt
    raise ToldToEnd(128 + _state.told_by)


def let_others_die() -> None:
    """From here on, what becomes of the processes that load images is no error: they end with this one.

    While a run goes on, torch raises an error in the main thread, wherever that is, when one has died.
    """
    if os.name == "posix" and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def end_if_told() -> None:
    """End the process with 128 and the number of the signal, where one came."""
    if _state.told_by is not None:
        _state.was_dropped = False
        let_others_die()
        with suppress(Exception):
            _kill_loaders()  # which would outlive a step that there is not
            atexit._run_exitfuncs()
        _end(128 + _state.told_by)


def end_at_once() -> NoReturn:
    """End a process that is through with 0; Python would take torch apart, which lasts."""
    with suppress(Exception):
        atexit._run_exitfuncs()
    _end(0)


def end_in_time(code: int) -> None:
    """See to it that this process ends, where others may not: those that load from a disk that is away, say.

    Python waits at its end for the processes that it has started, and none can end one that waits for a disk.

    Args:
        code: the exit status.
    """

    def end() -> NoReturn:
        time.sleep(GRACE_SECONDS)
        with suppress(Exception):
            _kill_loaders()
        _end(code)

    threading.Thread(target=end, daemon=True).start()


def _kill_loaders() -> None:
    from multiprocessing import active_children

    for process in (child for child in active_children() if child.daemon):
        process.kill()


def _end(code: int) -> NoReturn:
    # In a thread: the reader may have stopped reading, and the main thread may be in the middle of a line.
    has_lock = _state.saying.acquire(blocking=False)  # this thread, which may just have been saying it
    last_words = threading.Thread(target=_say_and_flush, args=(has_lock,), daemon=True)
    last_words.start()
    last_words.join(2)
    # Not by way of the interpreter: what libraries do at its end may wait for other processes.
    os._exit(code)


def _say_and_flush(has_lock: bool) -> None:
    say(has_lock)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()


def _on_signal(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGTERM and os.name == "posix" and not is_first():
        return  # the thread ends the others, for there is nothing of theirs to close
    if _state.told_by is None or _state.was_dropped:
        _state.told_by, _state.was_dropped = _state.told_by or signal.Signals(number), False
        if not _state.waits:
            raise_if_told()
    elif number == signal.SIGINT:
        _end(128 + number)


def _on_dropped(before: Callable[..., None], dropped: "sys.UnraisableHookArgs") -> None:
    """Take up what is raised in a finalizer, a hook of ``fork`` or at the exit, where Python goes on without.

    That by which a signal ends the process is raised again in a moment. Of others nothing is said once a
    signal has come: they come of the end, and what was kept is said last.
    """
    if _state.told_by is None:
        before(dropped)
    elif issubclass(dropped.exc_type, KeyboardInterrupt | ToldToEnd):
        _state.was_dropped = True
        threading.Thread(target=_raise_again, daemon=True).start()


def _raise_again() -> None:
    time.sleep(0.05)
    if _state.was_dropped and _state.told_by is not None:
        # To the main thread, which may wait inside of the system.
        signal.pthread_kill(threading.main_thread().ident or 0, _state.told_by)


def _watch(reader: socket.socket, writer: socket.socket, parent: int) -> None:
    """Wait for SIGTERM, and see to it that the process ends."""
    while signal.SIGTERM not in reader.recv(64):
        pass
    if is_child() and os.getppid() == parent:
        os.kill(parent, signal.SIGTERM)  # all processes of a run end together
    if is_first() or _state.waits:
        time.sleep(GRACE_SECONDS)
    if is_child():
        os._exit(0)  # Lightning would kill the first process for any other status
    if not is_first():
        os._exit(128 + signal.SIGTERM)
    _state.told_by = signal.SIGTERM
    _end(128 + signal.SIGTERM)


def _tell_all_but_silence(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Pass over that the process which is loaded for has gone in the middle of a batch."""
    if not issubclass(kind, EOFError | ConnectionError):
        sys.__excepthook__(kind, error, trace)


def _forget_in_child() -> None:
    """Processes that load images end with the one that they load for, which may write to the terminal."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.excepthook = _tell_all_but_silence


def _end_later(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.alarm(GRACE_SECONDS)  # which ends the process
