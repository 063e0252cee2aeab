"""What can go wrong while a run is under way, in a sentence instead of a traceback."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

# Their messages are written for people; the loader's workers pass them on with a traceback before.
_TOLD = ("ImageError", "CacheError", "BadLossError")
_IN_WORKER = "in DataLoader worker process"


@contextmanager
def faults_in_a_sentence() -> Iterator[None]:
    """End the program with the message of a fault of the data, the numbers or the machine.

    Any other error is a defect of the program and keeps its traceback; HYDRA_FULL_ERROR=1 shows it always.

    Raises:
        SystemExit: with the message.
    """
    try:
        yield
    except Exception as error:
        sentence = describe(error)
        if sentence is None or os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        raise SystemExit(sentence) from error


def describe(error: Exception) -> str | None:
    """Say what a fault is and what to do; None where the error is no fault but a defect.

    Args:
        error: what stopped the run.
    """
    message = str(error)
    for name in _TOLD:
        if type(error).__name__ == name:
            in_worker = _IN_WORKER in message.partition("\n")[0]
            return message.rpartition(f"{name}: ")[2].strip() if in_worker else message
    died = "exited unexpectedly" in message or "killed by signal" in message
    if "DataLoader worker" in message and died:
        first_line = message.partition("\n")[0].strip()
        return (
            f"A process that loads images has died ({first_line}). Mostly the memory was full: lower "
            "data.num_workers or data.batch_size; data.num_workers=0 loads without such processes"
        )
    if "Connection closed by peer" in message or "Connection reset by peer" in message:
        return "Another process of this run has died. What it said is above; without a word, it was killed"
    if "unable to allocate shared memory" in message or "out of shared memory" in message.lower():
        return (
            "The shared memory that loaded images travel through is full: enlarge /dev/shm (docker run "
            "--shm-size=8g), or lower data.num_workers"
        )
    return message if isinstance(error, OSError) else None
