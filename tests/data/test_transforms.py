"""The transforms as the datasets call them: types, alignment, determinism and borders."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from detection.data.chain import Resize
from detection.data.transforms import (
    DetectionTransform,
    Transformed,
    exactly,
    faster_rcnn_eval_transform,
    faster_rcnn_train_transform,
    short_side,
    ssd_eval_transform,
    ssd_train_transform,
)
from detection.reader import short_side_size

Image = NDArray[np.uint8]
Boxes = NDArray[np.float32]


def random_image(height: int = 60, width: int = 80) -> Image:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def run(transform: DetectionTransform, boxes: object, image: Image | None = None) -> Transformed:
    """Labels are 0, 1, 2 ... in the order of the boxes; odd ones are difficult."""
    array = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    numbers = np.arange(len(array))
    return transform(random_image() if image is None else image, array, numbers, numbers % 2 == 1)


def types(out: Transformed) -> list[str]:
    return [str(values.dtype) for values in (out.boxes, out.labels, out.difficult)]


def all_transforms() -> list[DetectionTransform]:
    return [
        ssd_train_transform(64),
        ssd_eval_transform(64),
        faster_rcnn_train_transform([48, 64]),
        faster_rcnn_eval_transform([48, 64]),
    ]


@pytest.mark.parametrize(
    ("size", "expected"), [(64, (3, 64, 64)), ((32, 96), (3, 32, 96)), ([40, 24], (3, 40, 24))]
)
def test_ssd_image_is_uint8_channels_first_at_the_size(
    size: int | list[int] | tuple[int, int], expected: tuple[int, int, int]
) -> None:
    for transform in (ssd_train_transform(size), ssd_eval_transform(size)):
        image = run(transform, [[5, 5, 40, 40]]).image
        assert str(image.dtype) == "torch.uint8"
        assert image.shape == expected
        assert image.is_contiguous()


def test_eval_is_a_resize_and_nothing_else() -> None:
    image = random_image(60, 80)
    out = run(ssd_eval_transform((30, 160)), [[8, 6, 40, 60], [0, 0, 80, 30]], image)
    expected = cv2.resize(image, (160, 30), interpolation=cv2.INTER_LINEAR)
    assert (out.image.permute(1, 2, 0).numpy() == expected).all()
    np.testing.assert_allclose(out.boxes, [[16, 3, 80, 30], [0, 0, 160, 15]], atol=1e-3)
    assert out.labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("size", "interpolation"),
    [((30, 40), cv2.INTER_AREA), ((90, 120), cv2.INTER_CUBIC), ((30, 120), cv2.INTER_LINEAR)],
)
def test_resize_picks_the_interpolation(size: tuple[int, int], interpolation: int) -> None:
    expected = cv2.resize(random_image(), size[::-1], interpolation=interpolation)
    assert (exactly(size)(image=random_image(), bboxes=np.zeros((0, 4)))["image"] == expected).all()


@pytest.mark.parametrize(("height", "width"), [(200, 1280), (299, 1000), (100, 4000)])
def test_a_side_that_shrinks_much_is_averaged_where_the_other_grows(height: int, width: int) -> None:
    stripes = np.zeros((height, width, 3), np.uint8)
    stripes[:, ::2] = 255  # a pixel wide: averages are grey
    for image in (stripes, stripes.transpose(1, 0, 2).copy()):
        resized = exactly((300, 300))(image=image, bboxes=np.zeros((0, 4)))["image"]
        assert resized.shape == (300, 300, 3)
        assert np.abs(resized.astype(int) - 127).max() <= 45


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((375, 500), (600, 800)),
        ((500, 375), (800, 600)),
        ((200, 500), (400, 1000)),  # the long side is the limit
        ((600, 1000), (600, 1000)),
        ((333, 500), (600, 901)),
        ((1, 4000), (1, 1000)),  # never 0
    ],
)
def test_short_side_sizes(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert short_side_size(size, 600, 1000) == expected


def test_faster_rcnn_resizes_boxes_with_the_image() -> None:
    out = run(faster_rcnn_eval_transform([120, 400]), [[8, 6, 40, 60]])
    assert out.image.shape == (3, 120, 160)
    np.testing.assert_allclose(out.boxes, [[16, 12, 80, 120]], atol=1e-3)
    flipped = run(faster_rcnn_train_transform([120, 400], flip_probability=1), [[8, 6, 40, 60]])
    np.testing.assert_allclose(flipped.boxes, [[80, 12, 144, 120]], atol=1e-3)


def outcomes(transform: DetectionTransform, seeds: range) -> list[tuple[bytes, bytes]]:
    results = []
    for seed in seeds:
        transform.seed(seed)
        out = run(transform, [[5, 5, 40, 40], [30, 20, 70, 55]])
        results.append((out.image.numpy().tobytes(), out.boxes.tobytes()))
    return results


def test_a_seed_fixes_everything_and_another_changes_it() -> None:
    transform = ssd_train_transform(32)
    first = outcomes(transform, range(20))
    assert outcomes(transform, range(20)) == first
    assert outcomes(ssd_train_transform(32), range(20)) == first
    assert len({image for image, _ in first}) == 20


def test_colour_does_not_depend_on_geometry() -> None:
    """Seeded as the library does it, images would grow brighter exactly when they are expanded."""
    transform = ssd_train_transform(32, crop=False, flip_probability=0)
    grey = np.full((60, 80, 3), 128, dtype=np.uint8)
    recoloured: dict[bool, list[bool]] = {True: [], False: []}
    for seed in range(400):
        transform.seed(seed)
        out = run(transform, [[0, 0, 80, 60]], grey)
        x1, y1, x2, y2 = out.boxes[0]
        centre = out.image[:, int((y1 + y2) / 2), int((x1 + x2) / 2)]
        recoloured[bool(x2 - x1 < 31)].append(bool((centre.int() - 128).abs().max() > 1))
    # Brightness or contrast: three of four, whether expanded or not.
    assert np.mean(recoloured[True]) == pytest.approx(0.75, abs=0.1)
    assert np.mean(recoloured[False]) == pytest.approx(0.75, abs=0.1)


@pytest.mark.parametrize("number", range(4))
def test_no_objects_keep_types_and_shapes(number: int) -> None:
    transform = all_transforms()[number]
    for seed in range(10):
        transform.seed(seed)
        out = run(transform, [])
        assert out.boxes.shape == (0, 4)
        assert (out.labels.shape, out.difficult.shape) == ((0,), (0,))
        assert types(out) == ["float32", "int64", "bool"]


def test_all_objects_lost_keeps_types_and_shapes() -> None:
    out = run(ssd_train_transform(16, crop=False, expand_probability=0), [[5, 5, 6, 6]])
    assert out.boxes.shape == (0, 4)
    assert (out.labels.shape, out.difficult.shape) == ((0,), (0,))
    assert types(out) == ["float32", "int64", "bool"]


@pytest.mark.parametrize("number", range(4))
def test_fields_stay_aligned_and_typed(number: int) -> None:
    transform = [ssd_train_transform(64, photometric=False), *all_transforms()[1:]][number]
    colours = np.array([[250, 10, 10], [10, 250, 10], [10, 10, 250], [250, 250, 10]], dtype=np.uint8)
    boxes = [[2, 2, 38, 28], [42, 2, 78, 28], [2, 32, 38, 58], [42, 32, 78, 58]]
    image = np.zeros((60, 80, 3), dtype=np.uint8)
    for (x1, y1, x2, y2), colour in zip(boxes, colours, strict=True):
        image[y1:y2, x1:x2] = colour
    seen = 0
    for seed in range(40):
        transform.seed(seed)
        out = run(transform, boxes, image)
        assert types(out) == ["float32", "int64", "bool"]
        assert (out.difficult == (out.labels % 2 == 1)).all()
        for box, label in zip(out.boxes, out.labels, strict=True):
            x, y = ((box[:2] + box[2:]) / 2).astype(int)
            pixel = out.image[:, y, x].numpy().astype(int)
            assert np.abs(colours.astype(int) - pixel).sum(axis=1).argmin() == label
            seen += 1
    assert seen > 40


def test_training_drops_what_is_too_small_to_learn_with_all_its_fields() -> None:
    # At half size: 0.5 x 20, 20 x 0.5, 1 x 1, 0.9 x 0.9 and 20 x 20 pixels.
    boxes = [[5, 5, 6, 45], [5, 5, 45, 6], [10, 10, 12, 12], [20, 20, 21.8, 21.8], [10, 10, 50, 50]]
    plain = ssd_train_transform((30, 40), expand_probability=0, crop=False, flip_probability=0)
    out = run(plain, boxes)
    assert out.labels.tolist() == [2, 4]
    assert out.difficult.tolist() == [False, False]
    np.testing.assert_allclose(out.boxes, [[5, 5, 6, 6], [5, 5, 25, 25]], atol=1e-3)


def test_evaluation_keeps_the_smallest_objects() -> None:
    boxes = [[5, 5, 6, 45], [10, 10, 10.5, 10.5], [10, 10, 50, 50]]
    for transform in (ssd_eval_transform(8), faster_rcnn_eval_transform([6, 8])):
        assert run(transform, boxes).labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize("number", range(4))
def test_boxes_on_the_border_never_raise(number: int) -> None:
    transform = all_transforms()[number]
    hair = 1e-4
    boxes = [
        [0, 0, 80, 60],
        [-hair, -hair, 80 + hair, 60 + hair],
        [0, 0, 1, 1],
        [79, 59, 80 + hair, 60 + hair],
        [0, 0, 80, 1],
        [-hair, 10, 5, 20],
    ]
    for seed in range(60):
        transform.seed(seed)
        out = run(transform, boxes)
        height, width = out.image.shape[1:]
        assert (out.boxes >= 0).all()
        assert (out.boxes <= np.array([width, height, width, height])).all()
        assert (out.boxes[:, 2:] > out.boxes[:, :2]).all()


def test_a_grey_fill_can_be_chosen() -> None:
    transform = ssd_train_transform(
        64, fill=(1, 2, 3), photometric=False, expand_probability=1, crop=False, flip_probability=0
    )
    transform.seed(0)
    out = run(transform, [[0, 0, 80, 60]], np.full((60, 80, 3), 255, dtype=np.uint8))
    x1, y1, x2, y2 = np.round(out.boxes[0]).astype(int)
    assert 10 < x2 - x1 < 60
    filled = (out.image.permute(1, 2, 0).numpy() == [1, 2, 3]).all(axis=-1)
    assert filled[: max(0, y1 - 3)].all()
    assert filled[y2 + 3 :].all()
    assert not filled[y1 + 3 : y2 - 3, x1 + 3 : x2 - 3].any()


@pytest.mark.parametrize("size", [512, [600]])
def test_faster_rcnn_needs_two_sides(size: int | list[int]) -> None:
    for make in (faster_rcnn_train_transform, faster_rcnn_eval_transform):
        with pytest.raises(ValueError, match=r"data\.size=\[?\d+\]?: .* such as data\.size=\[600,1000\]"):
            make(size)


@pytest.mark.parametrize(
    ("rule", "transform"),
    [
        (exactly((48, 40)), ssd_eval_transform([48, 40])),
        (short_side([48, 64]), faster_rcnn_eval_transform([48, 64])),
    ],
)
def test_an_evaluation_gives_what_a_chain_of_albumentations_gives(
    rule: Resize, transform: DetectionTransform
) -> None:
    import albumentations as A

    from detection.data.augmentation import ResizeBehind

    boxes = np.random.default_rng(1).uniform(-5, 90, (40, 4)).astype(np.float32)
    through = run(DetectionTransform(A.Compose([ResizeBehind(rule)])), boxes)
    for ours, theirs in zip(run(transform, boxes), through, strict=True):
        assert (np.asarray(ours) == np.asarray(theirs)).all()
