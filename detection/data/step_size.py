"""How many images an optimizer step has, and how they are divided."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from detection.system.wording import counted


class StepSize(NamedTuple):
    """An optimizer step: ``devices`` times ``parts`` times ``images_per_part`` images."""

    devices: int
    """Processes, over all nodes."""
    parts: int
    """Of what a device takes, one after another (``trainer.accumulate_grad_batches``)."""
    images_per_part: int
    """What a device holds in memory."""

    @property
    def images(self) -> int:
        """Of the whole step."""
        return self.devices * self.parts * self.images_per_part


def divide_step(
    batch_size: int | None, batch_size_per_device: int | None, devices: int, parts: int
) -> StepSize:
    """Divide the images of a step among devices, and what each has into parts.

    Args:
        batch_size: ``data.batch_size``, images of one step over all devices.
        batch_size_per_device: ``data.batch_size_per_device``, images of one step on each device; it goes
            before ``batch_size``.
        devices: processes, over all nodes.
        parts: ``trainer.accumulate_grad_batches``.

    Raises:
        ValueError: neither is given, or it does not divide; the message names the nearest that does.
    """
    if batch_size_per_device is not None:
        each = _divided("data.batch_size_per_device", batch_size_per_device, {"part": parts})
        return StepSize(devices, parts, each)
    if batch_size is None:
        raise ValueError(
            "A training step has no size: give data.batch_size (images over all devices) or "
            "data.batch_size_per_device."
        )
    return StepSize(
        devices, parts, _divided("data.batch_size", batch_size, {"device": devices, "part": parts})
    )


def step_line(step: StepSize, images: int) -> str:
    """Say what a step is made of.

    Args:
        step: as configured.
        images: that a step really has, fewer where the training set is smaller.
    """
    if images < step.images:
        return f"{counted(images, 'image')}, all there are to train on (of {step.images} configured)"
    parts = f" x {step.parts} parts" if step.parts > 1 else ""
    devices = f"{counted(step.devices, 'device')}{parts} x {counted(step.images_per_part, 'image')}"
    return f"{counted(step.images, 'image')} = {devices}"


def keep_one_size(data: dict[str, Any], typed: Iterable[str]) -> list[str]:
    """Refuse two sizes of a step; where one was chosen, forget the other, which was only a default.

    Args:
        data: the data's configuration, which is changed.
        typed: the words of the command line.

    Returns:
        What is wrong, if anything.
    """
    total, each = data.get("batch_size"), data.get("batch_size_per_device")
    if total is None or each is None:
        return []
    if any(word.lstrip("+").startswith("data.batch_size=") for word in typed):
        return [
            f"data.batch_size={total} and data.batch_size_per_device={each}: give one of them; "
            "data.batch_size_per_device=null leaves the first"
        ]
    data["batch_size"] = None
    return []


def step_of_the_first_release(then: Mapping[str, Any]) -> str:
    """Say how the batch keys of a run of 0.1 are read, in the ``config.yaml`` of its folder.

    There ``data.batch_size`` counted the images of each device, ``data.global_batch_size`` those of all, and
    either of them was multiplied by ``trainer.accumulate_grad_batches``.

    Args:
        then: what the file holds.

    Returns:
        A sentence, empty where the run is of a later release.
    """
    data, trainer = then.get("data", {}), then.get("trainer", {})
    if "global_batch_size" not in data:
        return ""
    parts, total, devices = trainer.get("accumulate_grad_batches", 1), data["global_batch_size"], 1
    said = f"data.global_batch_size={total} counted the images of all devices"
    if total is None:
        total, devices = data["batch_size"], _number_of_devices(trainer) or 0
        said = f"data.batch_size={total} counted the images of each device"
    if parts != 1:
        said += f", and trainer.accumulate_grad_batches={parts} such batches made a step"
    typed = total * devices * parts if devices else "<the images of its step>"
    return (
        f"This run was started by 0.1, where {said}. Now data.batch_size counts the images of a whole step: "
        f"data.batch_size={typed} keeps the step as it was."
    )


def _number_of_devices(trainer: Mapping[str, Any]) -> int | None:
    """None where the file does not tell, as with ``auto``."""
    devices = trainer.get("devices", 1)
    if isinstance(devices, list):
        devices = len(devices)
    if not isinstance(devices, int) or devices < 1:
        return None
    nodes = trainer.get("num_nodes", 1)
    return devices * nodes if isinstance(nodes, int) else None


def _divided(key: str, images: int, among: Mapping[str, int]) -> int:
    count = 1
    for number in among.values():
        count *= number
    if images < 1:
        raise ValueError(f"{key}={images}: it counts images, so it must be 1 or more.")
    if images % count:
        below, above = images // count * count, (images // count + 1) * count
        nearest = f"{below} or {above}" if below else f"{above}"
        pieces = " x ".join(counted(number, name) for name, number in among.items() if number > 1)
        keys = [_KEYS[name] for name, number in among.items() if number > 1]
        raise ValueError(
            f"{key}={images} does not divide among {pieces} ({', '.join(keys)}): the nearest that "
            f"{'do are' if below else 'does is'} {key}={nearest}."
        )
    return images // count


_KEYS = {"device": "trainer.devices x trainer.num_nodes", "part": "trainer.accumulate_grad_batches"}
