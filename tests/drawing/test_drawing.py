"""What is painted into an image."""

from typing import Any

import numpy as np
import pytest
import torch

from detection.drawing.colours import OUTCOME_COLOURS, class_colour, in_numbers
from detection.drawing.painter import draw_detections
from detection.types import Detections

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
NAMES = ["cat", "a class with quite a long name", "dog"]


def detections(*items: tuple[list[float], float, int]) -> Detections:
    return Detections(
        boxes=torch.tensor([box for box, _, _ in items]).reshape(-1, 4),
        scores=torch.tensor([score for _, score, _ in items]),
        labels=torch.tensor([label for _, _, label in items], dtype=torch.int64),
    )


def changed(height: int, width: int, *items: tuple[list[float], float, int]) -> Pixels:
    """A mask of the pixels that were painted."""
    image = np.full((height, width, 3), 90, np.uint8)
    drawn = draw_detections(image, detections(*items), NAMES)
    assert drawn.shape == image.shape
    assert (image == 90).all(), "the image itself was painted"
    return np.asarray((drawn != 90).any(axis=2), dtype=np.uint8)


def extent(mask: Pixels) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def test_nothing_found_changes_nothing() -> None:
    assert not changed(50, 60).any()


def test_the_outline_is_where_the_box_is() -> None:
    mask = changed(400, 400, ([100.0, 150, 300, 350], 0.9, 0))
    assert mask[349, 100:300].all()
    assert mask[150:350, 100].all()
    assert mask[150:350, 299].all()
    assert not mask[170:340, 120:280].any(), "the object itself stays visible"
    assert extent(mask)[0] == 99, "with its rim"
    assert extent(mask)[2:] == (300, 350)


@pytest.mark.parametrize("size", [(100, 100), (60, 150), (400, 300), (3000, 4000)])
@pytest.mark.parametrize("box", [(0, 0, 1, 1), (0.9, 0, 1, 0.3), (0.9, 0.95, 1, 1), (0.4, 0.4, 0.42, 0.42)])
def test_a_whole_label_is_inside_the_image(
    size: tuple[int, int], box: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[float, ...]] = []
    from PIL import ImageDraw

    real = ImageDraw.ImageDraw.text

    def text(self: ImageDraw.ImageDraw, position: tuple[float, float], content: str, **options: Any) -> None:
        drawn.append(self.textbbox(position, content, font=options["font"]))
        real(self, position, content, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    height, width = size
    scaled = [box[0] * width, box[1] * height, box[2] * width, box[3] * height]
    changed(height, width, (scaled, 0.5, 0))
    (left, top, right, bottom) = drawn[0]
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


def test_lines_and_letters_grow_with_the_image() -> None:
    heights = []
    for scale in (1, 10):
        mask = changed(
            400 * scale, 400 * scale, ([100.0 * scale, 200 * scale, 390 * scale, 300 * scale], 0.9, 0)
        )
        heights.append(200 * scale - extent(mask)[1])
        assert mask[250 * scale, 100 * scale : 110 * scale].sum() == (2 if scale == 1 else 20)
    assert 8 < heights[1] / heights[0] < 12


def test_letters_stand_out_from_every_colour() -> None:
    for label in range(20):
        image = np.full((60, 200, 3), 90, np.uint8)
        names = ["M" * 5] * 20
        drawn = draw_detections(image, detections(([10.0, 40, 190, 55], 1.0, label)), names)
        label_area = drawn[30:38, 12:60].reshape(-1, 3) @ np.array([0.299, 0.587, 0.114])
        assert np.ptp(label_area) > 95, f"colour {label}"


def test_the_number_of_a_followed_object_stands_in_its_label() -> None:
    image = np.full((300, 400, 3), 90, np.uint8)
    found = detections(([50.0, 60, 350, 250], 0.9, 0))
    named = draw_detections(image, detections(([50.0, 60, 350, 250], 0.9, 0)), ["cat #12"])
    assert (draw_detections(image, {**found, "tracks": torch.tensor([12])}, NAMES) == named).all()


def test_classes_are_told_apart() -> None:
    colours = np.array([class_colour(label) for label in range(20)])
    distances = np.abs(colours[:, None] - colours[None]).sum(axis=2) + np.eye(20)
    assert distances.min() > 0.2, "of any two of VOC"
    assert min(distances[i, i + 1] for i in range(19)) > 0.6, "of neighbours"


def test_classes_have_their_own_colours_and_the_best_is_on_top() -> None:
    image = np.full((300, 300, 3), 90, np.uint8)
    box = [50.0, 100, 250, 250]
    both = draw_detections(image, detections((box, 0.9, 0), (box, 0.6, 2)), NAMES)
    first = draw_detections(image, detections((box, 0.9, 0)), NAMES)
    second = draw_detections(image, detections((box, 0.6, 2)), NAMES)
    assert (both[249, 60:200] == first[249, 60:200]).all()
    assert (first[249, 60:200] == np.round(255 * np.array(class_colour(0)))).all()
    assert (second[249, 60:200] == np.round(255 * np.array(class_colour(2)))).all()


def test_colours_are_those_of_matplotlib() -> None:
    from matplotlib.colors import hsv_to_rgb, to_rgb

    assert all(
        in_numbers(colour) == to_rgb(colour) for colour in (*OUTCOME_COLOURS.values(), "black", "white")
    )
    for label in range(300):
        hsv = ((0.58 + 0.618034 * label) % 1, *((0.8, 1.0), (0.95, 0.75), (0.5, 1.0))[label % 3])
        assert class_colour(label) == tuple(hsv_to_rgb(hsv).tolist())
