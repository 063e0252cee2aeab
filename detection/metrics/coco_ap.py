"""COCO average precision through ``hotcoco``, an optional dependency."""

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detection.metrics.tables import DetectionTable, FloatArray, GroundTruthTable, make_tables
from detection.types import Detections, Target

# Positions along the axes of the engine's precision array: IoU 0.50:0.05:0.95, 101 recall levels, classes,
# areas (all, small < 32^2, medium, large > 96^2 pixels), detections per image (1, 10, 100).
_IOU_50, _IOU_75 = slice(0, 1), slice(5, 6)
_ALL_IOUS = slice(None)
_AREAS = {"map_small": 1, "map_medium": 2, "map_large": 3}
_MAX_100_DETECTIONS = 2


def coco_ap(
    detections: Sequence[Detections], targets: Sequence[Target], num_classes: int, crowd: bool = True
) -> dict[str, Tensor]:
    """Compute the COCO average precision of a dataset held in memory; see ``coco_ap_of_tables``.

    Args:
        detections: What was found in each image.
        targets: What there was to find, in the same order and the same pixels.
        num_classes: ``C``, without background.
        crowd: See ``coco_ap_of_tables``.

    Raises:
        ImportError: If the optional dependency is missing.
        ValueError: If the two lists differ in length.
    """
    return coco_ap_of_tables(*make_tables(detections, targets), num_classes, crowd)


def coco_ap_of_tables(
    detections: DetectionTable, ground_truth: GroundTruthTable, num_classes: int, crowd: bool = True
) -> dict[str, Tensor]:
    """Compute the COCO average precision of a dataset.

    At most 100 detections per image count, and small, medium and large refer to the areas that
    annotations say, of the segments in COCO's own, or else to those of the boxes.

    Args:
        detections: What was found in all images; equal scores rank in row order.
        ground_truth: What there was to find.
        num_classes: ``C``, without background.
        crowd: Whether ``difficult`` objects, COCO's own crowds or VOC's, are COCO's regions to ignore
            (``iscrowd``), as in every command; else they count like any other.

    Returns:
        ``map`` (mean over IoU 0.50:0.05:0.95), ``map_50``, ``map_75``, ``map_small``, ``map_medium``,
        ``map_large`` and ``ap`` ``(C,)``; nan where there is nothing to find.

    Raises:
        ImportError: If the optional dependency is missing.
    """
    engine = import_engine()
    # The engine ranks equal scores by image.
    _, first, rows = np.unique(
        np.concatenate([detections.images, ground_truth.images]), return_index=True, return_inverse=True
    )
    images = np.argsort(np.argsort(first))[rows]
    count = len(detections.images)
    boxes, areas = _as_xywh(ground_truth.boxes), ground_truth.areas
    existing = engine.COCO.from_arrays(
        [{"id": image} for image in range(len(first))],
        [{"id": label, "name": str(label)} for label in range(num_classes)],
        images[count:],
        ground_truth.labels,
        boxes,
        area=boxes[:, 2:].prod(axis=1) if areas is None else areas.astype(np.float64),
        iscrowd=ground_truth.difficult if crowd else None,
    )
    columns = images[:count], _as_xywh(detections.boxes), detections.scores, detections.labels
    found = existing.load_res(np.column_stack(columns).astype(np.float64))
    evaluation = engine.COCOeval(existing, found, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    return _summary(evaluation.eval["precision"])


def import_engine() -> ModuleType:
    """Import the optional dependency.

    Raises:
        ImportError: If it is missing, with how to install it.
    """
    try:
        return importlib.import_module("hotcoco")
    except ImportError as error:
        raise ImportError("COCO AP needs hotcoco: pip install hotcoco") from error


def _as_xywh(boxes: FloatArray) -> FloatArray:
    boxes = boxes.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes


def _summary(precision: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, Tensor]:
    """Average the ``(IoU, recall, class, area, max detections)`` array, in which -1 means nothing to find."""

    def mean(ious: slice = _ALL_IOUS, area: int = 0) -> Tensor:
        values = precision[ious, :, :, area, _MAX_100_DETECTIONS]
        return _mean_of_defined(values)

    return {
        "map": mean(),
        "map_50": mean(_IOU_50),
        "map_75": mean(_IOU_75),
        **{name: mean(area=area) for name, area in _AREAS.items()},
        "ap": torch.stack(
            [
                _mean_of_defined(precision[:, :, label, 0, _MAX_100_DETECTIONS])
                for label in range(precision.shape[2])
            ]
        ),
    }


def _mean_of_defined(values: np.ndarray[Any, np.dtype[np.float64]]) -> Tensor:
    defined = values[values > -1]
    return torch.tensor(defined.mean() if defined.size else float("nan"), dtype=torch.float32)
