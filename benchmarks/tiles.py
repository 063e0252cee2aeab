"""Tiles, mirror images and scales beside the whole image alone, and beside sahi: photographs, large scenes.

    python -m benchmarks.tiles --ckpt tensorflow/ssd_mobilenet_v2_coco --root voc --sahi
    python -m benchmarks.tiles --ckpt best.ckpt --root voc --scales

The photographs are those of ``trainval`` in a folder of VOC's layout. A scene has 2,000 x 2,000 pixels in
cells of 500. Each photograph appears three times in the scenes: as it is, at half and at a quarter of its
size, in cells drawn by a seed. COCO's AP, and images per second of processor time, one thread. With
``--scales`` photographs alone, through inputs of several sizes: ``predict`` has no such key, since it does
not pay. Of sahi: ``pip install sahi``.
"""

import argparse
import copy
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from detection.bounds import Tiles, height_and_width
from detection.checkpoints.loading import load, open_split
from detection.data.sources import VOCDataModule
from detection.data.transforms import ssd_eval_transform
from detection.metrics.coco_ap import coco_ap
from detection.models.ssd import SSD
from detection.ops.anchors import fitted_steps
from detection.ops.merging import merge_views
from detection.ops.views import views_of
from detection.prediction.detector import Detector
from detection.prediction.selection import Selection
from detection.prediction.trained import TrainedDetector
from detection.prediction.views import InViews, pixels_of
from detection.registry import build
from detection.types import Detections, Target

Pixels = NDArray[np.uint8]
_SIDE, _CELL, _SCALES = 2000, 500, (1, 2, 4)
_GREY = 114
_LEAST = 0.3  # the least score that sahi expects by default
_TILE, _OVERLAP = 400, 0.2  # the same tiles for both: six a side, one every 320 pixels
_FIGURES = ("map", "map_50", "map_small", "map_medium", "map_large")


class Picture(NamedTuple):
    """An image and its objects, in its pixels."""

    image: Pixels
    target: Target


class Row(NamedTuple):
    """One way to look at images."""

    name: str
    detect: Callable[[Sequence[Pixels]], list[Detections]]


def read_photographs(root: str, detector: Detector) -> list[Picture]:
    """The images of ``trainval``, with the detector's labels."""
    datamodule = VOCDataModule(
        root=root,
        train_splits=["trainval"],
        val_splits=["trainval"],
        size=300,
        train_transform=ssd_eval_transform,
        eval_transform=ssd_eval_transform,
        other_classes="skip",
    )
    open_split(datamodule, "val", detector.class_names, "the detector")
    dataset = datamodule.datasets["val"]
    dataset.transform = None
    return [
        Picture(sample.image.permute(1, 2, 0).contiguous().numpy(), sample.target)
        for sample in (dataset[index] for index in range(len(dataset)))
    ]


def compose_scenes(photographs: Sequence[Picture], seed: int = 0) -> list[Picture]:
    """Large scenes in which each photograph appears once at each scale."""
    draw = np.random.default_rng(seed)
    cells: list[list[Picture]] = []
    for scale in _SCALES:
        order = [photographs[index] for index in draw.permutation(len(photographs))]
        cells += [order[first : first + scale**2] for first in range(0, len(order), scale**2)]
    cells = [cells[index] for index in draw.permutation(len(cells))]
    per_scene = (_SIDE // _CELL) ** 2
    return [_scene(cells[first : first + per_scene]) for first in range(0, len(cells), per_scene)]


def _scene(cells: Sequence[Sequence[Picture]]) -> Picture:
    image = np.full((_SIDE, _SIDE, 3), _GREY, np.uint8)
    placed: list[Target] = []
    for number, cell in enumerate(cells):
        top, left = (part * _CELL for part in divmod(number, _SIDE // _CELL))
        # A cell that is not full has the places of one of the next smaller number.
        each = int(np.ceil(np.sqrt(len(cell))))
        scale = next(scale for scale in _SCALES if scale >= each)
        for place, picture in enumerate(cell):
            y, x = (part * (_CELL // scale) for part in divmod(place, scale))
            height, width = (side // scale for side in picture.image.shape[:2])
            shrunk = cv2.resize(picture.image, (width, height), interpolation=cv2.INTER_AREA)
            image[top + y : top + y + height, left + x : left + x + width] = shrunk
            sides = torch.tensor([width, height] * 2) / torch.tensor(picture.image.shape[1::-1] * 2)
            corner = torch.tensor([left + x, top + y] * 2)
            placed.append({**picture.target, "boxes": picture.target["boxes"] * sides + corner})
    joined = Target(
        boxes=torch.cat([target["boxes"] for target in placed]),
        labels=torch.cat([target["labels"] for target in placed]),
        difficult=torch.cat([target["difficult"] for target in placed]),
        image_id="",
        size=(_SIDE, _SIDE),
    )
    return Picture(image, joined)


def ours(detector: Detector, name: str, tiles: Tiles | None, flip: bool = False) -> Row:
    """This package's way."""
    return Row(name, InViews(detector, detector.input_size, tiles, _OVERLAP, flip, batch_size=8))


def at_scale(detector: TrainedDetector[Any], scale: float) -> Detector:
    """The same network, given inputs larger by a factor.

    An SSD's inputs change by multiples of 32 pixels, so that its maps round as they did in training, and the
    cells cover the input evenly.
    """
    task, data = copy.deepcopy(detector.task), detector.described["data"]
    step = 32 if isinstance(task.network, SSD) else 1
    height, width = (
        side + step * round((scale - 1) * side / step) for side in height_and_width(data["size"])
    )
    if isinstance(task.network, SSD) and scale != 1:
        size = (height, width)
        task.network.anchor_steps = fitted_steps(task.network.feature_sizes(size), size)
    return TrainedDetector(task, build(data["eval_transform"])([height, width]), detector.described)


def in_scales(detector: TrainedDetector[Any], scales: Sequence[float], flip: bool = False) -> Row:
    """Whole images through inputs of several sizes, merged as mirror images are."""
    detectors = [at_scale(detector, scale) for scale in scales]

    def detect(images: Sequence[Pixels]) -> list[Detections]:
        merged = []
        for image in images:
            views = [(view, each) for each in detectors for view in views_of(image.shape[:2], [], flip)]
            found = [(view, each([pixels_of(image, view)])[0]) for view, each in views]
            merged.append(merge_views(found, image.shape[:2]))
        return merged

    return Row(f"scales {', '.join(map(str, scales))}{', flip' if flip else ''}", detect)


def above(row: Row, least: float) -> Row:
    """The same, without scores below the least."""

    def detect(images: Sequence[Pixels]) -> list[Detections]:
        return [Selection(least)(found) for found in row.detect(images)]

    return Row(f"{row.name}, scores from {least}", detect)


def sahi(
    detector: Callable[[Sequence[Pixels]], list[Detections]], names: Sequence[str], name: str, **options: Any
) -> Row:
    """The way of ``sahi``, on the same detector and the same tiles, the whole image beside them."""
    from sahi.models.base import DetectionModel  # type: ignore[import-not-found, unused-ignore]
    from sahi.predict import get_sliced_prediction  # type: ignore[import-not-found, unused-ignore]
    from sahi.prediction import ObjectPrediction  # type: ignore[import-not-found, unused-ignore]
    from sahi.utils.compatibility import (  # type: ignore[import-not-found, unused-ignore]
        fix_full_shape_list,
        fix_shift_amount_list,
    )

    class Wrapped(DetectionModel):  # type: ignore[misc, unused-ignore]
        def set_model(self, model: Any, **kwargs: Any) -> None:
            self.model = model
            self.category_mapping = {str(label): name for label, name in enumerate(names)}

        def perform_inference(self, image: Pixels) -> None:
            self._original_predictions = self.model([np.ascontiguousarray(image)])[0]

        def _create_object_prediction_list_from_original_predictions(
            self, shift_amount_list: Any = ([0, 0],), full_shape_list: Any = None
        ) -> None:
            (shift,) = fix_shift_amount_list(shift_amount_list)
            shapes: Any = fix_full_shape_list(full_shape_list) or [None]
            found = self._original_predictions
            rows = zip(*(found[key].tolist() for key in ("boxes", "scores", "labels")), strict=True)
            self._object_prediction_list_per_image = [
                [
                    ObjectPrediction(box, label, names[label], None, score, shift, shapes[0])
                    for box, score, label in rows
                    if box[0] < box[2] and box[1] < box[3]
                ]
            ]

    model = Wrapped(model=detector, device="cpu", confidence_threshold=0.0)

    def detect(images: Sequence[Pixels]) -> list[Detections]:
        return [_of_sahi(get_sliced_prediction(image, model, **arguments)) for image in images]

    arguments: dict[str, Any] = {
        **{f"slice_{side}": _TILE for side in ("height", "width")},
        **{f"overlap_{side}_ratio": _OVERLAP for side in ("height", "width")},
        "force_postprocess_type": True,
        "verbose": 0,
        **options,
    }
    return Row(name, detect)


def _of_sahi(result: Any) -> Detections:
    found = sorted(result.object_prediction_list, key=lambda one: -one.score.value)
    return Detections(
        boxes=torch.tensor([one.bbox.to_xyxy() for one in found]).reshape(-1, 4).float(),
        scores=torch.tensor([one.score.value for one in found]).float(),
        labels=torch.tensor([one.category.id for one in found], dtype=torch.int64),
    )


def measure(row: Row, pictures: Sequence[Picture], num_classes: int) -> str:
    """A row of the table."""
    start = time.process_time()
    found = [row.detect([picture.image])[0] for picture in pictures]
    seconds = time.process_time() - start
    ap = coco_ap(found, [picture.target for picture in pictures], num_classes)
    figures = " | ".join(f"{100 * float(ap[name]):.1f}" for name in _FIGURES)
    return f"| {row.name} | {figures} | {len(pictures) / seconds:.2f} |"


def main(words: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ckpt", required=True, help="a checkpoint, or a published detector")
    parser.add_argument("--root", required=True, help="the folder of VOC 2007, or of the same layout")
    parser.add_argument("--sahi", action="store_true", help="measure sahi, too")
    parser.add_argument("--scales", action="store_true", help="measure scales alone, on photographs")
    arguments = parser.parse_args(words)
    torch.set_num_threads(1)
    detector = load(arguments.ckpt, "cpu")
    photographs = read_photographs(arguments.root, detector)
    scenes = [] if arguments.scales else compose_scenes(photographs)
    plain = Row("whole image", detector)
    of_photographs = [
        plain,
        ours(detector, "flip=true", None, flip=True),
        ours(detector, "tiles=auto", "auto"),
        ours(detector, "tiles=auto flip=true", "auto", flip=True),
    ]
    of_scenes = [
        plain,
        ours(detector, "tiles=400", _TILE),
        ours(detector, "tiles=400 flip=true", _TILE, flip=True),
        ours(detector, "tiles=auto", "auto"),
    ]
    if arguments.scales:
        assert isinstance(detector, TrainedDetector), "an exported SSD has inputs of one size"
        alone = [[1.25], [0.75, 1], [1, 1.25], [1, 1.5], [0.75, 1, 1.25]]
        of_photographs[2:] = [in_scales(detector, scales) for scales in alone]
        of_photographs += [in_scales(detector, scales, flip=True) for scales in alone[1:]]
    if arguments.sahi:
        names, sure = detector.class_names, above(plain, _LEAST)
        nms = {"postprocess_type": "NMS", "postprocess_match_metric": "IOU"}
        of_scenes += [
            sahi(detector, names, "sahi, NMS", **nms),
            sahi(detector, names, "sahi, its default (GREEDYNMM)"),
            sahi(sure.detect, names, f"sahi, its default, scores from {_LEAST}"),
            above(ours(detector, "tiles=400", _TILE), _LEAST),
        ]
    for what, pictures, rows in (
        ("photographs", photographs, of_photographs),
        ("scenes", scenes, of_scenes),
    )[: 1 if arguments.scales else 2]:
        print(f"\n{len(pictures)} {what}, {sum(len(p.target['labels']) for p in pictures)} objects")
        print(
            f"| | {' | '.join(name.replace('map', 'AP').replace('_', ' ') for name in _FIGURES)} | images/s |"
        )
        print("| --- " * (len(_FIGURES) + 2) + "|")
        for row in rows:
            print(measure(row, pictures, len(detector.class_names)), flush=True)


if __name__ == "__main__":
    main()
