"""Average precision by the classic loop, by faster-coco-eval and by torchmetrics, of the same tables."""

import logging
from typing import Any

import numpy as np
import torch
from torchmetrics.detection import MeanAveragePrecision

from detection.metrics.tables import DetectionTable, FloatArray, GroundTruthTable

Images = list[dict[str, torch.Tensor]]


def classic_voc_ap(found: DetectionTable, gt: GroundTruthTable, num_classes: int) -> FloatArray:
    """The devkit's algorithm as it is usually written in Python: one detection after the other, area AP."""
    aps = np.full(num_classes, np.nan)
    for label in range(num_classes):
        rows = np.flatnonzero(gt.labels == label)
        objects: dict[int, dict[str, Any]] = {}
        for image in np.unique(gt.images[rows]):
            own = rows[gt.images[rows] == image]
            objects[int(image)] = {
                "boxes": gt.boxes[own].astype(float),
                "difficult": gt.difficult[own],
                "found": [False] * len(own),
            }
        detections = np.flatnonzero(found.labels == label)
        detections = detections[np.argsort(-found.scores[detections], kind="stable")]
        true_positives, misses = np.zeros(len(detections)), np.zeros(len(detections))
        for i, row in enumerate(detections):
            image_objects = objects.get(int(found.images[row]))
            if image_objects is None:
                misses[i] = 1
                continue
            overlaps = _overlaps(found.boxes[row].astype(float), image_objects["boxes"])
            best = int(overlaps.argmax())
            if overlaps[best] < 0.5 or (
                not image_objects["difficult"][best] and image_objects["found"][best]
            ):
                misses[i] = 1
            elif not image_objects["difficult"][best]:
                true_positives[i] = 1
                image_objects["found"][best] = True
        aps[label] = _area(true_positives.cumsum(), misses.cumsum(), int((~gt.difficult[rows]).sum()))
    return aps


def _overlaps(box: FloatArray, boxes: FloatArray) -> FloatArray:
    width = np.maximum(np.minimum(box[2], boxes[:, 2]) - np.maximum(box[0], boxes[:, 0]), 0)
    height = np.maximum(np.minimum(box[3], boxes[:, 3]) - np.maximum(box[1], boxes[:, 1]), 0)
    area = (box[2] - box[0]) * (box[3] - box[1])
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    overlaps: FloatArray = width * height / (area + areas - width * height)
    return overlaps


def _area(true_positives: FloatArray, misses: FloatArray, num_gt: int) -> float:
    recall = np.concatenate(([0.0], true_positives / num_gt, [1.0]))
    precision = np.concatenate(([0.0], true_positives / np.maximum(true_positives + misses, 1), [0.0]))
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.flatnonzero(recall[1:] != recall[:-1])
    return float(((recall[steps + 1] - recall[steps]) * precision[steps + 1]).sum())


def as_images(found: DetectionTable, gt: GroundTruthTable, num_images: int) -> tuple[Images, Images]:
    """One dictionary per image, as torchmetrics wants them; difficult objects count like others."""
    cuts = np.searchsorted(found.images, np.arange(1, num_images))
    fields = (np.split(field, cuts) for field in (found.boxes, found.scores, found.labels))
    predictions = [
        {"boxes": torch.tensor(b), "scores": torch.tensor(s), "labels": torch.tensor(c)}
        for b, s, c in zip(*fields, strict=True)
    ]
    cuts = np.searchsorted(gt.images, np.arange(1, num_images))
    boxes, labels = np.split(gt.boxes, cuts), np.split(gt.labels, cuts)
    targets = [
        {"boxes": torch.tensor(b), "labels": torch.tensor(c)} for b, c in zip(boxes, labels, strict=True)
    ]
    return predictions, targets


def torchmetrics_ap(predictions: Images, targets: Images, **options: Any) -> dict[str, torch.Tensor]:
    """The usual way: all images in one update, then compute, with the AP of each class."""
    metric = MeanAveragePrecision(class_metrics=True, **options)
    metric.update(predictions, targets)
    result: dict[str, torch.Tensor] = metric.compute()
    return result


def faster_coco_eval_ap(
    found: DetectionTable, gt: GroundTruthTable, num_classes: int, num_images: int
) -> float:
    """The engine alone, at IoU 0.5 over all areas, its input lists made from the same tables."""
    import faster_coco_eval as engine

    logging.getLogger("faster_coco_eval").setLevel(logging.WARNING)  # it announces each of its steps
    images = [{"id": image} for image in range(num_images)]
    categories = [{"id": label, "name": str(label)} for label in range(num_classes)]
    existing, boxes = (
        _annotations(gt.images, gt.labels, gt.boxes),
        _annotations(found.images, found.labels, found.boxes),
    )
    for annotation, score in zip(boxes, found.scores.tolist(), strict=True):
        annotation["score"] = score
    evaluation = engine.COCOeval_faster(
        engine.COCO({"images": images, "categories": categories, "annotations": existing}),
        engine.COCO({"images": images, "categories": categories, "annotations": boxes}),
        iouType="bbox",
    )
    evaluation.params.iouThrs = np.array([0.5])
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.params.maxDets = [100]
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"]
    return float(precision[precision > -1].mean())


def _annotations(images: Any, labels: Any, boxes: Any) -> list[dict[str, Any]]:
    rows = zip(images.tolist(), labels.tolist(), boxes.tolist(), strict=True)
    return [
        {
            "id": i,
            "image_id": image,
            "category_id": label,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": 0,
        }
        for i, (image, label, (x1, y1, x2, y2)) in enumerate(rows, start=1)
    ]
