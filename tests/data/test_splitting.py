"""Which images are set apart, from their names, classes and groups alone."""

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from detection.data.formats.records import SplitName
from detection.data.splitting import SetApart, keep_known, split_images
from tests.every import for_every

FRACTIONS: dict[SplitName, float] = {"val": 0.2, "test": 0.1}


def alone(classes: dict[str, set[str]]) -> list[list[str]]:
    return [[name] for name in classes]


def a_set(count: int, seed: int = 0) -> dict[str, set[str]]:
    """Images of a frequent class, a rarer one, a rare one and none."""
    rng = random.Random(seed)
    shares = {"car": 0.7, "bus": 0.2, "tram": 0.05}
    return {
        f"images/{n}.jpg": {name for name, share in shares.items() if rng.random() < share}
        for n in range(count)
    }


def test_each_class_is_divided_in_proportion() -> None:
    classes = a_set(400)
    images = split_images(classes, alone(classes), FRACTIONS, seed=1)
    assert sorted(name for names in images.values() for name in names) == sorted(classes)
    shares: dict[SplitName, float] = {"train": 0.7, **FRACTIONS}
    for split, share in shares.items():
        assert abs(len(images[split]) - share * 400) <= 4 + 1
    total = Counter(name for held in classes.values() for name in held or {""})
    for split, share in FRACTIONS.items():
        counts = Counter(name for image in images[split] for name in classes[image] or {""})
        for name in total:
            assert abs(counts[name] - share * total[name]) <= 2, (split, name)


def test_the_seed_and_the_names_decide_and_not_their_order() -> None:
    classes = a_set(60)
    images = split_images(classes, alone(classes), FRACTIONS, seed=1)
    shuffled = dict(random.Random(5).sample(sorted(classes.items()), len(classes)))
    assert split_images(shuffled, alone(shuffled), FRACTIONS, seed=1) == images
    assert split_images(classes, alone(classes), FRACTIONS, seed=2) != images


def test_many_rare_classes_are_learned_and_some_are_evaluated() -> None:
    classes = {f"{n}": {f"class {n // 2}"} for n in range(100)}  # two images of each
    images = split_images(classes, alone(classes), {"val": 0.2}, seed=0)
    assert {name for image in images["train"] for name in classes[image]} == {f"class {n}" for n in range(50)}
    assert 18 <= len(images["val"]) <= 22


@for_every([20, 80, 300])
def test_a_share_is_what_was_asked_for(count: int) -> None:
    classes = a_set(count)
    images = split_images(classes, alone(classes), FRACTIONS, seed=0)
    for split, share in FRACTIONS.items():
        assert abs(len(images[split]) - share * count) <= max(0.5, 0.01 * count) + 0.5


@given(
    sizes=st.lists(st.integers(1, 6), min_size=3, max_size=30),
    seed=st.integers(0, 5),
    labels=st.lists(st.sampled_from("abcd"), min_size=200, max_size=200),
)
@settings(max_examples=50, derandomize=True, deadline=None, database=None)
def test_groups_stay_together_and_no_split_is_empty(sizes: list[int], seed: int, labels: list[str]) -> None:
    names = iter(range(sum(sizes)))
    groups = [[f"{next(names)}" for _ in range(size)] for size in sizes]
    classes = {name: {labels[int(name)]} for group in groups for name in group}
    images = split_images(classes, groups, FRACTIONS, seed)
    places = {name: split for split, names in images.items() for name in names}
    assert places.keys() == classes.keys()
    assert all(len({places[name] for name in group}) == 1 for group in groups)
    assert all(images.values())


@for_every(
    [
        (["a"], {"train": ["a"], "val": []}),  # b and v are gone
        (["a", "b", "v", "new"], {"train": ["a", "b", "new"], "val": ["v"]}),
    ]
)
def test_known_images_stay_where_they_were(case: tuple[list[str], dict[str, list[str]]]) -> None:
    names, expected = case
    known = SetApart(0, {"val": 0.3}, {"train": ["a", "b"], "val": ["v"]})
    assert keep_known(known, [[name] for name in names]) == expected


def test_a_new_image_goes_where_the_one_is_that_it_looks_like() -> None:
    known = SetApart(0, {"val": 0.3}, {"train": ["a", "b"], "val": ["v"]})
    images = keep_known(known, [["v", "like v"], ["a"], ["b", "like b"], ["other", "like other"]])
    assert images == {"train": ["a", "b", "like b", "like other", "other"], "val": ["like v", "v"]}
    # Somebody's split had these two apart: they stay, and what is like both is learned.
    assert keep_known(known, [["a", "v", "like both"], ["b"]])["train"] == ["a", "b", "like both"]
