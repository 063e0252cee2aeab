"""Whether two checkpoints hold the same, to the bit."""

from typing import Any

import torch


def assert_same(value: Any, expected: Any, name: str, moved: bool = False) -> None:
    """See that tensors and plain values are equal, however they are nested.

    Args:
        value: of one checkpoint.
        expected: of the other.
        name: what a difference is told by.
        moved: they are of runs in different folders, whose paths differ; a loss that is nan in both is equal.
    """
    if isinstance(expected, torch.Tensor):
        assert value.equal(expected), name
    elif isinstance(expected, dict):
        assert value.keys() == expected.keys(), name
        for key in expected:
            assert_same(value[key], expected[key], f"{name}.{key}", moved)
    elif isinstance(expected, list):
        for i, (one, other) in enumerate(zip(value, expected, strict=True)):
            assert_same(one, other, f"{name}[{i}]", moved)
    elif not moved:
        assert value == expected, name
    elif not isinstance(expected, str) or "/" not in expected:
        assert value == expected or (value != value and expected != expected), name
