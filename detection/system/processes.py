"""How commands are started, and runs whose processes somebody else starts: torchrun, or Slurm's srun.

Lightning's own processes get the run's folder on their command line. These do not, and each would name a
folder after its own clock.
"""

import ctypes
import math
import os
import re
import shlex
import signal
import socket
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# A value, or a member of a list, that `cli.quoting` quotes: no number and no function of Hydra's.
_QUOTED = re.compile(
    r"(?<=[=\[,])'(?!\w+\()(?=[^']*(?:[^\x00-\x7f]|[&;#!()]))([^'\"\\,\[\]{}$=~\s](?:[^'\"\\,\[\]{}$=~]*[^'\"\\,\[\]{}$=~\s])?)'(?=[,\]]|$)"
)
_CONTAINER = Path("/sys/fs/cgroup")  # of version 2, where a container sees its own limits
_PORT = "port_of_this_start"
_LONGEST_WAIT = 300  # seconds
_own_store: list["TCPStore"] = []  # kept open while this process lives
OF_A_CALLER = "RUN_OF_A_CALLER"
"""Among the environment of a command that `detection.train` and the like have started."""
STARTED = "RUN_STARTED"  # conf/hydra/default.yaml names a run's folder after it


def num_cores() -> int:
    """How many cores this process may use, of those that its container may."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, period, *_ = [*_of_container("cpu.max").split(), "", ""]
    return min(cores, math.ceil(int(quota) / int(period))) if quota.isdecimal() else cores


def available_memory() -> float:
    """Bytes that programs can still have, of those that their container may, where Linux tells.

    What the disk's cache holds counts as free.
    """
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return math.inf
    available = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    most, used = _of_container("memory.max"), _of_container("memory.current")
    if not most.strip().isdecimal():
        return available
    cached = re.search(r"^inactive_file (\d+)", _of_container("memory.stat"), re.M)
    return min(available, max(0, int(most) - int(used) + int(cached[1] if cached else 0)))


def _of_container(name: str) -> str:
    """What a file of the control group says; empty where there is none, outside of containers."""
    try:
        return (_CONTAINER / name).read_text(encoding="ascii")
    except OSError:
        return ""


def is_child() -> bool:
    """Whether Lightning started this process beside the first one of its machine."""
    # Lightning gives the first one a number as well, though later.
    return os.environ.get("LOCAL_RANK", "0") != "0" and "TORCHELASTIC_RUN_ID" not in os.environ


def is_first() -> bool:
    """Whether this is the process of a run that writes its files."""
    ranks = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "NODE_RANK")
    return all(os.environ.get(name, "0") == "0" for name in ranks)


def is_job() -> bool:
    """Whether a sweep started this process for one of its jobs, with the job's number on the command line."""
    return any(word.startswith("hydra.job.num=") for word in sys.argv)


def agree_on_start() -> None:
    """Let the processes of one run agree on when it started, by the environment variable ``RUN_STARTED``.

    Those of torchrun also get a store of their own to meet in.

    Raises:
        SystemExit: when they cannot, and the command line names no folder.
        OSError: the first process of a restart by torchrun has not come in five minutes.
    """
    agent = None
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        agent = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
        _meet_in_a_new_store(agent)
    by_srun = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1
    if STARTED in os.environ or not (by_srun or "TORCHELASTIC_RUN_ID" in os.environ):
        return
    if any(word.startswith("hydra.run.dir=") for word in sys.argv):
        return
    if agent is not None:
        now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        # The first process sets it, and the others, those of a restart too, get what it set.
        os.environ[STARTED] = agent.compare_set("run_started", "", now).decode()
        return
    job, step = slurm_job(), os.environ.get("SLURM_STEP_ID")
    if job and step:  # the same when the job is queued again
        os.environ[STARTED] = f"slurm_{job}.{step}"
        return
    raise SystemExit(
        "Several processes were started for one run: name its folder, such as run_dir=runs/$SLURM_JOB_ID."
    )


def _meet_in_a_new_store(agent: "TCPStore") -> None:
    """Let the processes of one start find each other in a store of their first one, instead of torchrun's.

    That one lives on over restarts with the addresses of the processes before, and who reads such an address
    is refused (https://github.com/pytorch/pytorch/issues/167288).

    Args:
        agent: torchrun's.
    """
    host = os.environ["MASTER_ADDR"]
    if os.environ["RANK"] == "0":
        # Several tenants: init_process_group opens the same one once more.
        _own_store.append(type(agent)(host, 0, is_master=True, wait_for_workers=False, multi_tenant=True))
        agent.set(_PORT, str(_own_store[-1].port))
    # The others may read the port of an earlier start: nobody listens there any more.
    deadline = time.monotonic() + _LONGEST_WAIT
    while True:
        port = agent.get(_PORT).decode()
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    os.environ |= {"MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": "False"}


def slurm_job() -> str:
    """The number of Slurm's job that this is part of, with that of the task in an array; empty without."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array is not None:
        return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID", "")


def is_queued_again() -> bool:
    """Whether this is part of a job that Slurm has queued again after it had begun."""
    return os.environ.get("SLURM_RESTART_COUNT", "0") != "0"


def is_started_again(folder: str | Path) -> bool:
    """Whether this is part of a job that Slurm or torchrun has started again after it had begun.

    A machine that has come to torchrun in place of another one counts no restart: what tells it is that the
    processes have agreed on a folder which an earlier start has made.

    Args:
        folder: of the run; there is something in it.
    """
    restarts = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
    return restarts or is_queued_again() or Path(folder).name == os.environ.get(STARTED)


def end_with_the_first() -> None:
    """Let the processes that Lightning started end when the first one is killed, not wait for it."""
    if is_child():
        end_with_parent()


def end_with_parent(by: signal.Signals = signal.SIGKILL) -> None:
    """Let this process end when the one that started it is killed, where the system can (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, by)


def end_with_a_caller() -> None:
    """The same for a command that a function has started: unseen, a training would go on for days."""
    if os.environ.pop(OF_A_CALLER, None):
        end_with_parent(signal.SIGTERM)


def started_elsewhere(trainer: dict[str, Any]) -> list[str]:
    """Compare how many processes torchrun or srun started with how many the trainer will use.

    Args:
        trainer: the trainer's configuration.

    Returns:
        What is wrong: with another number, each process would silently train a model of its own.
    """
    expected = _world_size()
    devices = trainer["devices"]
    if isinstance(devices, list):
        devices = len(devices)
    if expected is None or not str(devices).isdecimal() or int(devices) * trainer["num_nodes"] == expected:
        return []
    return [
        f"trainer.devices: {expected} processes were started (torchrun, srun), but devices x num_nodes is "
        f"{devices} x {trainer['num_nodes']}; set trainer.devices to the processes of one machine"
    ]


def _world_size() -> int | None:
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return int(os.environ["WORLD_SIZE"])
    return int(os.environ["SLURM_STEP_NUM_TASKS"]) if "SLURM_STEP_NUM_TASKS" in os.environ else None


PACKAGE = Path(__file__).parents[1]
_SCRIPT = PACKAGE.parent / "train.py"  # in a copy of the repository, not in an installed package
# A wheel has it inside the package.
CONF = PACKAGE.parent / "conf" if _SCRIPT.is_file() else PACKAGE / "conf"

# The end of every --help; Hydra takes $$ for $ there.
FLAGS = """\
Flags: -m one run for each value of a list; --cfg job --resolve all values; --config-dir a folder with
files of your own; --hydra-help what else Hydra can do. Completion by Tab: eval "$$(detection completion)\""""


def command(verb: str) -> list[str]:
    """The words that start a command: ``python train.py``, or outside of the repository ``detection train``.

    Args:
        verb: train, predict and so on.
    """
    if not _SCRIPT.is_file() or Path.cwd() != PACKAGE.parent:
        return ["detection", verb]
    return ["python", "train.py"] if verb == "train" else ["python", "-m", f"detection.{verb}"]


def as_typed(words: Sequence[str]) -> str:
    """A command line to paste, without the quotes that the commands put in themselves for Hydra.

    Args:
        words: of a command line, as Hydra reads them; of several with one key the last counts.
    """
    last = {word.partition("=")[0]: number for number, word in enumerate(words) if "=" in word}
    kept = (word for number, word in enumerate(words) if last.get(word.partition("=")[0], number) == number)
    return shlex.join(_QUOTED.sub(r"\1", word) for word in kept)


def in_quotes(value: str) -> str:
    """A value in quotes of Hydra's, which reads it back as it is.

    Args:
        value: of any letters.
    """
    # Backslashes count double before a quote and at the end, and are plain elsewhere.
    escaped = re.sub(r"(\\*)('|$)", lambda match: match[1] * 2 + match[2].replace("'", r"\'"), value)
    return f"'{escaped}'"


def command_again(program: str) -> list[str]:
    """The words that started this process.

    Args:
        program: ``sys.argv[0]``.
    """
    path = Path(program)
    return command(path.stem) if path.parent == PACKAGE else ["python", program]


def training() -> list[str]:
    """The command line of a training in a process of its own."""
    return [sys.executable, str(_SCRIPT)] if _SCRIPT.is_file() else [sys.executable, "-m", "detection.train"]
