"""The colour matrix against its four steps done one after the other."""

import random
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from detection.data.photometric import (
    PhotometricDistort,
    contrast_matrix,
    hue_matrix,
    sample_colour_matrix,
    saturation_matrix,
)

Image = NDArray[np.uint8]
# OpenCV rounds the matrix to 1/1024 (0.4 grey levels at most over three channels), then the result.
ROUNDING = 1.0


def random_image(seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)


class Script(random.Random):
    """Answers ``random()`` and ``uniform()`` from lists, to steer which steps happen and how strongly."""

    def __init__(self, coins: list[bool], strengths: list[float]) -> None:
        super().__init__()
        self.coins, self.strengths = iter(coins), iter(strengths)

    def random(self) -> float:
        return 0.0 if next(self.coins) else 0.9

    def uniform(self, a: float, b: float) -> float:
        strength = next(self.strengths)
        assert a <= strength <= b
        return strength


def brighten(image: NDArray[np.float64], offset: float) -> NDArray[np.float64]:
    return image + offset


def stretch(image: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    return image * factor


def saturate(image: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    grey = 0.299 * image[..., 0] + 0.587 * image[..., 1] + 0.114 * image[..., 2]
    return factor * image + (1 - factor) * grey[..., None]


def turn(image: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """Rotate I and Q of each pixel; red, green and blue follow from luma and them by solving for them."""
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    i = 0.596 * red - 0.274 * green - 0.322 * blue
    q = 0.211 * red - 0.523 * green + 0.312 * blue
    angle = np.radians(degrees)
    rotated = (y, np.cos(angle) * i - np.sin(angle) * q, np.sin(angle) * i + np.cos(angle) * q)
    to_yiq = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    return np.linalg.solve(to_yiq, np.stack(rotated).reshape(3, -1)).T.reshape(image.shape)


def apply(image: Image, matrix: NDArray[np.float64]) -> Image:
    return PhotometricDistort().apply(image, matrix=matrix)


@pytest.mark.parametrize("contrast_first", [True, False])
def test_the_matrix_is_the_chain_of_steps(contrast_first: bool) -> None:
    # In the order of the draws: brightness, saturation, hue, contrast; then the coin of the order.
    for seed in range(20):
        rng = random.Random(seed)
        offset, alpha, degrees, factor = (
            rng.uniform(-32, 32), rng.uniform(0.5, 1.5), rng.uniform(-18, 18), rng.uniform(0.5, 1.5)
        )  # fmt: skip
        script = Script([True, True, True, True, contrast_first], [offset, alpha, degrees, factor])
        matrix = sample_colour_matrix(script, brightness=32, contrast=0.5, saturation=0.5, hue=18)

        image = random_image(seed)
        expected = brighten(image.astype(np.float64), offset)
        if contrast_first:
            expected = stretch(expected, factor)
        expected = turn(saturate(expected, alpha), degrees)
        if not contrast_first:
            expected = stretch(expected, factor)

        exact = image @ matrix[:, :3].T + matrix[:, 3]
        np.testing.assert_allclose(exact, expected, atol=1e-8)
        assert np.abs(apply(image, matrix) - expected.clip(0, 255)).max() <= ROUNDING


def test_nothing_happens_when_all_steps_are_off() -> None:
    matrix = sample_colour_matrix(Script([False] * 5, []), 32, 0.5, 0.5, 18)
    assert matrix.tolist() == np.eye(3, 4).tolist()
    assert (apply(random_image(), matrix) == random_image()).all()


def test_strengths_of_zero_change_nothing() -> None:
    transform = PhotometricDistort(brightness=0, contrast=0, saturation=0, hue=0)
    for seed in range(10):
        transform.set_random_seed(seed)
        assert (transform(image=random_image())["image"] == random_image()).all()


@pytest.mark.parametrize(
    ("steps", "pixel", "expected"),
    [
        ([contrast_matrix(1.5)], (100, 200, 20), (150, 255, 30)),
        ([saturation_matrix(0)], (255, 0, 0), (76, 76, 76)),
        ([saturation_matrix(1)], (12, 200, 77), (12, 200, 77)),
        ([hue_matrix(0)], (12, 200, 77), (12, 200, 77)),
        ([hue_matrix(360)], (12, 200, 77), (12, 200, 77)),
        ([hue_matrix(70), hue_matrix(-70)], (12, 200, 77), (12, 200, 77)),
    ],
)
def test_steps_by_hand(
    steps: list[NDArray[np.float64]], pixel: tuple[int, int, int], expected: tuple[int, int, int]
) -> None:
    matrix = np.eye(3)
    for step in steps:
        matrix = step @ matrix
    out = apply(np.array([[pixel]], dtype=np.uint8), np.column_stack([matrix, np.zeros(3)]))
    assert np.abs(out[0, 0].astype(int) - expected).max() <= ROUNDING


def test_grey_stays_grey_and_luma_stays() -> None:
    for factor in (0.5, 1.5):
        np.testing.assert_allclose(saturation_matrix(factor).sum(axis=1), 1, atol=1e-12)
    for degrees in (-18, 5, 18):
        np.testing.assert_allclose(hue_matrix(degrees).sum(axis=1), 1, atol=1e-12)
        luma = np.array([0.299, 0.587, 0.114])
        np.testing.assert_allclose(luma @ hue_matrix(degrees), luma, atol=1e-12)
    grey = np.repeat(np.arange(256, dtype=np.uint8).reshape(1, -1, 1), 3, axis=2)
    for seed in range(20):
        out = apply(grey, sample_colour_matrix(random.Random(seed), 32, 0.5, 0.5, 18)).astype(int)
        assert (out.max(axis=2) - out.min(axis=2)).max() <= ROUNDING


def test_values_are_clipped_not_wrapped() -> None:
    bright = np.column_stack([np.eye(3) * 1.5, np.full(3, 32.0)])
    image = np.array([[[250, 0, 100]]], dtype=np.uint8)
    assert apply(image, bright).tolist() == [[[255, 32, 182]]]
    dark = np.column_stack([np.eye(3), np.full(3, -32.0)])
    assert apply(image, dark).tolist() == [[[218, 0, 68]]]


def test_each_step_happens_half_the_time() -> None:
    counts: Counter[str] = Counter()
    for seed in range(2000):
        rng = random.Random(seed)
        matrix = sample_colour_matrix(rng, 32, 0.5, 0, 0)
        counts["brightness"] += bool(matrix[:, 3].any())
        counts["contrast"] += not np.allclose(matrix[:, :3], np.eye(3))
        counts["saturation"] += not np.allclose(sample_colour_matrix(rng, 0, 0, 0.5, 0)[:, :3], np.eye(3))
        counts["hue"] += not np.allclose(sample_colour_matrix(rng, 0, 0, 0, 18)[:, :3], np.eye(3))
    assert all(900 < count < 1100 for count in counts.values()), counts
    assert len(counts) == 4


def test_transform_returns_uint8_of_the_same_shape_and_keeps_its_input() -> None:
    transform, image = PhotometricDistort(), random_image()
    outputs = []
    for seed in range(10):
        transform.set_random_seed(seed)
        out = transform(image=image)["image"]
        assert out.dtype == np.uint8
        assert out.shape == image.shape
        outputs.append(out.tobytes())
    assert (image == random_image()).all()
    assert len(set(outputs)) > 5
