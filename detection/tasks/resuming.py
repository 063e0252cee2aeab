"""A resumed training: what it has learned is the checkpoint's, how it continues is the configuration's.

Lightning restores optimizer and schedule as they were saved, over what was configured: another learning rate,
momentum or schedule would be ignored. So the task takes both out of the checkpoint and hands them over here.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from detection.data.position import same_share
from detection.system.wording import counted

Make = Callable[[list[nn.Parameter]], Optimizer]


@dataclass
class TrainingState:
    """What a checkpoint tells about the training that wrote it."""

    optimizer: dict[str, Any]
    """The optimizer's state."""
    optimizer_class: str | None
    """The name of its constructor, where the checkpoint describes it."""
    loops: dict[str, Any]
    """The progress of the loop over epochs, which Lightning restores later."""
    global_step: int
    batches_per_epoch: int | None
    """On each process; older checkpoints do not say."""


def take_training_state(checkpoint: dict[str, Any], averaging: bool) -> TrainingState:
    """Take the states of optimizer and schedule out of a loaded checkpoint, so that neither is restored.

    Args:
        checkpoint: as it was loaded; changed in place.
        averaging: whether this training keeps a moving average of the weights. Without one, it resumes from
            the weights that were trained, not from their average.
    """
    described = checkpoint.get("hyper_parameters", {})
    optimizers = checkpoint["optimizer_states"]
    checkpoint["optimizer_states"], checkpoint["lr_schedulers"] = [], []
    if not averaging and "current_model_state" in checkpoint:
        checkpoint["state_dict"] = checkpoint["current_model_state"]
    return TrainingState(
        optimizer=optimizers[0],
        optimizer_class=described.get("model", {}).get("optimizer", {}).get("_target_"),
        loops=checkpoint["loops"]["fit_loop"],
        global_step=checkpoint["global_step"],
        batches_per_epoch=described.get("training", {}).get("batches_per_epoch"),
    )


def forget_best(checkpoint: dict[str, Any], callbacks: Iterable[pl.Callback]) -> None:
    """Let callbacks that watch a metric of validation begin anew: what they know was measured otherwise.

    Args:
        checkpoint: as it was loaded; changed in place.
        callbacks: of the trainer.
    """
    states = checkpoint.get("callbacks", {})
    for callback in callbacks:
        if not str(getattr(callback, "monitor", None)).startswith("val/"):
            continue
        state = states.pop(callback.state_key, None)
        if isinstance(callback, ModelCheckpoint) and isinstance(state, dict):
            # The next best replaces that one's file, which a run that is killed then must understand.
            states[callback.state_key] = {"metrics_before": state.get("best_metrics")}


def follow_folder(checkpoint: dict[str, Any], callbacks: Iterable[pl.Callback]) -> None:
    """Let a resumed run know the checkpoints in its own folder, and no others.

    Lightning reads, replaces and deletes the files that a state names, wherever they lie. And it forgets
    them all where the folder was copied or moved, so that the next epoch, however bad, would be written over
    the best. So of each path its last part alone counts.

    Args:
        checkpoint: as it was loaded; changed in place.
        callbacks: of the trainer, their folders known.
    """
    for callback in callbacks:
        state = checkpoint.get("callbacks", {}).get(callback.state_key)
        if isinstance(callback, ModelCheckpoint) and isinstance(state, dict):
            checkpoint["callbacks"][callback.state_key] = _own_files(state, callback)


def _own_files(state: Mapping[str, Any], callback: ModelCheckpoint) -> dict[str, Any]:
    """The state of a new run, with those of the kept checkpoints that lie in the callback's folder."""
    folder = Path(callback.dirpath or ".").resolve()

    def own(path: Any) -> str:
        found = folder / Path(str(path)).name
        return str(found) if found.is_file() and found.resolve().parent == folder else ""

    best = state.get("best_k_models")
    kept = {own(path): score for path, score in best.items()} if isinstance(best, dict) else {}
    kept = {path: score for path, score in kept.items() if path and _is_number(score)}
    ranked = sorted(kept, key=lambda path: float(kept[path]), reverse=callback.mode == "max")
    new: dict[str, Any] = {**callback.state_dict(), "last_model_path": own(state.get("last_model_path"))}
    if ranked:
        new |= {"best_k_models": kept, "best_model_path": ranked[0], "kth_best_model_path": ranked[-1]}
        new |= {"best_model_score": kept[ranked[0]], "kth_value": kept[ranked[-1]]}
        epoch, metrics = state.get("best_epoch"), state.get("best_metrics")
        if isinstance(epoch, int) and isinstance(metrics, dict):  # of a BestCheckpoint
            new |= {"best_epoch": epoch, "best_metrics": metrics}
            new["metrics_before"] = state.get("metrics_before")
    elif callback.monitor is None:
        new["best_model_path"] = own(state.get("best_model_path"))
    elif isinstance(state.get("metrics_before"), dict):
        new["metrics_before"] = state["metrics_before"]
    return new


def _is_number(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.numel() == 1


def name_parameters(optimizer: Optimizer, names: dict[nn.Parameter, str]) -> None:
    """Let the optimizer's state name its parameters: they are found again where others are trained, too."""
    for group in optimizer.param_groups:
        group["param_names"] = [names[parameter] for parameter in group["params"]]


def steps_of_run(trainer: pl.Trainer) -> int:
    """Optimizer steps of the whole run, from its first epoch to its last, as it is configured now.

    Raises:
        ValueError: the run has no end.
    """
    trainer.fit_loop.setup_data()
    total = trainer.estimated_stepping_batches
    if not math.isfinite(total):
        raise ValueError(
            "trainer.max_epochs=-1: the learning rate follows the length of the run; give "
            "trainer.max_epochs=<epochs>, or trainer.max_steps=<optimizer steps> as well."
        )
    return int(total)


def restore_optimizer(
    optimizer: Optimizer, make_optimizer: Make, state: TrainingState, optimizer_class: str | None
) -> str:
    """Give each parameter the moments it had; all settings stay those of the new optimizer.

    Parameters that were not trained before start without moments, and so do all where the moments are of
    another kind.

    Args:
        optimizer: new, its parameters named.
        make_optimizer: what made it.
        state: of the checkpoint.
        optimizer_class: the name of the constructor of ``optimizer``.

    Returns:
        A line for the user where moments start anew.
    """
    if optimizer_class != state.optimizer_class:
        return f"The optimizer is another one ({optimizer_class}): its moments start anew."
    try:
        return _restore_moments(optimizer, make_optimizer, state)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return f"The optimizer's state in the checkpoint is no such state ({error}): its moments start anew."


def _restore_moments(optimizer: Optimizer, make_optimizer: Make, state: TrainingState) -> str:
    saved, now = state.optimizer, optimizer.state_dict()
    numbers = [number for group in saved["param_groups"] for number in group["params"]]
    names = [name for group in now["param_groups"] for name in group["param_names"]]
    names_then = [name for group in saved["param_groups"] for name in group.get("param_names", [])]
    if not names_then:  # written by 0.1
        if len(numbers) != len(names):
            return (
                "Other parameters are trained, and the checkpoint does not name those of before: the "
                "optimizer's moments start anew."
            )
        names_then = names
    number_of = dict(zip(names_then, numbers, strict=True))
    moments = {
        number: saved["state"][number_of[name]]
        for number, name in enumerate(names)
        if name in number_of and number_of[name] in saved["state"]
    }
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, kept in moments.items():
        _check_moments(kept, parameters[number])
    lacking = _lacking(make_optimizer, parameters, moments)
    if lacking:
        return f"The optimizer now also keeps {', '.join(lacking)}: its moments start anew."
    optimizer.load_state_dict({"state": moments, "param_groups": now["param_groups"]})
    fresh = sum(name not in number_of for name in names)
    return f"Trained from now on, without moments at first: {counted(fresh, 'tensor')}." if fresh else ""


def _check_moments(kept: dict[str, Any], parameter: nn.Parameter) -> None:
    for key, value in kept.items():
        if not isinstance(value, torch.Tensor | int | float | None):
            raise ValueError(f"{key} is no number")
        if isinstance(value, torch.Tensor) and value.ndim and value.shape != parameter.shape:
            raise ValueError(f"{key} has the shape {list(value.shape)}, not {list(parameter.shape)}")
        if value is not None and not torch.as_tensor(value).isfinite().all():
            raise ValueError(f"{key} is not finite")


def _lacking(
    make_optimizer: Make, parameters: list[nn.Parameter], moments: dict[int, dict[str, Any]]
) -> list[str]:
    """What the optimizer with its present settings would miss in the moments: AMSGrad's maximum, for one."""
    number = next((number for number, kept in moments.items() if kept), None)
    if number is None:
        return []
    probe = nn.Parameter(torch.zeros_like(parameters[number]))
    probe.grad = torch.zeros_like(probe)
    trial = make_optimizer([probe])
    trial.step(lambda: 0.0)
    return [key for key in trial.state[probe] if moments[number].get(key) is None]


def restore_schedule(scheduler: LambdaLR, state: TrainingState, trainer: pl.Trainer, total: int) -> str:
    """Resume at the share of the run that is done, whatever the batch or the length of the run are now.

    Args:
        scheduler: new, over the whole run as it is configured now.
        state: of the checkpoint; its loop is told how many batches an epoch has now.
        trainer: of the new training.
        total: optimizer steps of the whole run.

    Returns:
        A line for the user: where the run resumes, if anything is left of it.
    """
    batches = int(trainer.num_training_batches)
    _rescale_epoch(state, batches, trainer.accumulate_grad_batches)
    if trainer.max_steps == total:  # this is what ends the run
        position = state.global_step
    else:
        per_epoch = math.ceil(batches / trainer.accumulate_grad_batches)
        position = epochs_done(state.loops) * per_epoch
        if not _epoch_ended(state.loops):
            position += math.ceil(_batch(state.loops)["ready"] / trainer.accumulate_grad_batches)
    rates = [
        base * factor(position) for base, factor in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
    ]
    for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    # As if the scheduler itself had come this far.
    scheduler.load_state_dict(
        {**scheduler.state_dict(), "last_epoch": position, "_step_count": position + 1, "_last_lr": rates}
    )
    if position >= total:
        return ""
    return f"{position / total:.0%} of the run is done; the learning rate resumes from {rates[0]:.3g}."


def epochs_done(loops: dict[str, Any]) -> int:
    """How many epochs were trained to their end.

    Args:
        loops: the progress of Lightning's loop over epochs, in a checkpoint.
    """
    epochs = loops["epoch_progress"]["current"]
    # Checkpoints are written after the last batch of an epoch, before or after the epoch itself is counted.
    done: int = epochs["started"] if _epoch_ended(loops) else epochs["processed"]
    return done


def _epoch_ended(loops: dict[str, Any]) -> bool:
    return bool(loops["epoch_loop.batch_progress"]["is_last_batch"])


def _batch(loops: dict[str, Any]) -> dict[str, int]:
    current: dict[str, int] = loops["epoch_loop.batch_progress"]["current"]
    return current


def _rescale_epoch(state: TrainingState, batches: int, parts: int) -> None:
    """Keep the share of the current epoch that is done, where an epoch has another number of batches now.

    Whole steps, as the datamodule does (``load_state_dict``), which has the images.
    """
    current = _batch(state.loops)
    if _epoch_ended(state.loops):
        ready = batches
    elif state.batches_per_epoch not in (None, batches):
        ready = same_share(current["ready"], state.batches_per_epoch, batches) // parts * parts
    else:
        return
    moved = ready - current["ready"]
    for key in current:
        current[key] += moved
