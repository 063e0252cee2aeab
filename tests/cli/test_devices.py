"""Devices that a machine does not have, in our words."""

from typing import Any

import pytest
import torch

from detection.cli.devices import unusable_devices


def told(monkeypatch: pytest.MonkeyPatch, gpus: int, accelerator: Any, devices: Any) -> str:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    return "\n".join(unusable_devices({"accelerator": accelerator, "devices": devices}))


@pytest.mark.parametrize(
    ("gpus", "accelerator", "devices", "message"),
    [
        (0, "cuda", 1, "trainer.accelerator=cuda: no GPU can be used here; give trainer.accelerator=cpu"),
        (1, "cuda:0", 1, "give trainer.accelerator=gpu trainer.devices=[0]"),
        (0, "GPU0", 1, "give auto, cpu, gpu or mps"),
        (0, "auto", "cuda", "trainer.accelerator=gpu chooses the kind"),
        (0, "auto", "cpu", "trainer=cpu chooses the kind"),
        (0, "auto", 0, "give how many, or which GPUs, such as [0,1]"),
        (0, "cpu", [0], "on a CPU give how many"),
        (1, "auto", 2, "trainer.devices=2: this machine has one GPU, number 0"),
        (2, "gpu", [0, 2], "trainer.devices=[0,2]: this machine has 2 GPUs, numbers 0 to 1"),
        (2, "gpu", "0,2", "trainer.devices=0,2: this machine has 2 GPUs"),
    ],
)
def test_what_is_not_there_is_told(
    monkeypatch: pytest.MonkeyPatch, gpus: int, accelerator: Any, devices: Any, message: str
) -> None:
    assert message in told(monkeypatch, gpus, accelerator, devices)


@pytest.mark.parametrize(
    ("gpus", "accelerator", "devices"),
    [
        (0, "auto", "auto"), (0, "cpu", 4), (0, "cpu", "2"), (1, "gpu", -1), (2, "gpu", [0, 1]),
        (2, "cuda", 2), (4, "auto", "0,3"), (4, "auto", [3]), (2, "cpu", 8), (0, "tpu", 8),
    ],
)  # fmt: skip
def test_what_is_there_is_taken(
    monkeypatch: pytest.MonkeyPatch, gpus: int, accelerator: Any, devices: Any
) -> None:
    assert told(monkeypatch, gpus, accelerator, devices) == ""
