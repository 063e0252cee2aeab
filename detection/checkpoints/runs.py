"""Where runs are kept, and how a stopped one is resumed."""

import os
import re
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import yaml

from detection.checkpoints.shared import is_address, is_shared
from detection.checkpoints.wandb_artifacts import fetch_artifact, is_artifact
from detection.system.files import make_free_folder, refuse_unwritable
from detection.system.processes import as_typed, command_again, is_queued_again, is_started_again, slurm_job
from detection.validation.near_paths import beside, newest_run

_OF_MODEL = re.compile(r"(experiment|model(/\w+)?|[+~]{0,2}(model|data\.size)\b[^=]*)(=|$)")


def run_folder(ckpt: str | None, name: str, now: str) -> str:
    """The folder of a run: a new one, made here and now, or that of the resumed run.

    Making it is claiming it: of two runs that start in the same second, the second one takes another name.
    Where torchrun or srun starts the processes of a run, they have agreed on a folder, and none claims it.
    In a batch job of Slurm's it has the number of the job in place of the date; when that is queued again,
    each of its commands finds its own.

    Args:
        ckpt: None, ``last`` or ``best`` (of the newest run of this name), the path of a checkpoint, or of a
            run's folder.
        name: of the run.
        now: the date, for a new folder.
    """
    if ckpt is None:
        return _new_folder(name, now)
    if ckpt in ("last", "best"):
        newest = _newest(ckpt, name)
        return str(newest.parent.parent) if newest else _new_folder(name, now)
    path = Path(ckpt).expanduser()
    if path.is_dir() and not is_shared(path):
        return str(path)
    return str(path.parent.parent) if path.parent.name == "checkpoints" else _new_folder(name, now)


def _newest(which: str, name: str) -> Path | None:
    """The ``best`` or ``last`` checkpoint that was written last of all runs of this name."""
    found = Path("runs", name).glob(f"*/checkpoints/{which}.ckpt")
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


@cache  # Hydra asks more than once
def _new_folder(name: str, now: str) -> str:
    if "RUN_STARTED" in os.environ:
        return str(Path("runs") / name / now)
    if os.environ.get("ENVIRONMENT") == "BATCH" and (job := slurm_job()):  # of sbatch, not of a shell
        now = f"slurm_{job}"
        if is_queued_again() and (before := _of_these_words(name, now)):
            return before
    folder = Path("runs") / name / now
    try:
        refuse_unwritable(folder, "run_dir")
    except OSError as error:  # which Hydra would tell as a fault of the configuration
        raise SystemExit(str(error)) from error
    return str(make_free_folder(folder))


def _of_these_words(name: str, job: str) -> str | None:
    """The folder in which a job has run this command line before it was queued again."""
    words = {word for word in sys.argv[1:] if not word.lstrip("+~").startswith(("hydra", "-"))}
    for folder in sorted(Path("runs", name).glob(f"{job}*")):
        if folder.name != job and not folder.name.startswith(f"{job}_"):
            continue  # of a job with a longer number
        try:
            before = yaml.safe_load((folder / ".hydra/overrides.yaml").read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if isinstance(before, list) and {str(word) for word in before} == words:
            return str(folder)
    return None


def find_checkpoint(ckpt: str | None, folder: str) -> Path | None:
    """The checkpoint that a run in ``folder`` starts from, None for a run that starts anew.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: it is a shared detector, or cannot be fetched.
    """
    if ckpt is None:
        return None
    if is_artifact(ckpt):
        return fetch_artifact(ckpt)
    path = Path(ckpt).expanduser()
    if is_address(ckpt) or is_shared(path):
        raise ValueError(
            f"ckpt={ckpt}: what is shared are weights, without the state of a training, so no run is resumed "
            f"from them: init_from={ckpt} starts a new one."
        )
    if ckpt in ("last", "best"):
        path = Path(folder) / "checkpoints" / f"{ckpt}.ckpt"
    elif path.is_dir():
        path = path / "checkpoints" / "last.ckpt"
    if ckpt in ("last", "best") and not path.is_file():
        raise FileNotFoundError(
            f"ckpt={ckpt}: there is no {Path(folder).parent}/*/checkpoints/{ckpt}.ckpt of an earlier run. "
            "Give its name (name=...), a checkpoint, or a run's folder; or leave ckpt out to start anew."
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"ckpt={ckpt}: there is no {path}{beside(path)}. A run writes it after an epoch, or where it is "
            "stopped; give the path of a checkpoint or of a run's folder, or leave ckpt out to start anew."
        )
    return path


def of_restarted_job(folder: str) -> Path | None:
    """What a job resumes from that Slurm or torchrun has started again, with the command of its first start.

    Args:
        folder: of the run.

    Returns:
        The last checkpoint in the folder; None where there is none, or this is no such job.
    """
    path = Path(folder) / "checkpoints" / "last.ckpt"
    return path if path.is_file() and is_started_again(folder) else None


def find_weights(source: str, name: str) -> str:
    """The checkpoint that ``init_from`` names: of a run its best one, or its last where it has no best.

    Args:
        source: a checkpoint, a run's folder, ``best`` or ``last`` (of the newest run of this name), a shared
            detector, or the name of published weights.
        name: of the new run.

    Raises:
        FileNotFoundError: a run has no checkpoint.
    """
    if source in ("last", "best"):
        newest = _newest(source, name)
        if newest is None and not Path(source).exists():
            raise FileNotFoundError(
                f"init_from={source}: no run in runs/{name} has a {source}.ckpt; give a checkpoint's path."
            )
        return str(newest or source)
    folder = Path(source).expanduser()
    if not folder.is_dir() or is_shared(folder):
        return source
    if (path := checkpoint_of_run(source)) is not None:
        return str(path)
    raise FileNotFoundError(
        f"init_from={source}: this folder has no checkpoints/best.ckpt; give a checkpoint's path."
    )


def words_of_model(checkpoint: str) -> list[str] | None:
    """The words that chose the network of a run, as they were typed; None where the run is not at hand.

    Args:
        checkpoint: in the folder of its run.
    """
    try:
        path = Path(checkpoint).expanduser().parents[1] / ".hydra/overrides.yaml"
        words = map(str, yaml.safe_load(path.read_text(encoding="utf-8")))
        return [word for word in words if is_of_model(word)]
    except Exception:  # it is only a hint, so nothing that may be wrong with that file matters
        return None


def is_of_model(word: str) -> bool:
    """Whether a word of a command line decides which network a run has."""
    return _OF_MODEL.match(word) is not None


def checkpoint_of_run(folder: str) -> Path | None:
    """The best checkpoint of a run, or its last where it has no best; None where this is no run's folder.

    Args:
        folder: of the run, or its ``checkpoints``; or ``last`` or ``best``, of the newest run of all.
    """
    if folder in ("last", "best") and not Path(folder).exists():
        return newest_run(folder)
    places = [Path(folder).expanduser() / part for part in ("checkpoints", ".")]
    paths = [place / f"{which}.ckpt" for place in places for which in ("best", "last")]
    return next((path for path in paths if path.is_file()), None)


def resume_command(arguments: Sequence[str], checkpoint: str, key: str = "ckpt") -> str:
    """The command that resumes a run, or starts another one from its weights.

    Args:
        arguments: ``sys.argv`` of the stopped command.
        checkpoint: the checkpoint to resume from.
        key: ``ckpt`` to resume, ``init_from`` to start anew.
    """
    left_out = ("ckpt=", "init_from=", "init_reuse=", "hydra.run.dir=", "run_dir=")
    kept = [word for word in arguments[1:] if not word.startswith(left_out)]
    return as_typed([*command_again(arguments[0]), *kept, f"{key}={checkpoint}"])
