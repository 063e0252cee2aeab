"""A loss that is no finite number ends the run, or its step is skipped; either way it is told."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from detection.system.wording import counted
from detection.types import ListBatch, PaddedBatch

_SHOWN = 5
# A loss that stays bad does not come from a batch.
_MAX_IN_A_ROW = 20


class BadLossError(ArithmeticError):
    """The loss is not a finite number; the message names the step, the images and the learning rate."""


class Step(NamedTuple):
    """What was trained on in one step of one process."""

    number: int
    """Optimizer steps before it."""
    epoch: int
    learning_rate: float
    image_ids: list[str]

    def __str__(self) -> str:
        return (
            f"step {self.number} (counted from 0; epoch {self.epoch + 1}, learning rate "
            f"{self.learning_rate:g}), images {', '.join(self.image_ids)}"
        )


class BadLoss(pl.Callback):
    """Watches the losses for values that are not finite.

    With ``raise``, whether a loss was bad stays on the device, and is asked for every few steps, before each
    validation and at the end of each epoch. So training hardly waits for the answer, and no checkpoint is
    ever written with weights that a bad loss has spoilt. A bad loss of validation ends the run in any case.

    With ``skip``, the gradient of a bad loss is dropped before the optimizer sees it, on all processes alike:
    weights and momentum stay as they were. The device is asked at every step, which costs a little time on a
    GPU. (In half precision with a gradient scaler, the scaler skips such steps by itself; they are counted.)
    With ``accumulate_grad_batches``, what was accumulated before is dropped too.

    Args:
        on_bad_loss: ``raise`` or ``skip``.
        every_n_steps: how often the device is asked, with ``raise``.
    """

    def __init__(self, on_bad_loss: Literal["raise", "skip"] = "raise", every_n_steps: int = 10) -> None:
        self.on_bad_loss = on_bad_loss
        self.every_n_steps = every_n_steps
        self.num_skipped = 0
        self._first_skipped: list[str] = []
        self._in_a_row = 0
        self._steps: list[Step] = []
        self._bad: list[Tensor] = []

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"num_skipped": self.num_skipped, "first_skipped": self._first_skipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep counting."""
        self.num_skipped, self._first_skipped = state_dict["num_skipped"], state_dict["first_skipped"]

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Remember what is trained on."""
        rate = float(trainer.optimizers[0].param_groups[0]["lr"])
        self._steps.append(Step(trainer.global_step, trainer.current_epoch, rate, image_ids(batch)))

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Remember on the device whether the loss is bad."""
        self._bad.append(~torch.isfinite(loss.detach()).all())

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Skip the step where that is wanted."""
        if self.on_bad_loss != "skip":
            return
        found = self._ask(trainer)
        if not found:
            self._in_a_row = 0
            return
        self.num_skipped += 1
        self._in_a_row += 1
        self._first_skipped = [*self._first_skipped, *found][:_SHOWN]
        if self._in_a_row == _MAX_IN_A_ROW:
            raise BadLossError(
                f"The loss was not a finite number in {_MAX_IN_A_ROW} steps in a row, the last of them: "
                f"{found[0]}. Lower the learning rate (optimizer.lr), or clip gradients "
                "(trainer.gradient_clip_val=10)"
            )
        if getattr(trainer.precision_plugin, "scaler", None) is None:
            pl_module.zero_grad(set_to_none=True)  # an optimizer passes over what has no gradient

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Ask now and then."""
        if (batch_idx + 1) % self.every_n_steps == 0:
            self._refuse(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ask before anything is computed with the weights."""
        self._refuse(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse weights that the last steps have spoilt, before a checkpoint is written."""
        loss, precision = (trainer.callback_metrics.get(name) for name in ("val/loss", "val/map"))
        # Without anything to find, neither is a number.
        if trainer.sanity_checking or loss is None or precision is None or not torch.isfinite(precision):
            return
        if not torch.isfinite(loss):
            rate = float(trainer.optimizers[0].param_groups[0]["lr"])
            raise BadLossError(
                f"val/loss is not a finite number after {counted(trainer.global_step, 'step')} (epoch "
                f"{trainer.current_epoch + 1}, learning rate {rate:g}): the weights are spoilt. Lower the "
                "learning rate (optimizer.lr), or clip gradients (trainer.gradient_clip_val=10)"
            )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ask before a checkpoint is written."""
        self._refuse(trainer)

    @rank_zero_only
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell how many steps were skipped."""
        if self.num_skipped:
            more = self.num_skipped - len(self._first_skipped)
            shown = "\n  ".join([*self._first_skipped, *([f"... and {more} more"] if more > 0 else [])])
            print(f"Steps skipped for a loss that was not finite: {self.num_skipped}\n  {shown}", flush=True)

    def _refuse(self, trainer: pl.Trainer) -> None:
        found = self._ask(trainer)
        if found:
            raise BadLossError(
                f"The loss is not a finite number at {found[0]}. Lower the learning rate (optimizer.lr), "
                "clip gradients (trainer.gradient_clip_val=10), or look at these images (python -m "
                "detection.check); callbacks.bad_loss.on_bad_loss=skip passes over such steps"
            )

    def _ask(self, trainer: pl.Trainer) -> list[str]:
        """Describes the bad steps since the last time, of all processes, the first ones first."""
        steps, bad, self._steps, self._bad = self._steps, self._bad, [], []
        if not bad:
            return []
        flags = torch.stack(bad)
        total = trainer.strategy.reduce(flags.float(), reduce_op="sum")
        assert isinstance(total, Tensor)
        if total.sum() == 0:  # the one time that the host waits for the device
            return []
        mine = [step for step, is_bad in zip(steps, flags.tolist(), strict=True) if is_bad]
        everyones: Sequence[list[Step] | None] = [mine]
        if trainer.world_size > 1:
            everyones = [None] * trainer.world_size
            torch.distributed.all_gather_object(everyones, mine)
        found = sorted(step for some in everyones for step in some or [])
        return [str(step) for step in found]


def image_ids(batch: PaddedBatch | ListBatch) -> list[str]:
    """The names of the images of a batch."""
    if isinstance(batch, PaddedBatch):
        return batch.image_ids
    return [target["image_id"] for target in batch.targets]
