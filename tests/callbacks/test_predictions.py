"""The picture of predictions: which images, when, and at which size."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
import pytorch_lightning as pl

from detection.callbacks import predictions
from detection.callbacks.predictions import PredictionImages

Run = Callable[..., pl.Trainer]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What would have been drawn."""
    made: list[tuple[Any, ...]] = []
    monkeypatch.setattr(predictions, "plot_predictions", lambda *args: made.append(args))
    return made


def test_leaves_a_picture_in_colour(run: Run, tmp_path: Path) -> None:
    run(PredictionImages(str(tmp_path), num_images=3), epochs=0)
    image = cv2.imread(str(tmp_path / "predictions.png"))
    assert image is not None
    assert image.std() > 5
    assert (image.max(axis=2).astype(int) - image.min(axis=2)).max() > 50


def test_first_images_at_their_original_size(run: Run, tmp_path: Path, calls: list[tuple[Any, ...]]) -> None:
    run(PredictionImages(str(tmp_path), num_images=3, threshold=0.7), epochs=0)
    ((images, outcomes, ids, names, path, threshold),) = calls
    assert [image.shape for image in images] == [(48, 64, 3)] * 3
    assert ids == ["image0", "image1", "image2"]
    box = [8, 8, 32, 40]
    assert outcomes == [
        [(box, i % 2, None, "found"), (box, i % 2, pytest.approx(0.9), "true_positive")] for i in range(3)
    ]
    assert (names, path, threshold) == (["cat", "dog", "owl"], tmp_path / "predictions.png", 0.7)


def test_fewer_images_than_wanted(run: Run, tmp_path: Path, calls: list[tuple[Any, ...]]) -> None:
    run(PredictionImages(str(tmp_path), num_images=99), epochs=0)
    assert len(calls[0][0]) == 5


@pytest.mark.parametrize(("every", "times"), [(1, 4), (2, 2), (3, 1), (9, 0)])
def test_draws_every_few_epochs(
    run: Run, tmp_path: Path, calls: list[tuple[Any, ...]], every: int, times: int
) -> None:
    run(PredictionImages(str(tmp_path), every_n_epochs=every), epochs=4, test=False)
    assert len(calls) == times


def test_the_test_always_draws(run: Run, tmp_path: Path, calls: list[tuple[Any, ...]]) -> None:
    run(PredictionImages(str(tmp_path), every_n_epochs=99), epochs=1)
    assert len(calls) == 1
