"""Whether the best checkpoint in a folder is that of the run that is resumed there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detection.checkpoints.loading import read_checkpoint


def refuse_another_best(path: Path, checkpoint: Mapping[str, Any], callbacks: Mapping[str, Any]) -> None:
    """Refuse a folder whose best checkpoint is not the one whose metric a run knows.

    It would be tested, though it is of another run; or, where it is of a later epoch, be written over.

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
                if file.is_file() and _scores(_state_in(file, key)).get(name) != score:
                    raise ValueError(
                        f"{file} is not the one that {path} knows as the best of its run, with {score:.4g}: "
                        "move it away, or resume in another folder with run_dir=..."
                    )


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
