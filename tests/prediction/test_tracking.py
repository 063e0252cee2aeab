"""One object, one number, for as long as it is in the picture."""

import sys
from collections.abc import Sequence

import pytest
import torch

from detection.prediction.selection import Selection
from detection.prediction.tracking import Identities
from detection.types import Detections

FPS = 25


def found(*rows: tuple[float, float, float, int]) -> Detections:
    """Boxes of 40 pixels at (x, y), with a score and a label."""
    boxes = torch.tensor([[x, y, x + 40, y + 40] for x, y, _, _ in rows]).reshape(-1, 4)
    scores = torch.tensor([score for _, _, score, _ in rows])
    return Detections(
        boxes=boxes, scores=scores, labels=torch.tensor([row[3] for row in rows], dtype=torch.int64)
    )


def followed(frames: Sequence[Detections], threshold: float = 0.5) -> list[list[int]]:
    identities = Identities(threshold)
    return [identities(frame, number / FPS)["tracks"].tolist() for number, frame in enumerate(frames)]


@pytest.mark.parametrize("speed", [0, 3, 8, 14])
def test_an_object_keeps_its_number_behind_another(speed: int) -> None:
    seen = [number for number in range(40) if not 15 <= number < 20]
    frames = [found((speed * number, 50, 0.8, 0)) if number in seen else found() for number in range(40)]
    assert followed(frames) == [[1] if number in seen else [] for number in range(40)]


def test_what_comes_back_much_later_is_another() -> None:
    frames = [found((10, 10, 0.8, 0))] * 3 + [found()] * 2 * FPS + [found((10, 10, 0.8, 0))] * 3
    tracks = followed(frames)
    assert tracks[:3] == [[1]] * 3
    assert tracks[-3:] == [[2]] * 3


def test_two_that_cross_keep_their_numbers() -> None:
    frames = [found((6 * number, 50, 0.8, 0), (240 - 6 * number, 62, 0.7, 0)) for number in range(40)]
    assert followed(frames) == [[1, 2]] * 40


def test_neighbours_that_overlap_are_not_mixed_up() -> None:
    noise = torch.randn(40, 6, 2, generator=torch.Generator().manual_seed(0)).tolist()
    frames = [
        found(*((30 + 15 * place + x, 50 + y, 0.9 - place / 20, 0) for place, (x, y) in enumerate(row)))
        for row in noise
    ]
    assert followed(frames) == [[1, 2, 3, 4, 5, 6]] * 40


def test_a_faint_detection_continues_a_track_and_begins_none() -> None:
    scores = [0.3, 0.3, 0.5, 0.8, 0.2, 0.05, 0.2, 0.8]
    identities, select = Identities(0.5), Selection(0.5)
    frames = [identities.wants(select)(found((10, 10, score, 0))) for score in scores]
    rows = [identities(frame, number / FPS) for number, frame in enumerate(frames)]
    assert [row["tracks"].tolist() for row in rows] == [[], [], [1], [1], [1], [], [1], [1]]
    assert rows[4]["scores"].tolist() == pytest.approx([0.2])
    assert identities.count == 1


def test_a_lower_threshold_stays_the_lowest_score() -> None:
    assert Identities(0.05).wants(Selection(0.05)).threshold == 0.05
    assert followed([found((10, 10, 0.05, 0))], threshold=0.05) == [[1]]


def test_a_class_that_flickers_is_the_same_object_and_rows_stay_together() -> None:
    identities = Identities(0.5)
    for number in range(6):
        frame = found((100, 100, 0.9, number % 2), (10, 10, 0.3, 0), (200, 10, 0.8, 1))
        row = identities(frame, number / FPS)
        assert row["tracks"].tolist() == [1, 2]
        assert row["labels"].tolist() == [number % 2, 1]
        assert row["boxes"][:, 0].tolist() == [100, 200]


def test_time_counts_not_the_number_of_frames() -> None:
    identities = Identities(0.5)
    still = found((10, 10, 0.8, 0))
    assert identities(still, 0)["tracks"].tolist() == [1]
    assert identities(found(), 0.4)["tracks"].tolist() == []
    assert identities(still, 0.9)["tracks"].tolist() == [1]
    assert identities(found(), 2.5)["tracks"].tolist() == []
    assert identities(still, 2.6)["tracks"].tolist() == [2]


def test_without_the_library_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "edgefirst.tracker", None)
    with pytest.raises(
        ImportError, match=r"track=true needs edgefirst-tracker .*pip install -e '\.\[track\]'"
    ):
        Identities(0.5)
