"""What the drawing functions put on the axis and on disk."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import NDArray

from detection.drawing import plots
from detection.drawing.colours import class_colour
from detection.drawing.painter import Mark
from detection.drawing.plots import plot_bbox

BOXES = [[1, 12, 8, 28], [10, 15, 30, 25], [5, 16, 20, 29]]


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def grey(height: int = 30, width: int = 40) -> NDArray[np.uint8]:
    return np.full((height, width, 3), 90, dtype=np.uint8)


@pytest.fixture
def marks(monkeypatch: pytest.MonkeyPatch) -> list[Mark]:
    """What the painter was asked for, the last on top, in the pixels of the image."""
    asked: list[Mark] = []

    def note(image: Any, given: list[Mark], letters: float) -> Any:
        assert 4 < letters < 400
        scale = image.shape[0] / 30
        asked[:] = [mark._replace(box=[edge / scale for edge in mark.box]) for mark in given]
        return image

    monkeypatch.setattr(plots, "draw_marks", note)
    return asked


def boxes_of(marks: list[Mark]) -> list[tuple[float, ...]]:
    """The first box given is painted last, on top."""
    return [tuple(mark.box) for mark in reversed(marks)]


def texts(marks: list[Mark]) -> list[str]:
    return [mark.text for mark in reversed(marks)]


def test_boxes_alone(marks: list[Mark]) -> None:
    plot_bbox(grey(), BOXES)
    assert boxes_of(marks) == [tuple(box) for box in BOXES]
    assert texts(marks) == ["", "", ""]


def test_names_and_scores(marks: list[Mark]) -> None:
    names = ["cat", "dog", "owl"]
    for scores, labels, class_names, expected in (
        (None, [2, 0, 1], None, ["2", "0", "1"]),
        (None, [2, 0, 1], names, ["owl", "cat", "dog"]),
        ([0.9, 0.8, 0.55], None, None, ["0.90", "0.80", "0.55"]),
        ([0.9, 0.8, 0.55], [2, 0, 1], names, ["owl 0.90", "cat 0.80", "dog 0.55"]),
    ):
        plot_bbox(grey(), BOXES, scores, labels, class_names)
        assert texts(marks) == expected


@pytest.mark.parametrize(("threshold", "kept"), [(0.5, [0, 2]), (0.2, [0, 1, 2]), (0.89, [0])])
def test_threshold_leaves_out_lower_scores(marks: list[Mark], threshold: float, kept: list[int]) -> None:
    plot_bbox(grey(), BOXES, [0.9, 0.3, 0.5], threshold=threshold)
    assert boxes_of(marks) == [tuple(BOXES[i]) for i in kept]


def test_padding_is_left_out(marks: list[Mark]) -> None:
    plot_bbox(grey(), BOXES, labels=[0, -1, 1], class_names=["cat", "dog"])
    assert boxes_of(marks) == [tuple(BOXES[0]), tuple(BOXES[2])]
    assert texts(marks) == ["cat", "dog"]


def test_a_class_has_one_colour(marks: list[Mark]) -> None:
    plot_bbox(grey(), BOXES, labels=[0, 1, 0])
    first, second, third = (mark.colour for mark in reversed(marks))
    assert first == third == class_colour(0)  # as in the pictures of predict
    assert second == class_colour(1)
    plot_bbox(grey(), BOXES, labels=[19, 20, 500])  # more classes than colours
    assert len(marks) == 3


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [([0.5], None, "3 boxes but 1 scores"), (None, [1, 2, 3, 4], "3 boxes but 4 labels")],
)
def test_lengths_must_match(scores: list[float] | None, labels: list[int] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_bbox(grey(), BOXES, scores, labels)


def test_both_layouts_of_the_image_and_tensors() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    for given in (image, image.transpose(2, 0, 1), torch.from_numpy(image).permute(2, 0, 1)):
        shown = plot_bbox(given, torch.zeros(0, 4)).images[0].get_array()
        assert (np.asarray(shown) == image).all()


def test_edges_of_pixels_are_whole_numbers_as_in_boxes() -> None:
    shown = plot_bbox(grey(), BOXES).images[0]
    assert tuple(shown.get_extent()) == (0, 40, 30, 0)


def test_tensors_as_a_network_returns_them(marks: list[Mark]) -> None:
    boxes = torch.tensor(BOXES, dtype=torch.float32, requires_grad=True)
    plot_bbox(torch.from_numpy(grey()), boxes * 1, torch.ones(3))
    assert boxes_of(marks) == [tuple(box) for box in BOXES]


def test_a_notebook_shows_the_figure() -> None:
    before = plt.get_fignums()
    figure = plot_bbox(grey(), BOXES).figure
    assert [plt.figure(number) for number in plt.get_fignums() if number not in before] == [figure]


def test_nothing_to_draw() -> None:
    nothing: tuple[Any, ...] = ([], torch.zeros(0, 4))
    for boxes in nothing:
        ax = plot_bbox(grey(), boxes, torch.zeros(0), torch.zeros(0, dtype=torch.int64), ["cat"])
        assert (np.asarray(ax.images[0].get_array()) == 90).all()


def test_draws_on_the_given_axis_with_letters_of_its_size() -> None:
    heights = []
    for size in ((3, 3), (12, 12)):
        ax = Figure(figsize=size).add_subplot()
        assert plot_bbox(grey(300, 400), [[50, 150, 390, 290]], labels=[0], ax=ax) is ax
        painted = np.asarray(ax.images[0].get_array())
        rows = np.flatnonzero((painted != 90).any(axis=(1, 2)))
        scale = painted.shape[0] / 300
        heights.append((150 - rows[0] / scale) * size[0])  # of the label, in inches of the figure
    assert 0.6 < heights[0] / heights[1] < 1.6, "a small figure has as large letters as a large one"
