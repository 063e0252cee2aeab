"""The types of what a command has at the top of its configuration, beside the parts with a ``_target_``.

The comments of ``conf/<command>.yaml`` explain each. Whether a value of the right type makes sense, the
command says itself.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass
class _Shared:
    name: str
    seed: int
    run_dir: str
    plugins: list[str]


@dataclass
class Train(_Shared):
    """Of ``train.py``, and of those that choose data and model by the same words."""

    ckpt: str | None
    init_from: str | None
    init_reuse: dict[str, str] | None
    find: Literal["lr", "batch_size"] | None
    optimized_metric: str
    optimized_direction: Literal["maximize", "minimize"]


@dataclass
class Check(Train):
    """Of ``detection.check``."""

    min_side: float
    workers: int
    fail_on: Literal["error", "warning"]
    fix: bool
    output: str | None


@dataclass
class Benchmark(Train):
    """Of ``detection.benchmark``."""

    warmup: int
    batches: int


@dataclass
class Evaluate(_Shared):
    """Of ``detection.evaluate``."""

    ckpt: str
    split: Literal["test", "val", "train"]
    threshold: float | None
    num_images: int


@dataclass
class ScaleRule:
    """What of ``optimizer`` is not the optimizer's: whether its learning rate is scaled to the batch."""

    scale_lr: bool
    base_batch_size: int
