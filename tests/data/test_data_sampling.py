"""Order and random state of samples: the same on any number of processes and workers."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from detection.data.collate import CollatePadded
from detection.data.sampling import EvalSampler, GroupedBatchSampler, Key, SeededDataset, TrainSampler
from detection.data.shapes import SHAPE_CLASSES, write_shapes
from detection.data.transforms import ssd_train_transform
from detection.data.voc import VOCDetection
from detection.types import PaddedBatch


def keys(sampler: TrainSampler, epoch: int = 0) -> list[Key]:
    sampler.set_epoch(epoch)
    return list(sampler)


def test_an_epoch_holds_every_sample_once() -> None:
    drawn = keys(TrainSampler(50, seed=3))
    assert sorted(index for index, _ in drawn) == list(range(50))
    assert len({seed for _, seed in drawn}) == 50
    assert all(type(value) is int for key in drawn for value in key)


@pytest.mark.parametrize(("length", "images_per_step"), [(7, 2), (101, 8), (15, 8), (16, 8), (5, 8), (1, 4)])
@pytest.mark.parametrize("first", [0, 5])
def test_no_sample_is_left_out_more_often_than_its_turn(
    length: int, images_per_step: int, first: int
) -> None:
    """However many epochs there are; from a later epoch on, two such numbers are compared, each rounded."""
    sampler = TrainSampler(length, 3)
    batches = GroupedBatchSampler(sampler, None, images_per_step)
    left_out = length % images_per_step if length >= images_per_step else 0
    seen: Counter[int] = Counter()
    for epochs in range(1, 30):
        sampler.set_epoch(first + epochs - 1)
        drawn = [index for batch in batches for index, _ in batch]
        assert len(drawn) == len(set(drawn)) == length - left_out
        seen.update(drawn)
        missed = [epochs - seen[index] for index in range(length)]
        more = 1 if first and left_out > 0 else 0
        assert max(missed) <= math.ceil(epochs * left_out / length) + more
        assert min(missed) >= math.floor(epochs * left_out / length) - more


def test_what_is_left_out_is_drawn_anew_each_time() -> None:
    """The samples that a set of little more than one step leaves out do not stay together."""
    without = []
    for seed, epoch in itertools.product(range(4), range(0, 20, 5)):  # each lap of 20 samples takes 5 epochs
        sampler = TrainSampler(20, seed)
        sampler.set_epoch(epoch)
        without.append(frozenset(sampler.left_out(4)))
    assert len(set(without)) == 16
    assert all(len(indices) == 4 for indices in without)


def test_epochs_and_seeds_differ_and_repeat() -> None:
    runs = {
        (seed, epoch): tuple(keys(TrainSampler(40, seed), epoch)) for seed in range(3) for epoch in range(4)
    }
    assert len(set(runs.values())) == 12
    assert keys(TrainSampler(40, 2), 3) == list(runs[2, 3])
    augmentations = [seed for run in runs.values() for _, seed in run]
    assert len(set(augmentations)) == len(augmentations)


def test_a_resumed_run_goes_on_with_the_same_epochs() -> None:
    straight = TrainSampler(20, seed=5)
    epochs = [keys(straight, epoch) for epoch in range(4)]
    resumed = TrainSampler(20, seed=5)
    assert [keys(resumed, epoch) for epoch in (2, 3)] == epochs[2:]


@pytest.mark.parametrize(("length", "world_size"), [(9, 1), (9, 2), (10, 2), (11, 4), (3, 5), (0, 2)])
def test_evaluation_shares_are_a_partition(length: int, world_size: int) -> None:
    samplers = [EvalSampler(length, rank, world_size) for rank in range(world_size)]
    shares = [list(sampler) for sampler in samplers]
    assert [len(sampler) for sampler in samplers] == [len(share) for share in shares]
    assert sorted(index for share in shares for index in share) == list(range(length))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert all(share == sorted(share) for share in shares)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> SeededDataset:
    devkit = write_shapes(tmp_path_factory.mktemp("shapes"), 12, 0, 0, size=64)
    return SeededDataset(VOCDetection(devkit, [("Shapes", "train")], SHAPE_CLASSES, ssd_train_transform(48)))


def batches(
    dataset: SeededDataset, workers: int, epochs: range = range(1), rank: int = 0, world_size: int = 1,
    batch_size: int = 4,
) -> Iterator[PaddedBatch]:  # fmt: skip
    sampler = TrainSampler(len(dataset), 7)
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_sampler=GroupedBatchSampler(sampler, None, batch_size * world_size, rank, world_size),
        num_workers=workers,
        collate_fn=CollatePadded(),
        persistent_workers=workers > 0,
    )
    for epoch in epochs:
        sampler.set_epoch(epoch)
        yield from loader


def fingerprint(batch: PaddedBatch) -> tuple[bytes, bytes, bytes, bytes, tuple[str, ...]]:
    pixels, boxes, labels, difficult = (
        value.numpy().tobytes() for value in (batch.images, batch.boxes, batch.labels, batch.difficult)
    )
    return pixels, boxes, labels, difficult, tuple(batch.image_ids)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_change_the_data(dataset: SeededDataset, workers: int) -> None:
    alone = [fingerprint(batch) for batch in batches(dataset, 0, range(2))]
    assert len(alone) == 6
    assert [fingerprint(batch) for batch in batches(dataset, workers, range(2))] == alone


def test_workers_of_a_resumed_run_serve_what_it_would_have_seen(dataset: SeededDataset) -> None:
    straight = [fingerprint(batch) for batch in batches(dataset, 2, range(3))]
    assert [fingerprint(batch) for batch in batches(dataset, 1, range(1, 3))] == straight[3:]


def test_two_processes_see_the_images_of_one(dataset: SeededDataset) -> None:
    whole = list(batches(dataset, 0, batch_size=4))
    shares = [list(batches(dataset, 0, rank=rank, world_size=2, batch_size=2)) for rank in range(2)]
    for step, batch in enumerate(whole):
        assert torch.equal(batch.images[:2], shares[0][step].images)
        assert torch.equal(batch.images[2:], shares[1][step].images)


def test_an_image_looks_different_in_each_epoch(dataset: SeededDataset) -> None:
    looks: dict[str, set[bytes]] = {}
    for batch in batches(dataset, 2, range(4)):
        for image_id, image in zip(batch.image_ids, batch.images, strict=True):
            looks.setdefault(image_id, set()).add(image.numpy().tobytes())
    assert len(looks) == 12
    assert {len(images) for images in looks.values()} == {4}


def test_a_key_names_a_sample(dataset: SeededDataset) -> None:
    first, again, other = dataset[3, 11], dataset[3, 11], dataset[3, 12]
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.target["boxes"], again.target["boxes"])
    assert [sample.target["seed"] for sample in (first, again, other)] == [11, 11, 12]
    assert not np.array_equal(first.image, other.image)
    assert first.target["image_id"] == other.target["image_id"] == "Shapes/train_00003"
