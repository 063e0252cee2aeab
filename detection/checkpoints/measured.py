"""Whether a resumed run still measures what it did: else its best epoch is chosen anew."""

from collections.abc import Mapping
from typing import Any

from detection.checkpoints.differences import changed_keys

VAL_SET = "val_set"
"""Under ``training`` of a description: the fingerprint of the validation's images and annotations."""

# Of a task: what becomes of the network's answer, and how it is measured.
_OF_MODEL = ("score_threshold", "nms_threshold", "topk", "max_detections", "interpolation")
_OF_TRAINER = "limit_val_batches"


def chosen_anew(
    checkpoint: Mapping[str, Any],
    trainer: Mapping[str, Any],
    model: Mapping[str, Any],
    data: Mapping[str, Any],
    training: Mapping[str, Any],
) -> str:
    """Say that the best epoch of a run is chosen anew, where metrics cannot be compared with those before.

    Args:
        checkpoint: what the run resumes from, which it can.
        trainer: the trainer's configuration.
        model: what the task is made from.
        data: how images become inputs, see ``DATA_KEYS``.
        training: see ``describe_training``.

    Returns:
        A line for the user; empty where validation is as it was, where the checkpoint is of 0.1, which does
        not say, and where nothing is left to train.
    """
    described = checkpoint["hyper_parameters"]
    before = described.get("training", {})
    if not before or _is_done(checkpoint, trainer):
        return ""
    images = VAL_SET if VAL_SET in before else "val_images"
    reasons = ["the validation images are others"] if before.get(images) != training[images] else []
    then = {"data": described["data"], "model": _measuring(described["model"], model)}
    now = {"data": data, "model": _measuring(model, described["model"])}
    if _OF_TRAINER in before:
        then["trainer"], now["trainer"] = (
            {_OF_TRAINER: side.get(_OF_TRAINER)} for side in (before, training)
        )
    reasons += [f"{change.key} is another" for change in changed_keys(then, now)]
    return f"The best epoch is chosen anew, since {' and '.join(reasons)}." if reasons else ""


def _measuring(model: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Of the model's arguments those that measure, where both sides say them."""
    return {key: model[key] for key in _OF_MODEL if key in model and key in other}


def _is_done(checkpoint: Mapping[str, Any], trainer: Mapping[str, Any]) -> bool:
    from detection.tasks.resuming import epochs_done

    done = {"epochs": epochs_done(checkpoint["loops"]["fit_loop"]), "steps": checkpoint["global_step"]}
    wanted = {key: trainer.get(f"max_{key}") for key in done}
    return any(each is not None and 0 <= each <= done[key] for key, each in wanted.items())
