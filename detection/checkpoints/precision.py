"""In which precision a checkpoint is evaluated."""

from collections.abc import Mapping, Sequence
from typing import Any

_FULL = {"None": "32-true", "32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed", "64": "64-true"}


def full_name(precision: Any) -> str:
    """Lightning's full name of a precision: ``16-mixed`` of ``16``."""
    return _FULL.get(str(precision), str(precision))


def evaluation_precision(
    trainer: Mapping[str, Any], described: Mapping[str, Any], overrides: Sequence[str]
) -> tuple[str, str]:
    """Take the precision of the training, unless another is asked for or it is impossible here.

    Args:
        trainer: the configuration of the trainer.
        described: what the checkpoint says about itself; those of 0.1 do not say the precision.
        overrides: what the user has given, as ``KEY=VALUE``.

    Returns:
        The precision, and a line for the user where it is not float32 in both.
    """
    asked = full_name(trainer.get("precision"))
    if "precision" not in described.get("training", {}):
        return asked, ""
    trained = full_name(described["training"]["precision"])
    given = any(word.lstrip("+").startswith("trainer.precision=") for word in overrides)
    if given or asked != "32-true":  # from a configuration of the user's own
        line = f"Trained in {trained}, evaluated in {asked} as asked: its figures may differ."
        return asked, line if asked != trained else ""
    if trained == "32-true":
        return trained, ""
    if trained.startswith("16") and _on_cpu(trainer):
        return (
            asked,
            f"Trained in {trained}, which a CPU cannot do: evaluated in {asked}; its figures may differ.",
        )
    return trained, f"Evaluated in {trained}, as it was trained (trainer.precision)."


def _on_cpu(trainer: Mapping[str, Any]) -> bool:
    import torch

    accelerator = trainer.get("accelerator", "auto")
    return accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())
