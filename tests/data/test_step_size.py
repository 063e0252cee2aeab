"""How many images a step has: what divides, what is refused, and what an old run meant."""

from typing import Any

import pytest

from detection.data.step_size import StepSize, divide_step, step_line, step_of_the_first_release


@pytest.mark.parametrize(
    ("total", "each", "devices", "parts", "expected"),
    [
        (32, None, 1, 1, 32),
        (32, None, 4, 2, 4),
        (None, 8, 4, 2, 4),
        (32, 8, 4, 1, 8),  # the size per device goes before
        (3, None, 3, 1, 1),
    ],
)
def test_a_step_is_divided(
    total: int | None, each: int | None, devices: int, parts: int, expected: int
) -> None:
    step = divide_step(total, each, devices, parts)
    assert step == StepSize(devices, parts, expected)
    assert step.images == (devices * each if each else total)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (30, None, 4, 2),
            r"data\.batch_size=30 does not divide among 4 devices x 2 parts \(trainer\.devices x "
            r"trainer\.num_nodes, trainer\.accumulate_grad_batches\): the nearest that do are "
            r"data\.batch_size=24 or 32\.",
        ),
        ((4, None, 8, 1), r"among 8 devices .*: the nearest that does is data\.batch_size=8\."),
        ((None, 5, 4, 2), r"data\.batch_size_per_device=5 does not divide among 2 parts .*=4 or 6\."),
        ((0, None, 1, 1), r"data\.batch_size=0: it counts images, so it must be 1 or more"),
        ((None, -1, 1, 1), r"data\.batch_size_per_device=-1: it counts images"),
        ((None, None, 1, 1), r"has no size: give data\.batch_size .* or data\.batch_size_per_device"),
    ],
)
def test_what_does_not_divide_is_refused_with_the_nearest_that_does(
    arguments: tuple[Any, Any, int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        divide_step(*arguments)


def test_one_line_says_what_a_step_is_made_of() -> None:
    assert step_line(StepSize(4, 2, 4), 32) == "32 images = 4 devices x 2 parts x 4 images"
    assert step_line(StepSize(1, 1, 1), 1) == "1 image = 1 device x 1 image"
    assert step_line(StepSize(1, 1, 32), 13) == "13 images, all there are to train on (of 32 configured)"


@pytest.mark.parametrize(
    ("batch", "trainer", "said", "typed"),
    [
        ((8, None), {"devices": 2}, "data.batch_size=8 counted the images of each device", "16"),
        ((8, None), {"devices": [0, 1, 2], "num_nodes": 2, "accumulate_grad_batches": 4}, "=4 such", "192"),
        ((8, 64), {"devices": 2}, "data.global_batch_size=64 counted the images of all devices", "64"),
        ((8, None), {"devices": "auto"}, "each device", "<the images of its step>"),
    ],
)
def test_a_run_of_the_first_release_says_how_it_is_read(
    batch: tuple[int, int | None], trainer: dict[str, Any], said: str, typed: str
) -> None:
    data = {"batch_size": batch[0], "global_batch_size": batch[1]}
    sentence = step_of_the_first_release({"data": data, "trainer": trainer})
    assert sentence.startswith("This run was started by 0.1, where ")
    assert said in sentence
    assert sentence.endswith(f"data.batch_size={typed} keeps the step as it was.")
    later = {"data": {"batch_size": 8, "batch_size_per_device": None}, "trainer": trainer}
    assert step_of_the_first_release(later) == ""
