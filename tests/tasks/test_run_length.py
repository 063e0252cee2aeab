"""How long a training is where nobody says so."""

import math
from typing import Any

import pytest
import pytorch_lightning as pl

from detection.tasks.run_length import choose_length, epochs_for


def config(**limits: Any) -> dict[str, Any]:
    return {"find": None, "trainer": {"max_epochs": None, **limits}}


def test_few_images_are_seen_oftener_in_fewer_steps() -> None:
    sizes = [1, 10, 50, 242, 1000, 2501, 5000]
    epochs = [epochs_for(size) for size in sizes]
    assert epochs == [400, 126, 57, 26, 13, 8, 6]
    assert epochs == sorted(epochs, reverse=True)
    steps = [count * math.ceil(size / 16) for count, size in zip(epochs[1:], sizes[1:], strict=True)]
    assert steps == sorted(steps)
    assert epochs_for(10**6) == 4


def test_the_trainer_and_what_is_kept_know_the_number() -> None:
    trainer, made = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False), config()
    assert choose_length(made, trainer, 242).startswith("26 epochs by the number of images")
    assert (trainer.max_epochs, made["trainer"]["max_epochs"]) == (26, 26)


@pytest.mark.parametrize(
    "limits", [{"max_epochs": 3}, {"max_epochs": -1}, {"max_steps": 5}, {"max_time": "00:01:00:00"}]
)
def test_a_length_that_is_given_stays(limits: dict[str, Any]) -> None:
    made = config(**limits)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, **limits)
    before = trainer.max_epochs
    assert choose_length(made, trainer, 242) == ""
    assert (trainer.max_epochs, made) == (before, config(**limits))
