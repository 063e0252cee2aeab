"""What the settings of all commands have in common."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from detection.bounds import Positive


@dataclass(frozen=True)
class Settings:
    """What all commands have in common."""

    @classmethod
    def keys(cls) -> list[str]:
        """The keys of the command, in the order of the fields."""
        return [key_of(field.name) for field in fields(cls)]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """Take a command's own keys out of its configuration.

        Args:
            config: the whole configuration, checked.

        Raises:
            ValueError: a value does not go with another.
        """
        return cls(**{field.name: config[key_of(field.name)] for field in fields(cls)})


@dataclass(frozen=True)
class ScaleRule:
    """Keys of ``optimizer`` that are no arguments of torch's: whether the rate is scaled to the batch.

    Args:
        scale_lr: whether ``optimizer.lr`` is that of ``base_batch_size`` images per step
        base_batch_size: the batch that ``optimizer.lr`` is for
    """

    scale_lr: bool
    base_batch_size: Positive


def key_of(field: str) -> str:
    """The key of a field: ``from`` of ``from_``, which Python keeps for itself."""
    return field.rstrip("_")


def check_device(device: str) -> None:
    """Refuse what is no device.

    Raises:
        ValueError: it is none of auto, cpu, cuda and cuda:1.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ValueError(f"device={device}: choose auto, cpu, cuda, or one GPU such as cuda:1.")
