"""Training with variations: the same on any number of workers and processes, and resumed."""

import pickle
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from detection.data.chain import DetectionTransform, Picture
from detection.data.sources import ShapesDataModule
from detection.data.stepped import Step
from detection.data.transforms import (
    faster_rcnn_eval_transform,
    faster_rcnn_train_transform,
    ssd_eval_transform,
    ssd_train_transform,
)
from detection.data.varied import (
    TILE_OVERLAP,
    VariedTransform,
    _another,
    input_sizes,
    scaled_to,
    steps_of,
)
from detection.settings import Predict
from detection.types import ListBatch, PaddedBatch

EVERYTHING: dict[str, Any] = {
    "erase_probability": 0.5, "sizes": [40, 56], "tiles": 48, "mosaic_probability": 0.5,
    "mixup_probability": 0.4, "copy_paste_probability": 0.4, "mix_until": 0.75,
}  # fmt: skip
MIXED = ("mosaic_probability", "mixup_probability", "copy_paste_probability")


def grey(number: int, size: tuple[int, int] = (60, 80)) -> Picture:
    image = np.full((*size, 3), number, np.uint8)
    image[20:40, 30:60] = 255 - number
    box = np.array([[30, 20, 60, 40]], np.float32)
    return Picture(image, box, np.array([number]), np.zeros(1, bool))


def varied(**options: Any) -> VariedTransform:
    transform = ssd_train_transform(48, **options)
    assert isinstance(transform, VariedTransform)
    return transform


def sample(transform: VariedTransform, seed: int, done: float = 0.0, step: int = 0) -> tuple[bytes, bytes]:
    made = transform.sample(grey(9), lambda rng: grey(rng.randrange(1, 8)), seed, Step(step, done))
    return made.image.numpy().tobytes(), made.boxes.tobytes()


def test_without_variations_nothing_changes() -> None:
    assert type(ssd_train_transform(48)) is DetectionTransform
    assert type(faster_rcnn_train_transform([48, 64])) is DetectionTransform
    assert input_sizes(ssd_train_transform(48), 48) == [48]


@pytest.mark.parametrize("name", MIXED)
def test_a_sample_that_is_not_mixed_is_the_recipes_own(name: str) -> None:
    transform, plain, changed = varied(**{name: 0.5}), ssd_train_transform(48), 0
    for seed in range(40):
        plain.seed(seed)
        own = plain(*grey(9))
        expected = own.image.numpy().tobytes(), own.boxes.tobytes()
        assert sample(transform, seed, done=0.85) == expected, "mix_until"
        changed += sample(transform, seed) != expected
        assert sample(transform, seed) == sample(varied(**{name: 0.5}), seed)
    assert 8 <= changed <= 32


def test_sizes_belong_to_steps() -> None:
    transform = varied(**EVERYTHING)
    assert transform.sizes == [40, 56]
    found = set()
    for step in range(8):
        sizes = {len(sample(transform, seed, step=step)[0]) for seed in range(6)}
        assert len(sizes) == 1
        found |= sizes
    assert found == {3 * 40 * 40, 3 * 56 * 56}


def test_the_other_side_follows_the_shortest() -> None:
    assert scaled_to(300, 256) == 256
    assert scaled_to([600, 1000], 480) == [480, 800]
    assert scaled_to((400, 300), 150) == [200, 150]
    transform = faster_rcnn_train_transform([60, 100], sizes=[30])
    assert input_sizes(transform, [60, 100]) == [[30, 50]]
    assert isinstance(transform, VariedTransform)
    made = transform.sample(grey(9), lambda _: grey(1), 0, Step(0, 0.0))
    assert made.image.shape == (3, 30, 40)


def test_tiles_are_those_of_prediction() -> None:
    assert Predict.overlap == TILE_OVERLAP
    transform = faster_rcnn_train_transform([30, 50], tiles="auto")
    assert isinstance(transform, VariedTransform)
    assert transform.tile_input == (30, 30)
    shapes = {
        tuple(transform.sample(grey(9), lambda _: grey(1), seed, Step(0, 0.0)).image.shape[1:])
        for seed in range(20)
    }
    assert shapes == {(30, 40), (30, 30)}  # of the whole image, and of a tile


def test_it_reaches_workers_that_are_spawned() -> None:
    transform = varied(**EVERYTHING)
    again = pickle.loads(pickle.dumps(transform))
    assert [sample(again, seed) for seed in range(5)] == [sample(transform, seed) for seed in range(5)]


def test_no_image_is_drawn_twice_for_a_sample_as_long_as_there_are_others() -> None:
    draws = [_another(random.Random(seed), 5, [3, 0]) for seed in range(300)]
    assert set(draws) == {1, 2, 4}
    assert min(map(draws.count, set(draws))) > 60
    assert {_another(random.Random(seed), 2, [0, 1, 0]) for seed in range(50)} == {0, 1}, "too few"


def test_the_length_of_a_run() -> None:
    def steps(epochs: int | None, most: int, limit: float = 1.0, parts: int = 1) -> tuple[int, int]:
        named = {"limit_train_batches": limit, "accumulate_grad_batches": parts}
        return steps_of(SimpleNamespace(max_epochs=epochs, max_steps=most, **named), 7)

    assert steps_of(None, 7) == (7, 7)
    assert steps(3, -1) == (21, 7)
    assert steps(3, 20) == (20, 7)
    assert steps(None, 20) == (20, 7)
    assert steps(-1, -1) == (7, 7)
    assert steps(3, -1, 0.5) == (9, 3)
    assert steps(3, -1, 4, parts=2) == (6, 2)
    assert steps(3, -1, 40) == (21, 7)


# From the data module


def module(root: Path, detector: str, workers: int = 0, **options: Any) -> ShapesDataModule:
    ssd = detector == "ssd"
    train = ssd_train_transform if ssd else faster_rcnn_train_transform
    data = ShapesDataModule(
        root=str(root),
        num_train=16,
        num_val=1,
        num_test=1,
        image_size=96,
        size=48 if ssd else [48, 80],
        train_transform=lambda size: train(size, **EVERYTHING),
        eval_transform=ssd_eval_transform if ssd else faster_rcnn_eval_transform,
        collate="padded" if ssd else "list",
        num_workers=workers,
        **{"batch_size": 4, **options},
    )
    data.prepare_data()
    data.setup()
    return data


def fingerprint(batch: PaddedBatch | ListBatch) -> list[tuple[bytes, bytes]]:
    """Pixels and objects of each image."""
    if isinstance(batch, PaddedBatch):
        real = batch.labels >= 0
        boxes = [of_image[kept] for of_image, kept in zip(batch.boxes, real, strict=True)]
    else:
        boxes = [target["boxes"] for target in batch.targets]
    return [
        (image.numpy().tobytes(), of_image.numpy().tobytes())
        for image, of_image in zip(batch.images, boxes, strict=True)
    ]


class Seen(pl.LightningModule):
    """Remembers the images of each optimizer step."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.steps: dict[int, list[tuple[bytes, bytes]]] = {}

    def training_step(self, batch: PaddedBatch | ListBatch, batch_idx: int) -> torch.Tensor:
        self.steps.setdefault(self.global_step, []).extend(fingerprint(batch))
        loss: torch.Tensor = self.layer(torch.zeros(1, 1)).sum()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(data: ShapesDataModule, folder: Path, start: Path | None = None, parts: int = 1) -> Seen:
    task = Seen()
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=2, logger=False, enable_progress_bar=False, limit_val_batches=0,
        enable_model_summary=False, use_distributed_sampler=False, accumulate_grad_batches=parts,
        callbacks=[ModelCheckpoint(folder, "{step}", every_n_train_steps=2, save_top_k=-1)],
    )  # fmt: skip
    trainer.fit(task, datamodule=data, ckpt_path=start, weights_only=True)
    return task


@pytest.mark.parametrize("detector", ["ssd", "faster_rcnn"])
def test_a_run_that_is_resumed_within_an_epoch_sees_the_same(tmp_path: Path, detector: str) -> None:
    whole = train(module(tmp_path, detector), tmp_path / "whole").steps
    assert sorted(whole) == list(range(8))
    assert len({image for step in whole.values() for image, _ in step}) == 32
    resumed = train(module(tmp_path, detector, workers=2), tmp_path / "on", tmp_path / "whole/step=2.ckpt")
    assert resumed.steps == {step: whole[step] for step in range(2, 8)}
    in_parts = train(module(tmp_path, detector), tmp_path / "parts", parts=2).steps
    assert in_parts == whole


class Elsewhere(ShapesDataModule):
    """On one of two processes."""

    rank = 0

    def _place(self) -> tuple[int, int]:
        return self.rank, 2


def test_two_processes_see_the_images_of_one(tmp_path: Path) -> None:
    alone = [fingerprint(batch) for batch in module(tmp_path, "ssd").train_dataloader()]
    shares = []
    for rank in range(2):
        data = module(tmp_path, "ssd")
        data.datasets["test"] = data.datasets["val"] = data.datasets["train"]  # one for each process
        data.__class__, data.rank = Elsewhere, rank  # type: ignore[attr-defined]
        shares.append([fingerprint(batch) for batch in data.train_dataloader()])
    assert [first + second for first, second in zip(*shares, strict=True)] == alone


def test_random_generators_outside_are_left_alone() -> None:
    before = random.getstate(), torch.get_rng_state().tolist()
    sample(varied(**EVERYTHING), 3)
    assert (random.getstate(), torch.get_rng_state().tolist()) == before
