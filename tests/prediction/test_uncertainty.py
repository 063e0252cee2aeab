"""Which images are most worth labelling next: values worked out by hand, planted images in order."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from detection.data.image_sources import ImageFile
from detection.prediction.uncertainty import expected_mistakes, write_uncertain
from detection.prediction.writing import Result
from detection.types import Detections


def detections(scores: Sequence[float], labels: Sequence[int] | None = None) -> Detections:
    return Detections(
        boxes=torch.tensor([[5.0, 5.0, 30.0, 30.0]] * len(scores)).reshape(-1, 4),
        scores=torch.tensor(scores),
        labels=torch.tensor(labels or [0] * len(scores), dtype=torch.int64),
    )


def test_it_is_the_number_of_mistakes_to_expect() -> None:
    assert expected_mistakes(detections([])) == 0
    assert expected_mistakes(detections([1.0, 1.0])) == 0
    assert expected_mistakes(detections([0.9, 0.6, 0.2])) == pytest.approx(0.1 + 0.4 + 0.2)
    assert expected_mistakes(detections([0.5] + [0.09] * 200)) == pytest.approx(0.5), "noise is no doubt"
    some = detections([0.6, 0.3], [0, 1])
    assert expected_mistakes(some, frozenset({1})) == pytest.approx(0.3)


PLANTED = {
    "sure.png": [0.99, 0.98],
    "crowd in doubt.png": [0.55, 0.5, 0.45],
    "<b>one</b>.png": [0.6],
    "empty.png": [],
    "also empty.png": [],
}


def test_the_most_uncertain_image_comes_first(tmp_path: Path) -> None:
    results = []
    for number, (name, scores) in enumerate(PLANTED.items()):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (60, 40), (number, 0, 0)).save(path)
        found = detections(scores)
        results.append(Result(ImageFile(path, name), (40, 60), found, expected_mistakes(found)))

    def detector(images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        return [detections(list(PLANTED.values())[int(image[0, 0, 0])]) for image in images]

    write_uncertain(tmp_path / "out", results, 4, detector, None, ["cat"])
    with (tmp_path / "out/uncertain.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["file", "expected_mistakes"],
        ["crowd in doubt.png", "1.4000"],
        ["<b>one</b>.png", "0.4000"],
        ["sure.png", "0.0300"],
        ["also empty.png", "0.0000"],
    ]
    page = (tmp_path / "out/uncertain.html").read_text(encoding="utf-8")
    assert page.index("crowd in doubt") < page.index("&lt;b&gt;one") < page.index("sure.png")
    assert "1.4 mistakes expected; 2 found, 1 in doubt" in page
    assert "<b>one" not in page
