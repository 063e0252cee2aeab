"""Whether a machine has the devices that a trainer asks for, before Lightning says so in its own words."""

import re
from typing import Any

_GPU, _CPU = ("gpu", "cuda", "mps"), ("cpu", "auto")


def unusable_devices(trainer: dict[str, Any]) -> list[str]:
    """Compare the accelerator and the devices of a trainer with what is there.

    Args:
        trainer: the trainer's configuration.

    Returns:
        What is wrong, with what to type.
    """
    import torch

    accelerator, devices = trainer["accelerator"], trainer["devices"]
    if accelerator not in (*_GPU, *_CPU):
        return [] if accelerator in ("tpu", "hpu") else [_unknown(accelerator)]
    if not _is_number_of_devices(devices):
        kind = "trainer=cpu" if devices in _CPU else "trainer.accelerator=gpu"
        hint = f"{kind} chooses the kind; " if devices in _GPU + _CPU else ""
        return [f"trainer.devices={_typed(devices)}: {hint}give how many, or which GPUs, such as [0,1]"]
    has_mps = torch.backends.mps.is_available()
    count = torch.cuda.device_count() or int(has_mps)
    if accelerator in _GPU and count == 0:
        return [f"trainer.accelerator={accelerator}: no GPU can be used here; give trainer.accelerator=cpu"]
    if accelerator == "cpu" or count == 0:
        is_list = isinstance(devices, list) or "," in str(devices)
        return (
            [f"trainer.devices={_typed(devices)}: a list names GPUs; on a CPU give how many"]
            if is_list
            else []
        )
    wanted = _numbers(devices)
    if wanted and max(wanted) >= count:
        there = "one GPU, number 0" if count == 1 else f"{count} GPUs, numbers 0 to {count - 1}"
        return [f"trainer.devices={_typed(devices)}: this machine has {there}"]
    return []


def _unknown(accelerator: Any) -> str:
    number = re.fullmatch(r"cuda:(\d+)|(\d+)", str(accelerator))
    if number:
        chosen = number[1] or number[2]
        return f"trainer.accelerator={accelerator}: give trainer.accelerator=gpu trainer.devices=[{chosen}]"
    return f"trainer.accelerator={accelerator}: give auto, cpu, gpu or mps"


def _is_number_of_devices(devices: Any) -> bool:
    if isinstance(devices, list):
        return bool(devices)
    return bool(re.fullmatch(r"auto|-1|[1-9]\d*|\d+(,\s*\d+)+,?|\d+,", str(devices)))


def _numbers(devices: Any) -> list[int]:
    """The numbers of GPUs that are asked for."""
    if isinstance(devices, list):
        return [int(number) for number in devices]
    text = str(devices)
    if text in ("auto", "-1"):
        return []
    return [int(number) for number in re.findall(r"\d+", text)] if "," in text else [int(text) - 1]


def _typed(devices: Any) -> str:
    return str(devices).replace(" ", "")
