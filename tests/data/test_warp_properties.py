"""What holds for all views of an image: pixels and boxes are mirrored together and stay in their place."""

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.data.geometry import INTERPOLATIONS, Box, Warp

ALWAYS = settings(max_examples=60, derandomize=True, deadline=None, database=None)
sides = st.integers(1, 90)


@st.composite
def windows(draw: st.DrawFn) -> Box:
    left, top = draw(st.floats(-120, 80)), draw(st.floats(-120, 80))
    return left, top, left + draw(st.floats(2, 250)), top + draw(st.floats(2, 250))


@given(windows(), sides, sides, st.sampled_from([(30, 40), (64, 64)]), st.sampled_from(INTERPOLATIONS))
@ALWAYS
def test_pixels_and_boxes_are_mirrored_together(
    window: Box, height: int, width: int, size: tuple[int, int], interpolation: int
) -> None:
    image = np.random.default_rng(height * 100 + width).integers(0, 255, (height, width, 3), np.uint8)
    boxes = np.array([[0, 0, width, height], [width / 4, height / 4, width / 2, height / 2]])
    warp, mirrored = (Warp.of(window, (height, width), size, mirror) for mirror in (False, True))
    pixels, other = (one.render(image, size, (1, 2, 3), interpolation) for one in (warp, mirrored))
    assert pixels.shape == (*size, 3)
    np.testing.assert_array_equal(cv2.flip(pixels, 1), other)
    mapped, flipped = (one.map_boxes(boxes, size) for one in (warp, mirrored))
    np.testing.assert_allclose(
        flipped[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [size[1], 0, size[1], 0], mapped, atol=1e-6
    )
    assert (mapped[:, 2:] > mapped[:, :2]).all()


@given(windows(), sides, sides)
@ALWAYS
def test_the_fill_is_where_the_image_is_not(window: Box, height: int, width: int) -> None:
    size, white = (40, 30), np.full((height, width, 3), 255, np.uint8)
    warp = Warp.of(window, (height, width), size)
    pixels = warp.render(white, size, (0, 0, 0), cv2.INTER_LINEAR)
    x1, y1, x2, y2 = warp.map_boxes(np.array([[0, 0, width, height]]), size)[0].clip(0, [30, 40, 30, 40])
    inside = np.zeros(size, np.uint8)
    inside[round(y1) : max(round(y2), round(y1) + 1), round(x1) : max(round(x2), round(x1) + 1)] = 255
    around = np.ones((3, 3), np.uint8)
    certain, possible = cv2.erode(inside, around), cv2.dilate(inside, around)  # but for a pixel at each side
    assert (pixels[..., 0] >= certain).all()
    assert (pixels[..., 0] <= possible).all()


@given(windows(), st.integers(1, 40), st.integers(1, 40), st.sampled_from([2, 3]))
@ALWAYS
def test_boxes_do_not_depend_on_the_scale_of_the_image(
    window: Box, height: int, width: int, times: int
) -> None:
    """Up to the pixel of the image, and of the output, to which a window moves."""
    size = (40, 30)
    box = np.array([[0, 0, width, height]])
    mapped = Warp.of(window, (height, width), size).map_boxes(box, size)
    x1, y1, x2, y2 = (times * side for side in window)
    larger = Warp.of((x1, y1, x2, y2), (times * height, times * width), size).map_boxes(box * times, size)
    per_pixel = np.array([30 / (window[2] - window[0]), 40 / (window[3] - window[1])])
    visible = np.array([30, 40, 30, 40])
    difference = np.abs(mapped[0].clip(0, visible) - larger[0].clip(0, visible))
    assert (difference <= np.tile(2 * per_pixel + 1, 2)).all()
