"""SSD's fused geometry against its four steps done one after the other, and the rules of its crops."""

import random
from typing import Any, NamedTuple

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision.ops import box_iou

from detection.data import geometry
from detection.data.geometry import MIN_IOUS, Box, SSDGeometry, Warp, sample_crop, sample_expansion

Image = NDArray[np.uint8]
Boxes = NDArray[np.float32]

FILL = (124, 116, 104)
# One grey level from rounding the source position to 1/32 pixel, one from rounding the value.
LINEAR_ERROR = 2


def smooth_image(height: int, width: int, seed: int) -> Image:
    """Colourful blobs about 24 pixels wide: interpolation barely matters, misplacement does."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (max(2, height // 24), max(2, width // 24), 3), dtype=np.uint8)
    large = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.GaussianBlur(large, (0, 0), 6), dtype=np.uint8)


def random_boxes(height: int, width: int, count: int, rng: random.Random) -> Boxes:
    boxes = []
    for _ in range(count):
        x1, y1 = rng.uniform(0, width - 2), rng.uniform(0, height - 2)
        boxes.append((x1, y1, rng.uniform(x1 + 1, width), rng.uniform(y1 + 1, height)))
    return np.array(boxes, dtype=np.float32).reshape(-1, 4)


def tuples(boxes: Boxes) -> list[Box]:
    return [(float(a), float(b), float(c), float(d)) for a, b, c, d in boxes]


class Window(NamedTuple):
    """What the steps below go through: a window of whole pixels of the plane, and a mirror bit."""

    box: Box
    mirror: bool


def random_window(height: int, width: int, rng: random.Random) -> Window:
    """At times expanded, cropped, mirrored."""
    box: Box = (0, 0, width, height)
    if rng.random() < 0.5:
        box = sample_expansion(height, width, 4, rng)
    if rng.random() < 0.8:
        box = sample_crop(box, [], rng)
    left, top, right, bottom = (float(round(value)) for value in box)
    return Window((left, top, right, bottom), mirror=rng.random() < 0.5)


def expand_and_crop(image: Image, window: Window) -> Image:
    """Put the image on a filled canvas that holds the window, and cut the window out."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (int(value) for value in window.box)
    left, top = max(0, -x1), max(0, -y1)
    right, bottom = max(0, x2 - width), max(0, y2 - height)
    canvas = np.empty((top + height + bottom, left + width + right, 3), dtype=np.uint8)
    canvas[:] = FILL
    canvas[top : top + height, left : left + width] = image
    return canvas[y1 + top : y2 + top, x1 + left : x2 + left]


def resize_and_flip(image: Image, window: Window, size: tuple[int, int], interpolation: int) -> Image:
    resized = cv2.resize(image, size[::-1], interpolation=interpolation)
    return np.asarray(resized[:, ::-1] if window.mirror else resized, dtype=np.uint8)


def fused(image: Image, window: Window, size: tuple[int, int], interpolation: int) -> NDArray[np.int64]:
    warp = Warp.of(window.box, image.shape[:2], size, window.mirror)
    return warp.render(image, size, FILL, interpolation).astype(int)


def warped(image: Image, warp: Warp, size: tuple[int, int], interpolation: int) -> Image:
    """The same pixels by an affine warp, which knows of no rectangles."""
    (x1, y1, x2, y2), (left, top, right, bottom) = warp.source, warp.target
    ax, ay = (right - left) / (x2 - x1), (bottom - top) / (y2 - y1)
    bx, by = left - x1 * ax, top - y1 * ay
    if warp.mirror:
        ax, bx = -ax, size[1] - bx
    # Box coordinates run along pixel edges, OpenCV's along pixel centres: half a pixel apart.
    matrix = np.array([[ax, 0, bx + 0.5 * ax - 0.5], [0, ay, by + 0.5 * ay - 0.5]])
    out = cv2.warpAffine(image, matrix, size[::-1], flags=interpolation, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, dtype=np.uint8)


def boxes_step_by_step(boxes: Boxes, window: Window, size: tuple[int, int]) -> NDArray[np.float64]:
    """The same four steps for boxes, one corner after the other."""
    x1, y1, x2, y2 = window.box
    out = []
    for left, top, right, bottom in boxes.astype(np.float64):
        left, right = (left - x1) * size[1] / (x2 - x1), (right - x1) * size[1] / (x2 - x1)
        top, bottom = (top - y1) * size[0] / (y2 - y1), (bottom - y1) * size[0] / (y2 - y1)
        if window.mirror:
            left, right = size[1] - right, size[1] - left
        out.append((left, top, right, bottom))
    return np.array(out).reshape(-1, 4)


def shrinkage(window: Window, size: tuple[int, int]) -> tuple[float, float]:
    """How many pixels of the input go into one of the output, in height and in width."""
    x1, y1, x2, y2 = window.box
    return (y2 - y1) / size[0], (x2 - x1) / size[1]


def is_inside(window: Window, height: int, width: int) -> bool:
    x1, y1, x2, y2 = window.box
    return x1 >= 0 and y1 >= 0 and x2 <= width and y2 <= height


def windows(count: int, seed: int) -> list[tuple[Image, Window, tuple[int, int]]]:
    rng = random.Random(seed)
    drawn = []
    for number in range(count):
        height, width = rng.randint(60, 300), rng.randint(60, 300)
        size = (rng.randint(40, 256), rng.randint(40, 256))
        drawn.append((smooth_image(height, width, number), random_window(height, width, rng), size))
    return drawn


def test_one_resize_is_the_four_steps_when_it_does_not_shrink_much() -> None:
    inside = 0
    for image, window, size in windows(300, seed=0):
        if max(shrinkage(window, size)) >= 2:
            continue
        steps = resize_and_flip(expand_and_crop(image, window), window, size, cv2.INTER_LINEAR).astype(int)
        error = np.abs(fused(image, window, size, cv2.INTER_LINEAR) - steps)
        if is_inside(window, *image.shape[:2]):
            inside += 1
            assert error.max() == 0
        else:
            # The edge of an expanded image moves to a whole pixel, by at most half of one.
            assert np.median(error) <= LINEAR_ERROR
            assert error.mean() < 4
    assert inside > 50


@pytest.mark.parametrize(
    "interpolation", [cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4]
)
def test_all_interpolations_agree_with_a_warp(interpolation: int) -> None:
    # Where the nearest pixel is nearly a tie, the two may choose different neighbours of the smooth image.
    bound = 12 if interpolation == cv2.INTER_NEAREST else LINEAR_ERROR + 1
    compared = 0
    for image, window, size in windows(120, seed=1):
        warp = Warp.of(window.box, image.shape[:2], size, window.mirror)
        if max(shrinkage(window, size)) >= 1.5:
            continue
        compared += 1
        left, top, right, bottom = warp.target
        rows, columns = slice(top, bottom), slice(left, right)
        if warp.mirror:
            columns = slice(size[1] - right, size[1] - left)
        one = warp.render(image, size, FILL, interpolation)[rows, columns].astype(int)
        other = warped(image, warp, size, interpolation)[rows, columns].astype(int)
        assert np.abs(one - other).mean() < 1.5
        assert np.percentile(np.abs(one - other), 98) <= bound
    assert compared > 30


def test_strong_shrinking_is_close_to_averaging_areas() -> None:
    compared = 0
    for image, window, size in windows(300, seed=2):
        if min(shrinkage(window, size)) < 1 or max(shrinkage(window, size)) < 2:
            continue
        compared += 1
        steps = resize_and_flip(expand_and_crop(image, window), window, size, cv2.INTER_AREA).astype(int)
        error = np.abs(fused(image, window, size, cv2.INTER_LINEAR) - steps)
        # Pixels on the edge between image and fill mix the two in different parts; the rest hardly differs.
        assert error.mean() < 6
        assert np.median(error) <= LINEAR_ERROR + 1
    assert compared > 50


@pytest.mark.parametrize("window", [(0, 0, 400, 400), (0, 0, 400, 100), (0, 0, 100, 400)])
def test_no_aliasing_when_one_side_or_both_shrink(window: Box) -> None:
    noise = np.random.default_rng(0).integers(0, 2, (400, 400, 1), dtype=np.uint8) * np.uint8(255)
    shrunk = fused(np.repeat(noise, 3, axis=2), Window(window, False), (50, 50), cv2.INTER_NEAREST)
    averaged = cv2.resize(noise[: int(window[3]), : int(window[2])], (50, 50), interpolation=cv2.INTER_AREA)
    # Black and white noise deviates by 127; an average over n pixels by 127 / sqrt(n).
    assert shrunk.std() == pytest.approx(averaged.std(), rel=0.1)


def test_fill_does_not_bleed_into_an_image_without_expansion() -> None:
    white = np.full((20, 20, 3), 255, dtype=np.uint8)
    for interpolation in (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4):
        warp = Warp.of((0, 0, 20, 20), (20, 20), (64, 64))
        assert warp.render(white, (64, 64), (0, 0, 0), interpolation).min() == 255


def test_fill_surrounds_an_expanded_image() -> None:
    white = np.full((20, 20, 3), 255, dtype=np.uint8)
    out = fused(white, Window((-20, -10, 40, 50), False), (60, 60), cv2.INTER_NEAREST)
    assert (out[10:30, 20:40] == 255).all()
    out[10:30, 20:40] = FILL
    assert (out == np.array(FILL)).all()


def test_an_identical_view_changes_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    for interpolation in (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4):
        for mirror, expected in ((False, image), (True, image[:, ::-1])):
            out = fused(image, Window((0, 0, 53, 37), mirror), (37, 53), interpolation)
            assert (out == expected).all()


def test_boxes_are_mapped_as_by_the_steps() -> None:
    rng = random.Random(3)
    for _ in range(200):
        height, width, size = rng.randint(30, 600), rng.randint(30, 600), (rng.randint(30, 600), 300)
        window, boxes = random_window(height, width, rng), random_boxes(height, width, 5, rng)
        expected = boxes_step_by_step(boxes, window, size)
        mapped = Warp.of(window.box, (height, width), size, window.mirror).map_boxes(boxes, size)
        inside = is_inside(window, height, width) and max(shrinkage(window, size)) < 2
        # Exactly, or as the pixels move: at most half a pixel at the edges of the image, one for lost blocks.
        seen = ((boxes[:, :2] < window.box[2:]) & (boxes[:, 2:] > window.box[:2])).all(axis=1)
        near = expected.clip(0, [size[1], size[0]] * 2), mapped.clip(0, [size[1], size[0]] * 2)
        np.testing.assert_allclose(near[0][seen], near[1][seen], atol=1e-9 if inside else 2)


def test_pixels_of_the_source_become_those_of_the_target() -> None:
    rng = random.Random(5)
    for _ in range(200):
        height, width, size = rng.randint(1, 600), rng.randint(1, 600), (rng.randint(1, 600), 300)
        box, mirror = random_window(height, width, rng)
        if box[2] <= box[0] or box[3] <= box[1]:
            continue
        warp = Warp.of(box, (height, width), size, mirror)
        left, top, right, bottom = warp.target
        expected = (size[1] - right, top, size[1] - left, bottom) if mirror else warp.target
        np.testing.assert_allclose(warp.map_boxes(np.array([warp.source]), size), [expected], atol=1e-9)
        for (x1, y1, x2, y2), (rows, columns) in ((warp.source, (height, width)), (warp.target, size)):
            assert 0 <= x1 < x2 <= columns
            assert 0 <= y1 < y2 <= rows


def test_mirrored_boxes_by_hand() -> None:
    boxes = np.array([[2, 3, 12, 9], [0, 0, 50, 40]], dtype=np.float32)
    warp = Warp.of((0, 0, 50, 40), (40, 50), (40, 50), mirror=True)
    assert warp.map_boxes(boxes, (40, 50)).tolist() == [[38, 3, 48, 9], [0, 0, 50, 40]]
    assert boxes.tolist() == [[2, 3, 12, 9], [0, 0, 50, 40]]


@pytest.mark.parametrize("mirror", [False, True])
def test_boxes_stay_on_their_pixels(mirror: bool) -> None:
    for seed in range(50):
        rng = random.Random(seed)
        x1, y1 = rng.randint(30, 100), rng.randint(30, 100)
        image = np.zeros((160, 160, 3), dtype=np.uint8)
        image[y1 : y1 + 40, x1 : x1 + 30] = 255
        window = (-rng.uniform(0, 100), -rng.uniform(0, 100), 160 + rng.uniform(0, 300), 200)
        warp = Warp.of(window, (160, 160), (300, 300), mirror)
        out = warp.render(image, (300, 300), (0, 0, 0), cv2.INTER_LINEAR)
        rows, columns = np.nonzero(out[..., 0] > 127)
        found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        expected = warp.map_boxes(np.array([[x1, y1, x1 + 30, y1 + 40]], dtype=np.float32), (300, 300))[0]
        assert np.abs(found - expected).max() <= 1  # the edge lies somewhere within its pixel


def test_an_expanded_canvas_holds_the_image() -> None:
    rng = random.Random(0)
    ratios = []
    for _ in range(500):
        left, top, right, bottom = sample_expansion(40, 60, 4.0, rng)
        assert left <= 0
        assert top <= 0
        assert right >= 60 - 1e-9
        assert bottom >= 40 - 1e-9
        assert (right - left) / (bottom - top) == pytest.approx(1.5)
        ratios.append((right - left) / 60)
    assert 1 <= min(ratios) < 1.1
    assert 3.9 < max(ratios) <= 4


@pytest.mark.parametrize("rule", MIN_IOUS)
def test_crops_obey_their_rule(rule: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "MIN_IOUS", (rule,))
    rng = random.Random(0)
    canvas = (-5.0, 10.0, 155.0, 130.0)
    cropped = 0
    for _ in range(200):
        # Boxes that overlap each other and most of the canvas, so that the strict rules find crops as well.
        boxes = np.array([[-5, 10, 150, 125]] * rng.randint(1, 3), dtype=np.float32)
        boxes += random_boxes(5, 5, len(boxes), rng)
        crop = sample_crop(canvas, tuples(boxes), rng)
        if crop == canvas:
            continue
        cropped += 1
        assert canvas[0] <= crop[0] < crop[2] <= canvas[2] + 1e-9
        assert canvas[1] <= crop[1] < crop[3] <= canvas[3] + 1e-9
        side_x, side_y = (crop[2] - crop[0]) / 160, (crop[3] - crop[1]) / 120
        assert 0.5 - 1e-9 <= side_x / side_y <= 2 + 1e-9
        assert 0.3 - 1e-9 <= (side_x * side_y) ** 0.5 <= 1 + 1e-9
        ious = box_iou(torch.from_numpy(boxes).double(), torch.tensor([crop], dtype=torch.float64))
        assert float(ious.min()) >= (rule or 0) - 1e-5
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        assert ((centres > crop[:2]) & (centres < crop[2:])).all(axis=1).any()
    assert cropped > 50


def test_sparing_hopeless_trials_does_not_change_what_is_drawn() -> None:
    def draw_patiently(canvas: Box, boxes: list[Box], rng: random.Random) -> Box:
        rules = [None, 0.0, *MIN_IOUS[:-1]]
        rng.shuffle(rules)
        ours = torch.tensor(boxes, dtype=torch.float64)
        for rule in rules:
            if rule is None:
                return canvas
            crops = [geometry._sample_window(canvas, rng) for _ in range(50)]
            enough = (box_iou(torch.tensor(crops, dtype=torch.float64), ours) >= rule).all(dim=1)
            for crop, good in zip(crops, enough.tolist(), strict=True):
                if good and any(geometry._has_centre(crop, box) for box in boxes):
                    return crop
        return canvas

    # Small objects on a large canvas, of which the strict rules find no crop.
    canvas, boxes = (-300.0, -200.0, 700.0, 550.0), [(50.0, 60.0, 250.0, 300.0), (300.0, 100.0, 420.0, 250.0)]
    drawn = []
    for draw in (sample_crop, draw_patiently):
        rng = random.Random(0)
        crops = np.array([draw(canvas, boxes, rng) for _ in range(1500)])
        areas = (crops[:, 2:] - crops[:, :2]).prod(axis=1) / (1000 * 750)
        drawn.append(
            [(crops == canvas).all(axis=1).mean(), areas.mean(), areas.std(), crops[:, 0].mean() / 1000]
        )
    np.testing.assert_allclose(drawn[0], drawn[1], atol=0.035)


def test_the_whole_canvas_is_an_outcome_of_its_own() -> None:
    canvas, boxes = (0.0, 0.0, 500.0, 375.0), [(50.0, 60.0, 250.0, 300.0), (200.0, 100.0, 450.0, 350.0)]
    rng = random.Random(0)
    whole = sum(sample_crop(canvas, boxes, rng) == canvas for _ in range(600)) / 600
    # One of seven if every rule finds a crop, more when the strict ones fail; GluonCV's rules give about 0.3.
    assert 1 / 7 < whole < 0.5


def test_impossible_rules_leave_the_canvas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "MIN_IOUS", (0.9,))
    corners = [(0.0, 0.0, 5.0, 5.0), (90.0, 90.0, 100.0, 100.0)]
    canvas = (0.0, 0.0, 100.0, 100.0)
    assert {sample_crop(canvas, corners, random.Random(seed)) for seed in range(20)} == {canvas}


def test_images_without_objects_are_always_cropped() -> None:
    rng = random.Random(0)
    crops = [sample_crop((0.0, 0.0, 100.0, 50.0), [], rng) for _ in range(100)]
    assert len(set(crops)) == 100
    assert all(crop[2] <= 100 + 1e-9 and crop[3] <= 50 + 1e-9 for crop in crops)


def transform(boxes: Boxes, size: tuple[int, int] = (100, 100), **options: Any) -> Any:
    """Run the transform in a pipeline, as it is used; labels are 0, 1, 2 ... in the order of the boxes."""
    pipeline = A.Compose(
        [SSDGeometry(size, FILL, **options)],
        bbox_params=A.BboxParams(format="pascal_voc", label_fields=["labels", "difficult"]),
        seed=0,
    )
    image = np.zeros((100, 200, 3), dtype=np.uint8)
    numbers = np.arange(len(boxes))
    return pipeline(image=image, bboxes=boxes, labels=numbers, difficult=numbers % 2 == 1)


def fixed_view(monkeypatch: pytest.MonkeyPatch, window: Box) -> None:
    monkeypatch.setattr(geometry, "sample_crop", lambda *_: window)


def test_boxes_centred_outside_go_with_all_their_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed_view(monkeypatch, (50.0, 0.0, 150.0, 100.0))
    boxes = np.array(
        [
            [0, 10, 60, 50],  # centre left of the window
            [30, 10, 80, 50],  # centre inside, cut at the left
            [60, 20, 90, 70],  # wholly inside
            [120, 10, 190, 50],  # centre right of the window
            [100, 10, 180, 100],  # centre inside, cut at the right
        ],
        dtype=np.float32,
    )
    out = transform(boxes, expand_probability=0.0, flip_probability=0.0)
    assert list(out["labels"]) == [1, 2, 4]
    assert list(out["difficult"]) == [True, False, False]
    expected = [[0, 10, 30, 50], [10, 20, 40, 70], [50, 10, 100, 100]]
    np.testing.assert_allclose(out["bboxes"], expected, atol=1e-4)


def test_no_augmentation_is_a_plain_resize() -> None:
    boxes = np.array([[20, 10, 100, 60]], dtype=np.float32)
    out = transform(boxes, (50, 400), expand_probability=0.0, crop=False, flip_probability=0.0)
    np.testing.assert_allclose(out["bboxes"], [[40, 5, 200, 30]], atol=1e-4)
    assert out["image"].shape == (50, 400, 3)


def test_certain_flip() -> None:
    boxes = np.array([[20, 10, 100, 60]], dtype=np.float32)
    out = transform(boxes, (100, 200), expand_probability=0.0, crop=False, flip_probability=1.0)
    np.testing.assert_allclose(out["bboxes"], [[100, 10, 180, 60]], atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 50), (50, 1), (3, 900), (900, 2)])
def test_extreme_images(height: int, width: int) -> None:
    image = np.full((height, width, 3), 200, dtype=np.uint8)
    boxes = np.array([[0, 0, width, height]], dtype=np.float32)
    pipeline = A.Compose(
        [SSDGeometry((64, 64), FILL)],
        bbox_params=A.BboxParams(format="pascal_voc", label_fields=["labels"], clip=True),
    )
    for seed in range(30):
        pipeline.set_random_seed(seed)
        out = pipeline(image=image, bboxes=boxes, labels=[7])
        assert out["image"].shape == (64, 64, 3)
        assert len(out["bboxes"]) == len(out["labels"])
        assert np.asarray(out["bboxes"]).size == 0 or np.isfinite(out["bboxes"]).all()
