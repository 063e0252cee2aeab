"""Steps of like shape: nothing lost, nothing twice, the same on any number of processes and parts."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from detection.data.sampling import GroupedBatchSampler, Key, TrainSampler, aspect_group
from detection.data.sources import ShapesDataModule
from detection.data.transforms import (
    faster_rcnn_eval_transform,
    faster_rcnn_train_transform,
)
from detection.ops.padding import padded_size
from detection.reader import short_side_size
from detection.types import AnchorTargets, ListBatch, Target

# The commonest sizes of VOC 2007 with their share in percent; the remaining images have any shape.
VOC_SIZES = (((375, 500), 43), ((333, 500), 22), ((500, 375), 8), ((500, 333), 5), ((500, 500), 1))


def voc_like_sizes(count: int = 2000) -> list[tuple[int, int]]:
    generator = torch.Generator().manual_seed(0)
    common = [size for size, percent in VOC_SIZES for _ in range(percent * count // 100)]
    sides = torch.randint(180, 501, (count - len(common),), generator=generator).tolist()
    return common + [(side, 500) if i % 3 else (500, side) for i, side in enumerate(sides)]


def batches(
    groups: list[int] | int,
    images_per_step: int,
    rank: int = 0,
    world_size: int = 1,
    parts: int = 1,
    epoch: int = 0,
) -> list[list[Key]]:
    """What a process takes at once in an epoch; ``groups`` is a number of samples where there are none."""
    length = groups if isinstance(groups, int) else len(groups)
    sampler = TrainSampler(length, 3)
    sampler.set_epoch(epoch)
    known = None if isinstance(groups, int) else groups
    grouped = GroupedBatchSampler(sampler, known, images_per_step, rank, world_size, parts)
    drawn = list(grouped)
    assert len(drawn) == len(grouped)
    return drawn


def test_groups_follow_the_aspect_ratio() -> None:
    assert aspect_group((375, 500)) == aspect_group((240, 320)) == aspect_group((600, 800))
    assert aspect_group((375, 500)) == aspect_group((360, 480))
    landscape, square, portrait = (aspect_group(size) for size in ((375, 500), (500, 500), (500, 375)))
    assert landscape > square > portrait
    assert square == 0


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("each", [1, 2, 7])
@pytest.mark.parametrize("groups", [101, [i % 5 // 2 for i in range(101)]])
def test_every_process_has_as_many_batches_and_only_the_rest_is_left_out(
    groups: list[int] | int, each: int, world_size: int
) -> None:
    of_ranks = [batches(groups, each * world_size, rank, world_size) for rank in range(world_size)]
    assert len({len(drawn) for drawn in of_ranks}) == 1
    assert all(len(batch) == each for drawn in of_ranks for batch in drawn)
    seen = Counter(index for drawn in of_ranks for batch in drawn for index, _ in batch)
    assert max(seen.values()) == 1
    assert 101 - len(seen) == 101 % (each * world_size)


@pytest.mark.parametrize(("world_size", "parts"), [(1, 4), (2, 1), (2, 2), (4, 1)])
@pytest.mark.parametrize("groups", [50, [i % 3 for i in range(50)]])
def test_a_step_holds_the_same_samples_however_it_is_divided(
    groups: list[int] | int, world_size: int, parts: int
) -> None:
    alone = batches(groups, 4)
    together = [batches(groups, 4, rank, world_size, parts) for rank in range(world_size)]
    steps = [[drawn[i : i + parts] for i in range(0, len(drawn), parts)] for drawn in together]
    for expected, *of_ranks in zip(alone, *steps, strict=True):
        assert [key for rank in of_ranks for part in rank for key in part] == expected


@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("images_per_step", [4, 8, 32])
def test_rare_shapes_are_trained_as_often_as_the_others(images_per_step: int, world_size: int) -> None:
    """Of the widest and the highest images there are fewer than one step takes; 251 divides by nothing."""
    groups = [0] * 200 + [1] * 43 + [-9] * 3 + [7] * 4 + [9]
    epochs, left_out = 20, 251 % images_per_step
    seen: Counter[int] = Counter()
    for epoch in range(epochs):
        for rank in range(world_size):
            drawn = batches(groups, images_per_step, rank, world_size, epoch=epoch)
            seen.update(index for batch in drawn for index, _ in batch)
    fewest = epochs - math.ceil(epochs * left_out / 251)
    assert all(fewest <= seen[index] <= fewest + 1 for index in range(251))


def test_a_run_that_takes_half_of_each_epoch_favours_no_shape() -> None:
    groups = [0] * 60 + [9, -9, 9, -9]  # one mixed step in sixteen
    mixed = 0
    for epoch in range(60):
        first_half = batches(groups, 4, epoch=epoch)[:8]
        mixed += sum(len({groups[index] for index, _ in batch}) > 1 for batch in first_half)
    assert 20 <= mixed <= 40


def test_batches_are_of_one_group_but_for_what_is_left() -> None:
    groups = [i % 4 for i in range(403)]
    drawn = batches(groups, 8)
    mixed = [len({groups[index] for index, _ in batch}) > 1 for batch in drawn]
    assert sum(mixed) <= 4  # fewer than 8 are left in each of four groups, so at most 28


def test_an_epoch_can_be_repeated_and_the_next_one_differs() -> None:
    groups = [i % 3 for i in range(50)]
    first = batches(groups, 4)
    assert batches(groups, 4) == first
    assert batches(groups, 4, epoch=1) != first
    # Batches of one group are not in a row: the order of the epoch decides.
    order = [groups[batch[0][0]] for batch in first]
    assert order != sorted(order)


@pytest.mark.parametrize(
    ("count", "world_size", "parts", "sizes"),
    [
        (1, 1, 1, [[1]]),
        (7, 1, 2, [[3, 4]]),
        (7, 2, 2, [[1, 2], [2, 2]]),
        (3, 2, 4, [[1], [2]]),
        (3, 1, 8, [[1, 1, 1]]),
    ],
)
@pytest.mark.parametrize("grouped", [False, True])
def test_a_set_smaller_than_a_step_is_one_step(
    count: int, world_size: int, parts: int, sizes: list[list[int]], grouped: bool
) -> None:
    groups = list(range(count)) if grouped else count
    of_ranks = [batches(groups, 8, rank, world_size, parts) for rank in range(world_size)]
    assert [[len(batch) for batch in drawn] for drawn in of_ranks] == sizes
    assert sorted(index for drawn in of_ranks for batch in drawn for index, _ in batch) == list(range(count))


def test_a_process_without_images_is_refused() -> None:
    with pytest.raises(ValueError, match="1 training image for 4 devices: each needs one"):
        batches([0], 8, 0, 4)


def test_padding_is_small_where_shapes_are_those_of_voc() -> None:
    sizes = voc_like_sizes()
    inputs = [short_side_size(size, 600, 1000) for size in sizes]

    def padding(drawn: list[list[Key]]) -> float:
        """Pixels of the padded batches over pixels of their images."""
        padded = own = 0
        for batch in drawn:
            of_batch = [inputs[index] for index, _ in batch]
            height, width = padded_size(of_batch, 16)
            padded += height * width * len(batch)
            own += sum(h * w for h, w in of_batch)
        return padded / own

    assert padding(batches([0] * len(sizes), 8)) > 1.4
    assert padding(batches([aspect_group(size) for size in sizes], 8)) <= 1.12


# From the data module


class Epochs(pl.LightningModule):
    """Remembers the images of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.epochs: dict[int, list[str]] = {}

    def training_step(self, batch: ListBatch, batch_idx: int) -> torch.Tensor:
        ids = [target["image_id"] for target in batch.targets]
        self.epochs.setdefault(self.current_epoch, []).extend(ids)
        loss: torch.Tensor = self.layer(torch.zeros(1, 1)).sum()
        return loss

    def validation_step(self, batch: ListBatch, batch_idx: int) -> None:
        self.log("loss", 0.0)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def list_module(root: Path, **options: Any) -> ShapesDataModule:
    data = ShapesDataModule(
        root=str(root),
        num_train=12,
        num_val=1,
        num_test=1,
        image_size=96,
        size=[48, 80],
        train_transform=faster_rcnn_train_transform,
        eval_transform=faster_rcnn_eval_transform,
        collate="list",
        batch_size=4,
        num_workers=0,
        **options,
    )
    data.prepare_data()
    data.setup()
    return data


def train_epochs(root: Path, max_epochs: int, start: Path | None = None) -> dict[int, list[str]]:
    """Image ids of each epoch; checkpoints are left in ``root``, from before and after the validation."""
    module = Epochs()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=max_epochs,
        use_distributed_sampler=False,
        logger=False,
        callbacks=[
            ModelCheckpoint(root, "validated", monitor="loss", save_on_train_epoch_end=False),
            ModelCheckpoint(root, "trained", every_n_epochs=1, save_on_train_epoch_end=True),
        ],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=list_module(root), ckpt_path=start, weights_only=True)
    return module.epochs


def test_the_trainer_sets_the_epoch_and_a_resumed_one_too(tmp_path: Path) -> None:
    whole = train_epochs(tmp_path / "whole", 3)
    for ids in whole.values():
        assert len(set(ids)) == 12
    assert whole[0] != whole[1] != whole[2]
    train_epochs(tmp_path, 1)
    for when in ("validated", "trained"):
        resumed = train_epochs(tmp_path / when, 3, start=tmp_path / f"{when}.ckpt")
        assert resumed == {1: whole[1], 2: whole[2]}, when


def test_workers_assign_targets_from_sizes_and_objects(tmp_path: Path) -> None:
    def assign(sizes: list[tuple[int, int]], targets: list[Target]) -> AnchorTargets:
        assert len(targets) == len(sizes)
        return AnchorTargets(torch.tensor(sizes), torch.zeros(len(sizes), 2, 4))

    data = list_module(tmp_path, targets_in_workers=True)
    with pytest.raises(ValueError, match=r"data\.targets_in_workers=true needs .* task\.assigner"):
        data.train_dataloader()
    data.assign = assign
    batch = next(iter(data.train_dataloader()))
    assert batch.rpn_targets.labels.tolist() == [[48, 48]] * 4
    assert next(iter(data.val_dataloader())).rpn_targets is None
