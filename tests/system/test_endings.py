"""A command that is told to end does, and says so."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WAITS = """
import sys, time
from detection.system import endings
endings.GRACE_SECONDS = 1
endings.hear_signals()
endings.say_at_the_end(lambda: "Kept: everything.")
try:
    print("ready", flush=True)
    {wait}
except BaseException:
    endings.say()
finally:
    endings.end_if_told()
"""


def start(wait: str = "time.sleep(60)", *words: str, **environment: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", WAITS.format(wait=wait), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGTERM, 143, "Stopped by SIGTERM.\nKept: everything.\n"),
        (signal.SIGINT, 130, "Stopped by Ctrl-C.\nKept: everything.\n"),
    ],
)
@pytest.mark.parametrize("times", [1, 3])
def test_a_signal_ends_it_with_a_sentence(number: signal.Signals, code: int, said: str, times: int) -> None:
    process = start()
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.002)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == code
    assert errors == f"\n{said}"


def test_a_job_leaves_it_to_its_sweep_to_say_what_stopped_both() -> None:
    process = start("time.sleep(60)", "hydra.job.num=0")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors == "\nKept: everything.\n"


@pytest.mark.parametrize(
    "wait",
    [
        "import threading; threading.Thread(target=time.sleep, args=(60,)).start(); time.sleep(60)",
        "exec('while True:\\n try: time.sleep(60)\\n except BaseException: pass')",
    ],
)
def test_a_main_thread_that_does_not_end_is_ended(wait: str) -> None:
    """It waits for another thread at its end, or something swallows the exception, as a finalizer does."""
    process = start(wait)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 143
    assert errors == "\nStopped by SIGTERM.\nKept: everything.\n"


IN_A_FINALIZER = """exec('''
class Slow:
    def __del__(self):
        print("in", flush=True)
        time.sleep(60)
Slow()
time.sleep(60)
''')"""
AFTER_A_FORK = """exec('''
import os
def hook():
    print("in", flush=True)
    time.sleep(60)
os.register_at_fork(after_in_parent=hook)
if os.fork() == 0:
    os._exit(0)
time.sleep(60)
''')"""
AT_THE_EXIT = """exec('''
import atexit
def fails():
    raise RuntimeError("a process that loads is killed")
atexit.register(fails)
print("in", flush=True)
time.sleep(60)
''')"""


@pytest.mark.parametrize("wait", [IN_A_FINALIZER, AFTER_A_FORK, AT_THE_EXIT])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_python_drops_is_raised_again_and_not_told(wait: str, number: signal.Signals) -> None:
    process = start(f"endings.GRACE_SECONDS = 10; {wait}")
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    time.sleep(0.5)  # a signal between two of Python's steps waits for the end of the second, which sleeps
    started = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert time.monotonic() - started < 8, "by the main thread, in time"
    name = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
    assert errors == f"\nStopped by {name}.\nKept: everything.\n"


def test_those_that_load_end_at_once_when_the_run_has_ended() -> None:
    loads = """exec('''
import multiprocessing
def load():
    endings.outlive_the_step()
    print("loads", flush=True)
    time.sleep(60)
multiprocessing.get_context("fork").Process(target=load, daemon=True).start()
time.sleep(60)
''')"""
    process = start(f"endings.GRACE_SECONDS = 10; {loads}")
    assert process.stdout is not None
    assert process.stdout.readline() == "loads\n"
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert time.monotonic() - started < 8
    assert errors == "\nStopped by Ctrl-C.\nKept: everything.\n"


def test_a_reader_that_has_stopped_reading_is_not_waited_for() -> None:
    process = start("sys.stderr.write('x' * 1_000_000)")
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 143
    process.communicate()


def test_another_process_of_a_run_hands_the_signal_on() -> None:
    program = (
        "import os, subprocess, sys, time; from detection.system import endings; endings.hear_signals()\n"
        "child = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdout=subprocess.PIPE, "
        "env={**os.environ, 'LOCAL_RANK': '1'}); child.stdout.readline()\n"
        "try: print(child.pid, flush=True); time.sleep(60)\nfinally: endings.end_if_told()"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", program, WAITS.format(wait="time.sleep(60)")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert first.stdout is not None
    os.kill(int(first.stdout.readline()), signal.SIGTERM)
    _, errors = first.communicate(timeout=20)
    assert first.returncode == 143
    assert "Stopped by SIGTERM." in errors


STEPS = """
    endings.wait_for_steps(True)
    for step in range(1000):
        print(f"step {step} begins", flush=True)
        time.sleep(0.3)
        print("and ends", flush=True)
        if endings.told():
            endings.raise_if_told()
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 138)]
)
def test_a_signal_waits_for_the_end_of_a_step(number: signal.Signals, code: int) -> None:
    begins = f"endings.GRACE_SECONDS = 8; endings.hear_also({int(signal.SIGUSR1)})\n    "
    process = start(begins + STEPS.strip())
    assert process.stdout is not None
    assert process.stdout.readline() == "step 0 begins\n"
    process.send_signal(number)
    printed, errors = process.communicate(timeout=20)
    assert printed == "and ends\n"
    assert process.returncode == code
    assert "Kept: everything." in errors


def test_a_step_that_takes_too_long_is_given_up_and_a_second_ctrl_c_is_heard_at_once() -> None:
    for number, times, code in ((signal.SIGTERM, 1, 143), (signal.SIGINT, 2, 130)):
        process = start("endings.wait_for_steps(True); print('waits', flush=True); time.sleep(60)")
        assert process.stdout is not None
        process.stdout.readline()
        for _ in range(times):
            process.send_signal(number)
            time.sleep(0.1)
        process.communicate(timeout=20)
        assert process.returncode == code


def test_the_other_processes_go_on_for_a_while_and_heed_no_announcement() -> None:
    """The first one may wait for them in the middle of its step."""
    wait = f"endings.hear_also({int(signal.SIGUSR1)}); endings.wait_for_steps(True)"
    wait += "; print('waits', flush=True); time.sleep(60)"
    process = start(wait, RANK="1", TORCHELASTIC_RUN_ID="x")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGUSR1)
    time.sleep(0.1)
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert time.monotonic() - started > 0.8  # a second of grace
    assert process.returncode == 143
    assert errors == ""


LOADS = """
    import signal
    child = os.fork()
    if child == 0:
        endings.outlive_the_step()
        print("loads", flush=True)
        for _ in range(40): time.sleep(0.05)
        print("loaded", flush=True)
        time.sleep(60)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_what_loads_outlives_the_step_but_not_much_longer() -> None:
    process = start("import os; endings.GRACE_SECONDS = 3\n    " + LOADS.strip())
    assert process.stdout is not None
    assert process.stdout.readline() == "loads\n"
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGTERM)
    assert process.communicate(timeout=20)[0] == f"loaded\n{-signal.SIGALRM}\n"


def test_it_is_said_once_by_whoever_comes_first() -> None:
    """The main thread may take longer over it than it is given."""
    slow = "endings.say_at_the_end(lambda: time.sleep(2) or 'Kept: everything.'); time.sleep(60)"
    process = start(slow)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 143
    assert errors == "\nStopped by SIGTERM.\nKept: everything.\n"


DIES_WITH_US = """
    import signal, subprocess
    def child_died(*_): raise RuntimeError("killed by signal: Terminated")  # as torch does
    signal.signal(signal.SIGCHLD, child_died)
    endings.say_at_the_end(lambda: child.wait() and "Kept: everything.")
    child = subprocess.Popen(["sleep", "60"])
    print("started", flush=True)
    time.sleep(60)
"""


def test_a_loader_that_ends_with_the_run_is_no_error() -> None:
    process = start(DIES_WITH_US.strip().replace("\n    ", "\n    "))
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 143
    assert errors == "\nStopped by SIGTERM.\nKept: everything.\n"
