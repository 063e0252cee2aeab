"""What can go wrong while a run is under way, in a sentence; and what Lightning says and nobody needs."""

import logging
import os
import re
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from detection.system.endings import end_in_time, let_others_die, raise_if_told
from detection.system.errors import first_line
from detection.system.files import write_text
from detection.system.processes import is_child
from detection.system.wording import escaped

# Their messages are written for people; the loader's workers pass them on with a traceback before.
# By name: Lightning's own kind cannot be imported before it is needed.
_TOLD = ("ImageError", "CollateError", "CacheError", "BadLossError", "MisconfigurationException")
_IN_WORKER = "in DataLoader worker process"
# What Lightning and torch call while they put back the state of a checkpoint.
_RESTORING = {"_restore_modules_and_callbacks", "restore_training_state", "restore_model", "resume_start"}
_TIMED_OUT = "DataLoader timed out"
_FULL_MEMORY = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


@contextmanager
def faults_in_a_sentence(folder: str | Path) -> Iterator[None]:
    """End the program with a sentence, whatever fails.

    A fault of the data, the numbers or the machine is described. Any other error is a defect of the program:
    its traceback goes to ``traceback.txt`` in the folder. HYDRA_FULL_ERROR=1 shows tracebacks on the screen.

    Args:
        folder: the run's folder.

    Raises:
        SystemExit: with the sentence.
    """
    try:
        yield
    except Exception as last:
        error = _first(last)
        if "killed by signal: Terminated" in str(error):
            let_others_die()
            time.sleep(1)  # a signal to the whole group ends the processes that load images first
        if is_child() and type(error).__name__ == "DistNetworkError":
            time.sleep(5)  # the first process is gone or ends, and this one with it
        raise_if_told()
        if str(error).startswith(_TIMED_OUT):
            end_in_time(1)
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        sentence = describe(error)
        if sentence is None:
            path = Path(folder) / f"traceback{_number()}.txt"
            try:
                write_text(path, "".join(traceback.format_exception(error)))
            except OSError:
                raise error from None
            sentence = (
                f"{type(error).__name__}: {_shortened(error)}. This is an error that the program does not "
                f"expect: please report it with {path}, which says where it happened; HYDRA_FULL_ERROR=1 "
                "shows it here."
            )
        raise SystemExit(escaped(sentence, but="\n\t")) from error


def _first(error: Exception) -> Exception:
    """The error that ended a run: Lightning's teardown may raise another after it."""
    frames = traceback.extract_tb(error.__traceback__)
    before = error.__context__
    in_turn = any(frame.name == "_teardown" for frame in frames)
    return before if in_turn and isinstance(before, Exception) else error


def _number() -> str:
    rank = os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))
    return "" if rank == "0" else f"_{rank}"


def _shortened(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[:300].rstrip(".") or "without a message"


def _asked_a_dead_loader(error: Exception) -> bool:
    """Whether a batch was announced by a process that died before its memory could be fetched from it."""
    lost = isinstance(error, EOFError | OSError)
    frames = traceback.extract_tb(error.__traceback__) if lost else []
    return any(Path(frame.filename).name == "resource_sharer.py" for frame in frames)


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
    if "DataLoader worker" in message and "killed by signal: Terminated" in message:
        return "A process that loads images was told to end, by SIGTERM, and the run with it"
    died = "exited unexpectedly" in message or "killed by signal" in message
    if ("DataLoader worker" in message and died) or _asked_a_dead_loader(error):
        return (
            f"A process that loads images has died ({first_line(error)}). Mostly the memory was full: lower "
            "data.num_workers or data.batch_size; data.num_workers=0 loads without such processes"
        )
    if "Connection closed by peer" in message or "Connection reset by peer" in message:
        return "Another process of this run has died. What it said is above; if nothing, it was killed"
    if "unable to allocate shared memory" in message or "out of shared memory" in message.lower():
        return (
            "The shared memory that loaded images travel through is full: enlarge /dev/shm (docker run "
            "--shm-size=8g), or lower data.num_workers"
        )
    if message.startswith(_TIMED_OUT):
        return (
            f"No batch has come for {message.split()[-2]} seconds (data.timeout). Mostly the shared memory "
            "is full (what the loading processes said is above: enlarge /dev/shm, docker run --shm-size=8g, "
            "or lower data.num_workers) or the disk does not answer; where a batch takes that long, raise "
            "data.timeout, 0 waits for ever"
        )
    if "Too many open files" in message:
        return (
            "Too many files are open at once: lower data.num_workers, or raise the limit of the system with "
            "ulimit -n 4096"
        )
    if isinstance(error, MemoryError) or any(sign in message for sign in _FULL_MEMORY):
        return (
            f"The memory is full ({_shortened(error)}): lower data.batch_size (find=batch_size looks for the "
            "largest), or data.size; trainer.precision=bf16-mixed takes about half on a GPU"
        )
    return _misfit(error) or (message if isinstance(error, OSError) else None)


def _misfit(error: Exception) -> str | None:
    """Say that a checkpoint does not fit what is configured, where that is what happened."""
    frames = traceback.extract_tb(error.__traceback__)
    in_optimizer = bool(frames) and Path(frames[-1].filename).parent.parts[-2:] == ("torch", "optim")
    if not _RESTORING & {frame.name for frame in frames} and not (
        isinstance(error, KeyError) and in_optimizer
    ):
        return None
    return (
        f"The checkpoint does not fit what is configured ({type(error).__name__}: {_shortened(error)}): give "
        "the overrides that the run was started with, or start a new run from its weights with init_from=... "
        "instead of ckpt=..."
    )


def quieten_lightning() -> None:
    """Drop what Lightning says that is not about the user's run."""
    # The best checkpoint is that of the first callback, as conf/callbacks/default.yaml says.
    warnings.filterwarnings("ignore", ".*configured with multiple `ModelCheckpoint` callbacks")
    # What goes on in another way is told in our words, by detection.checkpoints.resume.
    warnings.filterwarnings("ignore", "Be aware that when using `ckpt_path`")
    warnings.filterwarnings("ignore", "The dirpath has changed from")
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
    warnings.filterwarnings("ignore", "The checkpoint was not created with WeightAveraging")
    # The mean over the epoch of what is the same on all processes.
    warnings.filterwarnings("ignore", "It is recommended to use .self.log.'train/mean_loss")
    # The interval gives way: detection.callbacks.summary.
    warnings.filterwarnings(
        "ignore", "The number of training batches .* is smaller than the logging interval"
    )
    # Then the number of images decides: detection.tasks.run_length.
    warnings.filterwarnings("ignore", "`max_epochs` was not set")
    # Frozen batch norms are in evaluation mode on purpose.
    warnings.filterwarnings("ignore", "Found .* in eval mode at the start of training")
    # On a login node of Slurm's: this run may well be none of its jobs.
    warnings.filterwarnings("ignore", "The `srun` command is available")
    warnings.filterwarnings("ignore", "Precision .* is not supported by the model summary")
    warnings.filterwarnings("ignore", ".*is deprecated", module="pytorch_lightning.utilities._pytree")
    # Told in one line, with what to type: detection.cli.run_lines.
    warnings.filterwarnings("ignore", "This DataLoader will create .* worker processes")
    # An advertisement, and what is told in other words before, during and after the run.
    needless = (
        r"litlogger|`Trainer\(limit_\w+=.*` was configured so |"
        "[GT]PU available: |`Trainer.fit` stopped: `max_epochs=|Found current_model_state|"
        "Detected KeyboardInterrupt|Using .* Mixed Precision|"
        "Restor(ing|ed) .*states? from the checkpoint|Loaded model weights from the checkpoint|"
        "Initializing distributed|distributed_backend=|All distributed processes registered"
    )
    for name in ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.distributed"):
        logging.getLogger(name).addFilter(lambda record: not re.search(needless, record.getMessage()))
