"""What the drawing functions put on the axis and on disk."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from detection.drawing.painter import class_colour
from detection.drawing.plots import plot_bbox, plot_curves, plot_predictions
from detection.types import Detections, Target

BOXES = [[1, 12, 8, 28], [10, 15, 30, 25], [5, 16, 20, 29]]


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def grey(height: int = 30, width: int = 40) -> NDArray[np.uint8]:
    return np.full((height, width, 3), 90, dtype=np.uint8)


def drawn(ax: Any) -> list[tuple[float, ...]]:
    """The boxes on an axis, as xyxy."""
    return [
        (*patch.get_xy(), patch.get_x() + patch.get_width(), patch.get_y() + patch.get_height())
        for patch in ax.patches
        if isinstance(patch, Rectangle)
    ]


def texts(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.texts]


def read(path: Path) -> NDArray[np.uint8]:
    """A PNG that decodes and shows something in colour."""
    image = cv2.imread(str(path))
    assert image is not None
    assert image.std() > 5
    assert (image.max(axis=2).astype(int) - image.min(axis=2)).max() > 50
    return np.asarray(image, dtype=np.uint8)


def test_boxes_alone() -> None:
    ax = plot_bbox(grey(), BOXES)
    assert drawn(ax) == [tuple(box) for box in BOXES]
    assert texts(ax) == []


def test_names_and_scores() -> None:
    names = ["cat", "dog", "owl"]
    assert texts(plot_bbox(grey(), BOXES, labels=[2, 0, 1])) == ["2", "0", "1"]
    assert texts(plot_bbox(grey(), BOXES, labels=[2, 0, 1], class_names=names)) == ["owl", "cat", "dog"]
    assert texts(plot_bbox(grey(), BOXES, [0.9, 0.8, 0.55])) == ["0.90", "0.80", "0.55"]
    ax = plot_bbox(grey(), BOXES, [0.9, 0.8, 0.55], [2, 0, 1], names)
    assert texts(ax) == ["owl 0.90", "cat 0.80", "dog 0.55"]


def test_threshold_leaves_out_lower_scores() -> None:
    scores = [0.9, 0.3, 0.5]
    assert drawn(plot_bbox(grey(), BOXES, scores)) == [tuple(BOXES[0]), tuple(BOXES[2])]
    assert len(drawn(plot_bbox(grey(), BOXES, scores, threshold=0.2))) == 3
    assert drawn(plot_bbox(grey(), BOXES, scores, threshold=0.95)) == []


def test_padding_is_left_out() -> None:
    ax = plot_bbox(grey(), BOXES, labels=[0, -1, 1], class_names=["cat", "dog"])
    assert drawn(ax) == [tuple(BOXES[0]), tuple(BOXES[2])]
    assert texts(ax) == ["cat", "dog"]


def test_a_class_has_one_colour() -> None:
    ax = plot_bbox(grey(), BOXES, labels=[0, 1, 0])
    first, second, third = (to_rgb(patch.get_edgecolor()) for patch in ax.patches)
    assert first == third == class_colour(0)  # as in the pictures of predict
    assert second == class_colour(1)
    assert len(drawn(plot_bbox(grey(), BOXES, labels=[19, 20, 500]))) == 3  # more classes than colours


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [([0.5], None, "3 boxes but 1 scores"), (None, [1, 2, 3, 4], "3 boxes but 4 labels")],
)
def test_lengths_must_match(scores: list[float] | None, labels: list[int] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_bbox(grey(), BOXES, scores, labels)


def test_both_layouts_of_the_image_and_tensors() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    shown = [
        plot_bbox(given, torch.tensor(BOXES), torch.ones(3), torch.zeros(3)).images[0].get_array()
        for given in (image, image.transpose(2, 0, 1), torch.from_numpy(image).permute(2, 0, 1))
    ]
    for array in shown:
        assert (np.asarray(array) == image).all()


def test_edges_of_pixels_are_whole_numbers_as_in_boxes() -> None:
    shown = plot_bbox(grey(), BOXES).images[0]
    height, width = np.asarray(shown.get_array()).shape[:2]
    assert tuple(shown.get_extent()) == (0, width, height, 0)


def test_tensors_as_a_network_returns_them() -> None:
    boxes = torch.tensor(BOXES, dtype=torch.float32, requires_grad=True)
    assert drawn(plot_bbox(torch.from_numpy(grey()), boxes * 1, torch.ones(3))) == [
        tuple(box) for box in BOXES
    ]


def test_a_notebook_shows_the_figure() -> None:
    before = plt.get_fignums()
    figure = plot_bbox(grey(), BOXES).figure
    assert [plt.figure(number) for number in plt.get_fignums() if number not in before] == [figure]


def test_nothing_to_draw() -> None:
    ax = plot_bbox(grey(), torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), ["cat"])
    assert drawn(ax) == []
    assert texts(ax) == []
    assert drawn(plot_bbox(grey(), [])) == []


def test_draws_on_the_given_axis() -> None:
    ax = Figure().add_subplot()
    assert plot_bbox(grey(), BOXES, ax=ax) is ax
    assert len(ax.patches) == 3


def test_labels_stay_inside_the_image() -> None:
    ax = plot_bbox(
        grey(300, 400), [[10, 0, 90, 80], [150, 2, 300, 280], [50, 150, 90, 250]], labels=[0, 1, 2]
    )
    figure = ax.figure
    figure.canvas.draw()
    axis = ax.get_window_extent()
    for text in ax.texts:
        extent = text.get_window_extent()
        assert axis.y0 <= extent.y0 < extent.y1 <= axis.y1 + 1


def detections(*items: tuple[list[float], float, int]) -> Detections:
    return Detections(
        boxes=torch.tensor([box for box, _, _ in items]).reshape(-1, 4),
        scores=torch.tensor([score for _, score, _ in items]),
        labels=torch.tensor([label for _, _, label in items], dtype=torch.int64),
    )


def target(image_id: str, *items: tuple[list[float], int], size: tuple[int, int] = (30, 40)) -> Target:
    return Target(
        boxes=torch.tensor([box for box, _ in items]).reshape(-1, 4),
        labels=torch.tensor([label for _, label in items], dtype=torch.int64),
        difficult=torch.zeros(len(items), dtype=torch.bool),
        image_id=image_id,
        size=size,
    )


def test_predictions_beside_the_truth(tmp_path: Path) -> None:
    path = tmp_path / "predictions.png"
    plot_predictions(
        [grey(), grey(60, 20), grey()],
        [detections(([1.0, 2, 20, 25], 0.9, 0), ([3.0, 4, 8, 8], 0.1, 1)), detections(), detections()],
        [target("a", ([1.0, 2, 20, 26], 0)), target("b", ([2.0, 2, 9, 9], 1), size=(60, 20)), target("c")],
        ["cat", "dog"],
        path,
    )
    with_boxes = read(path)
    plot_predictions([grey()] * 3, [detections()] * 3, [target("a"), target("b"), target("c")], ["cat"], path)
    assert (with_boxes != cv2.imread(str(path))).any()


def test_curves(tmp_path: Path) -> None:
    table = tmp_path / "metrics.csv"
    rows = ["epoch,step,lr-SGD,train/loss,train/loss_cls,val/map_07,val/loss,test/map_07"]
    rows += [f"0,{step},0.0{step},{9 - step},{5 - step},,," for step in range(1, 5)]
    rows += ["0,4,,,,0.31,6.5,", "1,9,,,,nan,6.1,", "1,9,,,,,,0.4"]
    table.write_text("\n".join(rows))
    plot_curves(table, tmp_path / "curves.png")
    assert read(tmp_path / "curves.png").shape[1] > 1000


def test_losses_are_drawn_as_running_means_with_dots_of_the_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    rows = ["step,train/loss_box,val/loss_box,val/map,val/map_area"]
    rows += [f"{10 * i},{i * i + 1},,," for i in range(90)]  # a thirtieth of the run is three steps
    rows += ["900,,7,0.5,0.25"]
    (tmp_path / "metrics.csv").write_text("\n".join(rows))
    plot_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
    losses, mean_ap, _ = drawn[0].axes
    mean, raw, validation = (np.asarray(line.get_xydata()) for line in losses.lines)
    expected = [(10 * i, sum((i + d) ** 2 + 1 for d in (-1, 0, 1)) / 3) for i in range(1, 89)]
    np.testing.assert_allclose(mean, expected)
    assert len(raw) == 90
    assert validation.tolist() == [[900, 7]]
    assert [np.asarray(line.get_xydata()).tolist() for line in mean_ap.lines] == [[[900, 0.25]]]


@pytest.mark.parametrize("text", ["", "epoch,step\n", "epoch,step,train/loss\n0,1,2.5\n"])
def test_curves_of_a_run_that_logged_little(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.csv").write_text(text)
    plot_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
    image = cv2.imread(str(tmp_path / "curves.png"))
    assert image is not None
    assert image.std() > 5
