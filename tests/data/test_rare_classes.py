"""Images with rare classes come as often as the formulas say, in epochs of one length, anywhere."""

import math
from collections import Counter
from pathlib import Path
from typing import Literal

import pytest
import torch

from detection.data.dataset import DetectionDataset
from detection.data.formats.records import ImageRecord, ObjectRecord, Reading
from detection.data.rare_classes import RepeatingSampler, describe_sampling, expected_draws, make_sampler
from detection.data.sampling import GroupedBatchSampler, Key, TrainSampler
from tests.data.small_set import SmallSet, annotation

Rule = Literal["repeat_factor", "class_balanced"]
RULES: tuple[Rule, ...] = ("repeat_factor", "class_balanced")
# 30 of 40 images have a car, 8 a bus, 7 a dog and 2 a tram, which is difficult; one has no object.
IMAGES = [*[["car", "car"]] * 22, *[["car", "bus"]] * 7, ["bus"], ["tram"], ["car", "tram", "car"], []]
IMAGES += [["dog"]] * (40 - len(IMAGES))
CLASSES = ("bus", "car", "dog", "plane", "tram")


def dataset(images: list[list[str]] = IMAGES) -> DetectionDataset:
    box = (1.0, 1.0, 5.0, 5.0)
    records = [
        ImageRecord(f"{i}", f"{i}.jpg", (8, 8), tuple(ObjectRecord(n, box, n == "tram") for n in names), "")
        for i, names in enumerate(images)
    ]
    return DetectionDataset(Reading("here", records=records), CLASSES)


def share(name: str) -> float:
    return sum(name in names for names in IMAGES) / len(IMAGES)


def by_hand(rule: Rule, threshold: float) -> list[float]:
    """How many times each image is drawn in an epoch, image by image."""
    if rule == "repeat_factor":
        repeats = {name: max(1.0, math.sqrt(threshold / share(name))) for names in IMAGES for name in names}
        return [max([1.0, *(repeats[name] for name in names)]) for names in IMAGES]
    known = {name for names in IMAGES for name in names}
    chance = {name: 1 / len(known) / sum(name in names for names in IMAGES) for name in known}
    return [39 * sum(chance[name] for name in {*names}) if names else 1.0 for names in IMAGES]


def epochs(sampler: RepeatingSampler, images_per_step: int, count: int) -> list[list[Key]]:
    drawn = []
    for epoch in range(count):
        sampler.set_epoch(epoch)
        drawn.append(sampler.whole_steps(images_per_step))
    return drawn


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("threshold", [0.01, 0.3, 1.0])
def test_the_expected_draws_are_those_of_a_naive_loop(rule: Rule, threshold: float) -> None:
    draws = expected_draws(dataset(), rule, threshold)
    assert draws.tolist() == pytest.approx(by_hand(rule, threshold))


def test_repeat_factors_by_hand() -> None:
    draws = expected_draws(dataset(), "repeat_factor", 0.2)
    assert draws[:22].tolist() == [1] * 22, "cars are frequent"
    assert draws[30:32].tolist() == pytest.approx([2, 2]), "trams are in a twentieth: sqrt(0.2 / 0.05)"
    assert draws[32] == 1, "without objects"
    nothing_is_rare = expected_draws(dataset(), "repeat_factor", 0.05)
    assert nothing_is_rare.tolist() == [1] * 40


def test_balanced_classes_come_equally_often() -> None:
    one_class_each = [["car"]] * 30 + [["bus"]] * 8 + [["tram"]] * 2
    draws = expected_draws(dataset(one_class_each), "class_balanced", 0.0)
    assert [float(part.sum()) for part in draws.split([30, 8, 2])] == pytest.approx([40 / 3] * 3)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("images_per_step", [1, 4, 7])
def test_counts_are_rounded_at_random_and_right_on_average(rule: Rule, images_per_step: int) -> None:
    draws = expected_draws(dataset(), rule, 0.3)
    sampler, count = RepeatingSampler(draws, seed=5), 600
    length = int(draws.sum() + 1e-6) // images_per_step * images_per_step
    expected = draws * length / draws.sum()
    total = torch.zeros(40, dtype=torch.float64)
    for keys in epochs(sampler, images_per_step, count):
        assert len(keys) == length
        assert len(set(keys)) == length, "each draw has a seed of its own"
        times = torch.bincount(torch.tensor([index for index, _ in keys]), minlength=40)
        assert (times >= (expected - 1e-6).floor()).all()
        assert (times <= (expected + 1e-6).ceil()).all()
        total += times
    # What is drawn at random is the fraction: its variance is at most 1/4 in each epoch.
    assert (total / count - expected).abs().max() < 5 * 0.5 / math.sqrt(count)


def test_epochs_and_seeds_differ_and_repeat() -> None:
    draws = expected_draws(dataset(), "repeat_factor", 0.3)
    runs = [[tuple(keys) for keys in epochs(RepeatingSampler(draws, seed), 4, 3)] for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert len({*runs[0], *runs[2]}) == 6
    counts = [tuple(sorted(Counter(index for index, _ in keys).items())) for keys in runs[0]]
    assert len(set(counts)) == 3, "what is rounded up is drawn anew"


@pytest.mark.parametrize("groups", [None, [i % 3 for i in range(40)]])
@pytest.mark.parametrize(("world_size", "parts"), [(1, 2), (2, 1), (2, 2)])
def test_steps_are_the_same_on_any_number_of_processes_and_where_a_run_resumes(
    groups: list[int] | None, world_size: int, parts: int
) -> None:
    def batches(rank: int, world_size: int, parts: int, done: int = 0) -> list[list[Key]]:
        sampler = make_sampler(dataset(), "repeat_factor", 0.3, seed=3)
        sampler.set_epoch(4)
        made = GroupedBatchSampler(sampler, groups, 8, rank, world_size, parts)
        made.begin(4, done)
        assert made.num_steps == len(sampler) // 8 == 5
        return list(made)

    alone = batches(0, 1, 1)
    assert len(alone) == 5
    together = [batches(rank, world_size, parts) for rank in range(world_size)]
    for step, keys in enumerate(alone):
        shares = [part for rank in together for part in rank[step * parts : (step + 1) * parts]]
        assert [key for part in shares for key in part] == keys
    resumed = [batches(rank, world_size, parts, done=2) for rank in range(world_size)]
    assert resumed == [rank[2 * parts :] for rank in together]


def test_uniform_is_what_it_was() -> None:
    sampler = make_sampler(dataset(), "uniform", 0.3, seed=3)
    assert list(sampler) == list(TrainSampler(40, 3))
    assert describe_sampling(dataset(), "uniform", sampler, 8) == ""


@pytest.mark.parametrize(
    ("rule", "images_per_step", "drawn", "seen"),
    [
        ("repeat_factor", 1, 42, 4),
        ("repeat_factor", 32, 32, 3),  # what does not fill a step is not drawn
        ("class_balanced", 8, 40, 10),
    ],
)
def test_a_line_says_what_an_epoch_draws(rule: Rule, images_per_step: int, drawn: int, seen: int) -> None:
    sampler = make_sampler(dataset(), rule, 0.2, seed=3)
    assert len(sampler.whole_steps(images_per_step)) == drawn
    assert describe_sampling(dataset(), rule, sampler, images_per_step) == (
        f"data.sampling={rule} draws {drawn} images an epoch, {seen} of them with tram, the rarest "
        "class (2 images)"
    )


def test_a_set_of_files_is_drawn_by_its_classes(tmp_path: Path) -> None:
    small = SmallSet(tmp_path)
    for i in range(13):
        small.add(f"d{i}", xml=annotation(name="dog"))
    module = small.module(workers=0, sampling="repeat_factor", sampling_threshold=1.0)
    rare = sorted({small.ids.index(image_id) for image_id in "abc"})
    draws = module.sampler.draws  # type: ignore[attr-defined]
    assert draws[rare].tolist() == pytest.approx([math.sqrt(16 / 3)] * 3)
    assert module.steps_per_epoch == int(3 * math.sqrt(16 / 3) + 13 * math.sqrt(16 / 13)) // 2 == 10
    batches = list(module.train_dataloader())
    assert len(batches) == 10
    ids = [image_id[-1] for batch in batches for image_id in batch.image_ids]
    assert sum(image_id in "abc" for image_id in ids) >= 6
    few = small.module(workers=0, sampling="class_balanced", overfit_images=2)
    assert few.steps_per_epoch == len(few.train_dataloader()) == 1
