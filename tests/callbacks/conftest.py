"""A tiny task on tiny images: it finds every object but one class, and learns a single number."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from detection.tasks.base import DetectionTask
from detection.tasks.schedules import MultiStep
from detection.types import AnchorTargets, Detections, PaddedBatch, Target


def batch_of(numbers: list[int]) -> PaddedBatch:
    """Images of 24 x 32 that were 48 x 64 on disk, with one object each; the class is the number modulo 2."""
    count = len(numbers)
    return PaddedBatch(
        images=torch.full((count, 3, 24, 32), 60, dtype=torch.uint8),
        boxes=torch.tensor([[[4.0, 4, 16, 20]]]).repeat(count, 1, 1),
        labels=torch.tensor([[number % 2] for number in numbers]),
        difficult=torch.zeros(count, 1, dtype=torch.bool),
        sizes=torch.tensor([[48, 64]] * count),
        image_ids=[f"image{number}" for number in numbers],
    )


def loader() -> "DataLoader[int]":
    return DataLoader(range(5), batch_size=2, collate_fn=batch_of)  # type: ignore[arg-type]


def make_sgd(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1)


class TinyTask(DetectionTask):
    """Classes cat, dog and owl; dogs are found a second time with a low score, and there are no owls."""

    loss_names = ("loss",)

    def __init__(self) -> None:
        super().__init__(["cat", "dog", "owl"], make_sgd, MultiStep(()), "07", coco_ap=False)
        self.weight = nn.Parameter(torch.ones(()))

    def training_step(self, batch: PaddedBatch, batch_idx: int) -> Tensor:
        loss = self.weight**2
        self.log_losses({"loss": loss, "loss_cls": loss / 2}, batch_size=len(batch.images))
        return loss

    def evaluate_batch(
        self, batch: PaddedBatch
    ) -> tuple[list[Detections], list[Target], dict[str, Tensor], Tensor]:
        targets = self.original_targets(batch)
        detections = [
            Detections(
                boxes=target["boxes"].repeat(2, 1),
                scores=torch.tensor([0.9, 0.2]),
                labels=target["labels"].repeat(2),
            )
            for target in targets
        ]
        return detections, targets, {"loss": self.weight.detach() ** 2}, torch.tensor(1.0)

    def assigner(self, size: int | Sequence[int]) -> Callable[..., AnchorTargets]:
        raise NotImplementedError

    def predict_step(self, batch: PaddedBatch, batch_idx: int = 0) -> list[Detections]:
        return self.evaluate_batch(batch)[0]

    def original_targets(self, batch: PaddedBatch) -> list[Target]:
        return [
            Target(
                boxes=batch.boxes[i] * 2,
                labels=batch.labels[i],
                difficult=batch.difficult[i],
                image_id=image_id,
                size=(48, 64),
            )
            for i, image_id in enumerate(batch.image_ids)
        ]


Run = Callable[..., pl.Trainer]


def quiet_trainer(folder: Path, callbacks: Sequence[pl.Callback], epochs: int, **options: Any) -> pl.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=list(callbacks),
        default_root_dir=folder,
        enable_model_summary=False,
        **{"log_every_n_steps": 1, **quiet, **options},
    )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Trains (and tests) the task with the given callbacks and returns the trainer."""

    def start(*callbacks: pl.Callback, epochs: int = 2, test: bool = True, **options: object) -> pl.Trainer:
        trainer = quiet_trainer(tmp_path, callbacks, epochs, **options)
        task = TinyTask()
        if epochs:
            trainer.fit(task, loader(), loader())
        if test:
            trainer.test(task, loader(), verbose=False)
        return trainer

    return start
