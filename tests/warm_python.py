"""A Python that has imported the libraries already, for tests that start commands.

Most of the time of a short command goes into importing torch and what is built on it. A server does so once
for the whole suite, and each command forks from it. Only that is spared: the project's modules are imported
anew, and arguments, folder, environment, output, signals and the exit code are those of a process of its own.
Processes that a command starts by its own ``sys.executable`` (those of DDP, of torchrun, the jobs of a sweep)
fork from the server, too. A test of imports, or of what a death leaves behind, starts ``sys.executable``.

Three processes work on a command: the relay, which the test starts and waits for; the command itself; and its
supervisor, which hands signals from the relay to the command and the command's end to the relay.
"""

import atexit
import gc
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ADDRESS = "TESTS_WARM_PYTHON"
_MESSAGE = 2**18  # bytes; the most of one message, which holds the environment


def warm_python() -> tuple[str, ...]:
    """The words to start a command with, in the place of ``sys.executable``; ``-m`` or a path follows."""
    address = os.environ.get(_ADDRESS)
    return (sys.executable, "-I", "-S", __file__, address) if address else (sys.executable,)


@contextmanager
def server() -> Iterator[None]:
    """Offer the server to this process and to those it starts; it imports with its first command."""
    import subprocess
    import tempfile

    if sys.platform != "linux":
        yield
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-P", __file__, "--serve", f"{folder}/socket"],
            env={**os.environ, "OMP_NUM_THREADS": "1", "NO_ALBUMENTATIONS_UPDATE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()  # it listens
        os.environ[_ADDRESS] = f"{folder}/socket"
        yield
        del os.environ[_ADDRESS]


def _serve(address: str) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen()
    _write_executable(address)
    print("ready", flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how supervisors ended
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:  # that of pytest is open
        connection, _ = listener.accept()
        _import_libraries()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _supervise(connection)
        connection.close()


def _executable(address: str) -> Path:
    return Path(address).with_name("python")


def _write_executable(address: str) -> None:
    """What stands in the place of ``sys.executable``: by its name alone a program can be started."""
    program = f"""#!/bin/sh
case "$1" in
    -u | -m | [!-]*) exec '{sys.executable}' -I -S '{__file__}' '{address}' "$@" ;;
    *) exec '{sys.executable}' "$@" ;;
esac
"""
    path = _executable(address)
    path.write_text(program)
    path.chmod(0o700)


def _import_libraries() -> None:
    import albumentations  # noqa: F401
    import hydra  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import pytorch_lightning  # noqa: F401
    import torchvision  # noqa: F401

    gc.freeze()  # or each command looks for garbage among all that was imported


def _supervise(connection: socket.socket) -> None:
    """Fork and wait."""
    request, files, _, _ = socket.recv_fds(connection, _MESSAGE, 3)
    command = os.fork()
    if command == 0:
        connection.close()
        _become(files, **json.loads(request))
    for file in files:
        os.close(file)
    ended = os.pidfd_open(command)
    while ended not in select.select([connection.fileno(), ended], [], [])[0]:
        number = connection.recv(_MESSAGE)
        if number:
            os.kill(command, int(number))
        else:  # the relay was killed
            os.killpg(command, signal.SIGKILL)
            os.waitpid(command, 0)  # or its number would look like that of a process at work
            os._exit(0)
    connection.send(str(os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])).encode())
    os._exit(0)


def _become(
    files: list[int], words: list[str], folder: str, environment: dict[str, str], executable: str
) -> None:
    """Run the command and end."""
    os.setsid()
    for number, file in enumerate(files):  # standard input, output, errors
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.executable = executable
    sys.path[:0] = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    code = 0
    try:
        _run(words)
    except SystemExit as stop:
        if stop.code is not None and not isinstance(stop.code, int):
            print(stop.code, file=sys.stderr)
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Exception:
        sys.excepthook(*sys.exc_info())
        code = 1
    # As the interpreter ends, but for taking apart every library, which lasts a second.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)


def _run(words: list[str]) -> None:
    import runpy

    sys.orig_argv = [sys.executable, *words]
    if words[0] == "-u":
        sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]
        words = words[1:]
    if words[0] == "-m":
        sys.path.insert(0, os.getcwd())
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(words[0]).resolve().parent))
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


def _relay(address: str, words: list[str]) -> None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(address)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: connection.send(str(number).encode()))
    request = {
        "words": words,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "executable": str(_executable(address)),
    }
    socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
    code = int(connection.recv(_MESSAGE))
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        _serve(sys.argv[2])
    else:
        _relay(sys.argv[1], sys.argv[2:])
