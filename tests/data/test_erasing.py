"""Random erasing: how much, how often, and what stays."""

from collections.abc import Sequence

import albumentations as A
import numpy as np
import pytest

from detection.data.chain import DetectionTransform
from detection.data.erasing import RandomErasing


def erased(boxes: Sequence[Sequence[float]], probability: float = 1.0, seeds: int = 200) -> list[np.ndarray]:
    """Where pixels changed, for each seed."""
    transform = DetectionTransform(A.Compose([RandomErasing(p=probability)]))
    image = np.full((60, 80, 3), 255, np.uint8)
    array = np.array(boxes, np.float32).reshape(-1, 4)
    masks = []
    for seed in range(seeds):
        transform.seed(seed)
        out = transform(image, array, np.arange(len(array)), np.zeros(len(array), bool))
        np.testing.assert_allclose(out.boxes, array, atol=1e-4)
        masks.append((out.image.numpy() != 255).any(axis=0))
    assert (image == 255).all()
    return masks


def test_a_rectangle_of_a_fiftieth_to_a_fifth() -> None:
    shares = [mask.mean() for mask in erased([])]
    assert 0.015 < min(shares) < 0.04
    assert 0.15 < max(shares) < 0.21


def test_it_happens_as_often_as_asked() -> None:
    happened = [mask.any() for mask in erased([], probability=0.3)]
    assert np.mean(happened) == pytest.approx(0.3, abs=0.1)


def test_no_object_loses_more_than_half() -> None:
    small = [[x, y, x + 6, y + 6] for x in range(0, 74, 8) for y in range(0, 54, 8)]
    masks = erased([[10, 10, 30, 30], [50, 5, 58, 50]])
    assert all(mask[10:30, 10:30].mean() <= 0.5 and mask[5:50, 50:58].mean() <= 0.5 for mask in masks)
    assert np.mean([mask.any() for mask in masks]) > 0.9
    assert np.mean([mask.any() for mask in erased(small)]) < 0.9  # hardly a place is left
