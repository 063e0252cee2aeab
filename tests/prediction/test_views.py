"""Tiles and mirror images through a real detector, and through one that finds colours without fault."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import detection
from detection.ops.merging import merge_views
from detection.ops.views import View, tile_windows
from detection.prediction.views import InViews
from detection.types import Detections
from tests.warm_python import warm_python

ROOT = Path(__file__).parent.parent.parent
CLASSES = ["circle", "square", "star"]
Photo = NDArray[np.uint8]


@pytest.fixture(scope="module", params=["quickstart", "quickstart_faster_rcnn"])
def detector(
    request: pytest.FixtureRequest,
    write_checkpoint: Callable[[Path, str, list[str]], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> detection.Detector:
    return detection.load(
        write_checkpoint(tmp_path_factory.mktemp("views"), request.param, CLASSES), device="cpu"
    )


@pytest.fixture(scope="module")
def photo() -> Photo:
    return np.random.default_rng(0).integers(0, 256, (150, 230, 3), dtype=np.uint8)


def same(found: detection.Prediction, other: detection.Prediction) -> bool:
    pairs = ((getattr(found, key), getattr(other, key)) for key in ("boxes", "scores", "labels"))
    return len(found) > 5 and all(np.array_equal(one, two) for one, two in pairs)


def test_a_tile_that_covers_the_image_gives_the_plain_result(
    detector: detection.Detector, photo: Photo
) -> None:
    plain = detector.predict(photo, threshold=0)
    assert same(plain, detector.predict(photo, threshold=0, tiles=230))
    assert same(plain, detector.predict(photo, threshold=0, tiles=(1, 1)))
    assert not same(plain, detector.predict(photo, threshold=0, tiles=229))


def test_tiles_and_mirror_images_are_merged_as_by_hand(detector: detection.Detector, photo: Photo) -> None:
    windows = [(0, 0, 230, 150), *tile_windows((150, 230), (100, 100), 0.3)]
    assert len(windows) == 1 + 2 * 3
    by_hand = []
    for left, top, right, bottom in windows:
        part = photo[top:bottom, left:right]
        by_hand.append((View((left, top, right, bottom)), detector([part.copy()])[0]))
        mirrored = np.ascontiguousarray(part[:, ::-1])
        by_hand.append((View((left, top, right, bottom), mirrored=True), detector([mirrored])[0]))
    expected = merge_views(by_hand, (150, 230))
    for batch_size in (1, 5):
        found = detector.predict(
            photo, threshold=0, tiles=100, overlap=0.3, flip=True, batch_size=batch_size
        ).detections
        # A CPU may add up a batch in another order than one image, after which few boxes of an untrained
        # detector change places.
        assert abs(len(found["scores"]) - len(expected["scores"])) <= 0.02 * len(expected["scores"])
        if batch_size == 1:
            assert all(torch.equal(found[key], expected[key]) for key in ("boxes", "scores", "labels"))


def test_auto_tiles_are_as_large_as_the_input(detector: detection.Detector) -> None:
    height, width = detector.input_size
    views = InViews(detector, detector.input_size, "auto", 0.2, False, 8).views((3 * height, 2 * width))
    sides = {(view.window[3] - view.window[1], view.window[2] - view.window[0]) for view in views[1:]}
    assert sides == {(height, width)}
    assert len(views) == 1 + 4 * 3


def test_images_that_need_no_tiles_are_told_apart(detector: detection.Detector) -> None:
    height, width = detector.input_size
    looks = InViews(detector, detector.input_size, "auto", 0.2, False, 8)
    assert len(looks.views((height, width))) == 1
    assert looks.cut == 0
    looks.views((height + 1, width))
    assert looks.cut == 1


def find_colours(images: Sequence[Photo]) -> list[Detections]:
    """A box around each colour but black; its class is the blue value."""
    found = []
    for image in images:
        boxes, labels = [], []
        for colour in np.unique(image[..., 2][image[..., 2] > 0]).tolist():
            rows, columns = np.nonzero(image[..., 2] == colour)
            boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            labels.append(colour)
        found.append(
            Detections(
                boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
                scores=torch.full((len(boxes),), 0.9),
                labels=torch.tensor(labels, dtype=torch.int64),
            )
        )
    return found


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("tiles", [None, "auto", 70, [2, 3], [1, 4]])
def test_boxes_lie_on_the_pixels_of_their_objects(tiles: int | list[int] | None, flip: bool) -> None:
    """Objects near to each other, some of them across borders of tiles: each is found once, to the pixel."""
    draw = np.random.default_rng(0)
    image = np.zeros((200, 300, 3), np.uint8)
    expected = []
    for number in range(12):
        top, left = (number // 4) * 66 + draw.integers(0, 6), (number % 4) * 75 + draw.integers(0, 6)
        bottom, right = top + draw.integers(20, 58), left + draw.integers(20, 68)
        image[top:bottom, left:right, 2] = number + 1
        expected.append([left, top, right, bottom])
    merged = InViews(find_colours, (100, 100), tiles, 0.3, flip, 4)([image, image])
    for found in merged:
        in_order = found["boxes"][found["labels"].argsort()]
        torch.testing.assert_close(in_order, torch.tensor(expected).float(), atol=0, rtol=0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tiles": 8}, r"tiles=8: give .*auto.*whole number from 32 .*list of 2 whole numbers"),
        ({"tiles": "big"}, "tiles='big': give"),
        ({"tiles": [1, 2, 3]}, r"tiles=\[1, 2, 3\]: give"),
        ({"overlap": 1.0}, "overlap=1.0: give a number from 0 to 0.9"),
    ],
)
def test_impossible_tiles_are_refused_in_a_sentence(
    detector: detection.Detector, photo: Photo, wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        detector.predict(photo, **wrong)  # type: ignore[call-overload]


# Prints by how many MiB the process grew at most while it looked at tiles of an image of so many megapixels.
MEASURE = """
import re, sys
import numpy as np
from pathlib import Path
import detection

def status(key):
    return int(re.search(rf"{key}:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

detector, side = detection.load(sys.argv[1], device="cpu"), int(sys.argv[2])
image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
detector.predict(image[:800, :800], tiles=700, threshold=0)
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before = status("VmRSS")
found = detector.predict(image, tiles=700, threshold=0)
print(status("VmHWM") - before, len(found))
"""


def peak(checkpoint: Path, side: int) -> tuple[float, int]:
    """MiB of growth, and the number of detections."""
    script = checkpoint.with_name("measure.py")
    script.write_text(MEASURE)
    done = subprocess.run(
        [*warm_python(), str(script), str(checkpoint), str(side)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=1200,
    )
    growth, count = done.stdout.split()
    return float(growth), int(count)


needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@needs_proc
@pytest.mark.parametrize("side", [2000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_the_image(
    write_checkpoint: Callable[[Path, str, list[str]], Path], tmp_path: Path, side: int
) -> None:
    """Beside the image itself (11 MiB of 4 megapixels, 286 MiB of 100)."""
    growth, count = peak(write_checkpoint(tmp_path, "quickstart", CLASSES), side)
    assert count > 500
    assert growth < 100
