"""What every detection task shares: optimizer, logging, evaluation."""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics import MeanMetric

from detection.bounds import Share, Size
from detection.metrics.mean_ap import COCOMeanAP, Interpolation, VOCMeanAP
from detection.models.inference import Inference
from detection.registry import DESCRIPTION_FORMAT
from detection.tasks.parameter_groups import MakeOptimizer, grouped_optimizer
from detection.tasks.resuming import (
    TrainingState,
    follow_folder,
    forget_best,
    name_parameters,
    restore_optimizer,
    restore_schedule,
    steps_of_run,
    take_training_state,
)
from detection.tasks.schedules import Schedule
from detection.tasks.step_mean import StepMean
from detection.types import AnchorTargets, Detections, Target

COCO_FIGURES = ("map", "map_50", "map_75")


class DetectionTask(Inference, pl.LightningModule):
    """Trains and evaluates a detector.

    Subclasses own the network and define ``training_step`` and ``evaluate_batch``.

    Args:
        class_names: names of the foreground classes, in label order.
        optimizer: makes the optimizer from the trainable parameters.
        scheduler: the learning-rate schedule.
        interpolation: how VOC AP is summed: ``07`` (11 points) or ``area`` (2010 and later).
        coco_ap: whether the test also reports COCO's average precision.
        layer_decay: how much slower each block of the backbone learns than the next; see
            ``grouped_optimizer``.
        decay_norms: whether biases and the scales of norms decay as other weights do.

    Raises:
        ValueError: the optimizer refuses its settings.
    """

    loss_names: ClassVar[tuple[str, ...]]
    """The losses of ``evaluate_batch``, ``loss`` (the sum) among them."""

    def __init__(
        self,
        class_names: Sequence[str],
        optimizer: MakeOptimizer,
        scheduler: Schedule,
        interpolation: Interpolation,
        coco_ap: bool,
        layer_decay: Share = 1.0,
        decay_norms: bool = True,
    ) -> None:
        super().__init__()
        self.class_names = list(class_names)
        try:  # at once, not at the first step
            optimizer([nn.Parameter(torch.zeros(1, 1))])
        except ValueError as error:
            raise ValueError(f"optimizer: {error}") from error
        self.make_optimizer = optimizer
        self.layer_decay, self.decay_norms = layer_decay, decay_norms
        self.schedule = scheduler
        self.started_from = frozenset[str]()
        """Names of the weights that another training brought, the predictors of classes left out."""
        self.best_is_chosen_anew = False
        """Whether a training that resumes forgets which epoch was the best: it is validated otherwise now."""
        self._resumed: TrainingState | None = None
        metrics = {
            stage: VOCMeanAP(len(self.class_names), interpolation=interpolation) for stage in ("val", "test")
        }
        # In plain dicts, whose values keep their types; they follow the device at each update.
        self._metrics: dict[str, VOCMeanAP] = metrics
        self._coco = COCOMeanAP(len(self.class_names)) if coco_ap else None
        # One per loss, also on a process without a single batch: all processes must meet in compute().
        # A batch whose loss is nan makes the mean nan: it is not left out, as the metric's default would.
        self._losses = {name: MeanMetric(nan_strategy=math.nan) for name in self.loss_names}
        self._step = StepMean()

    def describe(self, **config: Any) -> None:
        """Keep plain values (dicts, lists, strings, numbers) that describe this task in its checkpoints."""
        self.save_hyperparameters({"format": DESCRIPTION_FORMAT, **config}, logger=False)

    def compile_network(self) -> None:
        """Have ``torch.compile`` compile the network at its first step; the weights keep their names."""
        self.network.compile()

    def describe_size(self) -> str:
        """How large the network is: ``1,161,524 parameters, all trained``."""
        sizes = [(p.numel(), p.requires_grad) for p in self.network.parameters()]
        total, trained = (sum(size for size, learns in sizes if learns or every) for every in (True, False))
        return f"{total:,} parameters, {'all' if trained == total else f'{trained:,}'} trained"

    def check_device(self, kind: str) -> None:
        """Refuse a device on which what was asked for would be no help.

        Args:
            kind: ``cpu``, ``cuda`` and so on.

        Raises:
            ValueError: the sentence says what to leave out.
        """

    def metric_names(self, stage: Literal["train", "val", "test"]) -> list[str]:
        """What a stage logs, ``val/map`` say; a task of your own that logs more adds its names."""
        names = list(self.loss_names)
        if stage != "train":
            names = ["map", "map_07", "map_area", *names, *(f"ap/{name}" for name in self.class_names)]
        if stage == "test" and self._coco:
            names += [f"coco_{name}" for name in COCO_FIGURES]
        return [f"{stage}/{name}" for name in names]

    @abstractmethod
    def evaluate_batch(self, batch: Any) -> tuple[list[Detections], list[Target], dict[str, Tensor], Tensor]:
        """Detect and score one batch.

        Returns:
            Detections and targets per image, in original pixels; the losses by name; and the weight of this
            batch in their mean.
        """

    @abstractmethod
    def original_targets(self, batch: Any) -> list[Target]:
        """The ground truth of each image of a batch, in its original pixels."""

    @abstractmethod
    def assigner(self, size: Size) -> Callable[..., AnchorTargets]:
        """A function of ground truth alone that assigns training targets, for the loader's workers.

        Args:
            size: the datamodule's ``size``.
        """

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what a resumed training needs; its optimizer and schedule are those configured now."""
        if self.trainer.state.fn == "fit":
            averaging = any(isinstance(callback, WeightAveraging) for callback in self.trainer.callbacks)  # type: ignore[attr-defined]
            self._resumed = take_training_state(checkpoint, averaging)
            if self.best_is_chosen_anew:
                forget_best(checkpoint, self.trainer.callbacks)  # type: ignore[attr-defined]
            follow_folder(checkpoint, self.trainer.callbacks)  # type: ignore[attr-defined]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """All trainable parameters; the schedule is followed step by step."""
        trained = {parameter: name for name, parameter in self.named_parameters() if parameter.requires_grad}
        blocks = self.network.backbone.blocks() if self.layer_decay != 1 else ()
        optimizer = grouped_optimizer(
            self.make_optimizer, trained, blocks, self.layer_decay, self.decay_norms
        )
        name_parameters(optimizer, trained)
        total = steps_of_run(self.trainer)
        described = self.hparams.get("training", {})
        described |= {"total_steps": total, "batches_per_epoch": int(self.trainer.num_training_batches)}
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.schedule(step, total))
        if self._resumed is not None:
            kind = self.hparams.get("model", {}).get("optimizer", {}).get("_target_")
            told = [restore_optimizer(optimizer, self.make_optimizer, self._resumed, kind)]
            told.append(restore_schedule(scheduler, self._resumed, self.trainer, total))
            self._resumed = None
            if self.trainer.is_global_zero:
                print("\n".join(line for line in told if line), flush=True)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def share_of_step(
        self, losses: Mapping[str, Tensor], weight: Tensor, batch_idx: int, num_images: int
    ) -> Tensor:
        """What this batch adds to the loss of its optimizer step, to be returned by ``training_step``.

        A step is the weighted mean over all its images, however they are divided among processes and parts
        (:class:`~detection.tasks.step_mean.StepMean`); that mean is logged.

        Args:
            losses: scalars, means over this batch; ``loss`` is the one to minimise.
            weight: of this batch in the mean over the step, a scalar.
            batch_idx: as Lightning counts it.
            num_images: in this batch.
        """
        trainer = self.trainer
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self._step.begin()
        share, means = self._step.add(losses, weight, self.parameters(), trainer.strategy.reduce)
        self.log_losses(means, num_images)
        # Lightning divides by the number of parts, and gradients are averaged over processes.
        return losses["loss"] * share * (trainer.accumulate_grad_batches * trainer.world_size)

    def log_losses(self, losses: Mapping[str, Tensor], batch_size: int) -> None:
        """Log training losses, ``train/loss`` on the progress bar."""
        for name, value in losses.items():
            on_bar = name == "loss"
            self.log(f"train/{name}", value.detach(), prog_bar=on_bar, batch_size=batch_size)

    def validation_step(self, batch: Any, batch_idx: int) -> dict[str, list[Detections]]:
        """Score one batch; the ``detections`` of each image, in original pixels, are for callbacks."""
        return self._evaluate("val", batch)

    def test_step(self, batch: Any, batch_idx: int) -> dict[str, list[Detections]]:
        """Score one batch; the ``detections`` of each image, in original pixels, are for callbacks."""
        return self._evaluate("test", batch)

    def on_validation_epoch_start(self) -> None:
        """Start from nothing."""
        self._reset("val")

    def on_test_epoch_start(self) -> None:
        """Start from nothing."""
        self._reset("test")

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics."""
        self._log_evaluation("val")

    def on_test_epoch_end(self) -> None:
        """Log the test metrics."""
        self._log_evaluation("test")

    def _evaluate(self, stage: str, batch: Any) -> dict[str, list[Detections]]:
        detections, targets, losses, weight = self.evaluate_batch(batch)
        self._metrics[stage].to(self.device).update(detections, targets)
        if stage == "test" and self._coco:
            self._coco.to(self.device).update(detections, targets)
        for name, value in losses.items():
            self._losses[name].to(self.device).update(value, 1.0 * weight)  # a nan fits no integer
        return {"detections": detections}

    def _log_evaluation(self, stage: str) -> None:
        metric = self._metrics[stage]
        result = metric.compute()
        values = {"map": result["map"], "map_07": result["map_07"], "map_area": result["map_area"]}
        values |= {f"ap/{name}": ap for name, ap in zip(self.class_names, result["ap"], strict=True)}
        values |= {name: mean.compute() for name, mean in self._losses.items()}
        if stage == "test" and self._coco:
            coco = self._coco.compute()
            values |= {f"coco_{name}": coco[name] for name in COCO_FIGURES}
        # Every process computed the same values from the gathered states: averaging them changes nothing.
        self.log_dict({f"{stage}/{k}": v.float() for k, v in values.items()}, sync_dist=True)
        self._reset(stage)  # the detections of a whole set take memory

    def _reset(self, stage: str) -> None:
        """Forget what was evaluated. Sums that start in inference mode cannot be added to outside of it."""
        self._metrics[stage].reset()
        if stage == "test" and self._coco:
            self._coco.reset()
        for mean in self._losses.values():
            mean.reset()
