"""COCO average precision through ``faster_coco_eval``, an optional dependency."""

import importlib
import logging
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detection.types import Detections, Target

# Positions along the axes of the engine's precision array: IoU 0.50:0.05:0.95, 101 recall levels, classes,
# areas (all, small < 32^2, medium, large > 96^2 pixels), detections per image (1, 10, 100).
_IOU_50, _IOU_75 = slice(0, 1), slice(5, 6)
_ALL_IOUS = slice(None)
_AREAS = {"map_small": 1, "map_medium": 2, "map_large": 3}
_MAX_100_DETECTIONS = 2


def coco_ap(
    detections: list[Detections], targets: list[Target], num_classes: int, crowd: bool = False
) -> dict[str, Tensor]:
    """Compute the COCO average precision of a dataset held in memory.

    VOC's difficult objects count like any other: COCO has no such notion, and its ``iscrowd`` follows other
    rules. At most 100 detections per image count, and small, medium and large refer to box areas.

    Args:
        detections: What was found in each image.
        targets: What there was to find, in the same order and the same pixels.
        num_classes: ``C``, without background.
        crowd: Whether ``difficult`` marks COCO's crowd regions (``iscrowd``), as it does in COCO's own data.

    Returns:
        ``map`` (mean over IoU 0.50:0.05:0.95), ``map_50``, ``map_75``, ``map_small``, ``map_medium``,
        ``map_large`` and ``ap`` ``(C,)``; nan where there is nothing to find.

    Raises:
        ImportError: If the optional dependency is missing.
        ValueError: If the two lists differ in length.
    """
    engine = import_engine()
    if len(detections) != len(targets):
        raise ValueError(f"{len(detections)} detections for {len(targets)} targets: need one per image")
    found = [
        {**annotation, "score": score}
        for image, prediction in enumerate(detections)
        for annotation, score in zip(
            _annotations(image, prediction["boxes"], prediction["labels"]),
            prediction["scores"].tolist(),
            strict=True,
        )
    ]
    existing = [
        {**annotation, "iscrowd": int(crowd and difficult)}
        for image, target in enumerate(targets)
        for annotation, difficult in zip(
            _annotations(image, target["boxes"], target["labels"]), target["difficult"].tolist(), strict=True
        )
    ]
    evaluation = engine.COCOeval_faster(
        engine.COCO(_dataset(existing, len(targets), num_classes)),
        engine.COCO(_dataset(found, len(targets), num_classes)),
        iouType="bbox",
    )
    evaluation.evaluate()
    evaluation.accumulate()
    return _summary(evaluation.eval["precision"])


def import_engine() -> ModuleType:
    """Import the optional dependency.

    Raises:
        ImportError: If it is missing, with how to install it.
    """
    try:
        engine = importlib.import_module("faster_coco_eval")
    except ImportError as error:
        raise ImportError("COCO AP needs faster-coco-eval: pip install faster-coco-eval") from error
    # It announces each of its steps.
    logging.getLogger("faster_coco_eval").setLevel(logging.WARNING)
    return engine


def _annotations(image: int, boxes: Tensor, labels: Tensor) -> list[dict[str, Any]]:
    return [
        {
            "image_id": image,
            "category_id": label,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": 0,
        }
        for (x1, y1, x2, y2), label in zip(boxes.tolist(), labels.tolist(), strict=True)
    ]


def _dataset(annotations: list[dict[str, Any]], num_images: int, num_classes: int) -> dict[str, Any]:
    return {
        "images": [{"id": image} for image in range(num_images)],
        "categories": [{"id": label, "name": str(label)} for label in range(num_classes)],
        # Ids count from 1: the engine takes 0 for "no match".
        "annotations": [{**annotation, "id": i} for i, annotation in enumerate(annotations, start=1)],
    }


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
