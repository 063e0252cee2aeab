"""Backgrounds and distractors of the generated images: what a detector must learn to ignore."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

WAVES_FRACTION = 0.3  # images whose two colours alternate in stripes


def draw_background(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Two colours in a gradient or in waves, under noise of several frequencies, as RGB."""
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * ramp[:, None] + np.sin(angle) * ramp
    waves = rng.uniform(5, 40) if rng.random() < WAVES_FRACTION else 1.0
    mix = (0.5 + 0.35 * np.sin(waves * along))[..., None].astype(np.float32)
    first, second = rng.uniform(20, 235, (2, 3)).astype(np.float32)
    canvas = first * mix + second * (1 - mix)
    for cells, strongest in ((3, 50), (9, 35), (size // 4, 25), (size, 20)):
        canvas += rng.uniform(0, strongest) * smooth_noise(rng, size, cells)
    return np.asarray(np.clip(canvas, 0, 255), dtype=np.uint8)


def smooth_noise(rng: np.random.Generator, size: int, cells: int, channels: int = 3) -> NDArray[np.float32]:
    """Smooth noise in -1..1, ``(S, S, channels)``, with ``cells`` bumps per side."""
    coarse = rng.random((cells, cells, channels), dtype=np.float32) * 2 - 1
    noise = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(noise, dtype=np.float32).reshape(size, size, channels)


def scribble(rng: np.random.Generator, image: NDArray[np.uint8], count: int) -> None:
    """Draws distractors: lines, bent strokes, arcs and specks, none of them a closed shape."""
    size = len(image)
    strokes: tuple[Callable[..., object], ...] = (_line, _bent_stroke, _arc, _specks)
    for _ in range(count):
        color: list[float] = rng.uniform(0, 255, 3).tolist()
        thickness = int(rng.integers(1, 2 + size // 50))
        strokes[rng.integers(len(strokes))](rng, image, color, thickness)


def _line(rng: np.random.Generator, image: NDArray[np.uint8], color: list[float], thickness: int) -> None:
    start, end = rng.integers(0, len(image), (2, 2)).tolist()
    cv2.line(image, start, end, color, thickness, cv2.LINE_AA)


def _bent_stroke(
    rng: np.random.Generator, image: NDArray[np.uint8], color: list[float], thickness: int
) -> None:
    count, size = int(rng.integers(3, 7)), len(image)
    # Each step is longer than the stroke is thick: short ones would clot into a blob that looks like a shape.
    length, turn = rng.uniform(size / 10, size / 4, count), rng.uniform(0, 2 * np.pi, count)
    steps = np.stack([np.cos(turn) * length, np.sin(turn) * length], axis=1)
    points = (rng.uniform(0, size, 2) + steps.cumsum(axis=0)).astype(np.int32)
    cv2.polylines(image, [points], False, color, thickness, cv2.LINE_AA)


def _arc(rng: np.random.Generator, image: NDArray[np.uint8], color: list[float], thickness: int) -> None:
    center = rng.integers(0, len(image), 2).tolist()
    axes = rng.integers(len(image) // 16, len(image) // 3, 2).tolist()
    start, turn = rng.uniform(0, 360), rng.uniform(40, 180)
    cv2.ellipse(image, center, axes, rng.uniform(0, 180), start, start + turn, color, thickness, cv2.LINE_AA)


def _specks(rng: np.random.Generator, image: NDArray[np.uint8], color: list[float], thickness: int) -> None:
    radius = max(1, thickness // 2)
    for center in rng.integers(0, len(image), (int(rng.integers(5, 20)), 2)).tolist():
        cv2.circle(image, center, radius, color, -1, cv2.LINE_AA)
