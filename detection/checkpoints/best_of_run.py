"""Whether the best checkpoint in a folder is that of the run that is resumed there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detection.checkpoints.loading import read_checkpoint


def refuse_another_best(path: Path, checkpoint: Mapping[str, Any], callbacks: Mapping[str, Any]) -> None:
    """Refuse a folder whose best checkpoint is not the one whose metric a run knows.

    It would be tested, though it is of another run; or, where it is of a later epoch, be written over. The
    next best of the same run is right: a kill between the writing of the two leaves it.

    Args:
        path: the checkpoint that the run resumes from.
        checkpoint: what it holds.
        callbacks: as configured; those with a ``dirpath`` keep checkpoints there.

    Raises:
        ValueError: there is such a file, or it cannot be read.
    """
    folders = {Path(str(item["dirpath"])) for item in callbacks.values() if _has(item, "dirpath")}
    states = checkpoint.get("callbacks")
    for key, state in states.items() if isinstance(states, dict) else ():
        for name, score in _scores(state).items():
            for file in {folder / name for folder in folders} - {path}:
                if not file.is_file():
                    continue
                written = _state_in(file, key)
                if _scores(written).get(name) != score and not is_next_best(written, state):
                    raise ValueError(
                        f"{file} is not the one that {path} knows as the best of its run, with {score:.4g}: "
                        "move it away, or resume in another folder with run_dir=..."
                    )


def is_next_best(state: Any, known: Mapping[str, Any]) -> bool:
    """Whether a best checkpoint is the one that has replaced the best that a run knows.

    Args:
        state: of the ``BestCheckpoint`` that wrote it, as it was then.
        known: of the same callback of the run.
    """
    before, best = (
        side.get(name) if isinstance(side, Mapping) else None
        for side, name in ((state, "metrics_before"), (known, "best_metrics"))
    )
    # Compared as text, for nan is not nan. The losses among them tell one run from another.
    return isinstance(before, dict) and bool(before) and repr(before) == repr(best)


def _state_in(file: Path, key: str) -> Any:
    states = read_checkpoint(file).get("callbacks")
    return states.get(key) if isinstance(states, dict) else None


def _has(item: Any, key: str) -> bool:
    return isinstance(item, Mapping) and item.get(key) is not None


def _scores(state: Any) -> dict[str, float]:
    """The metrics of the kept checkpoints, by the names of their files."""
    best = state.get("best_k_models") if isinstance(state, Mapping) else None
    if not isinstance(best, dict):
        return {}
    return {Path(str(path)).name: float(score) for path, score in best.items() if _is_metric(score)}


def _is_metric(score: Any) -> bool:
    return isinstance(score, float) or getattr(score, "shape", None) == ()
