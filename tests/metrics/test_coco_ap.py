"""COCO AP against pycocotools, which the tests have and users need not install."""

import contextlib
import io
import sys

import numpy as np
import pytest
import torch

from detection.metrics.coco_ap import coco_ap
from detection.metrics.tables import areas_of
from detection.types import Detections, Target

NUM_CLASSES = 5
STATS = ("map", "map_50", "map_75", "map_small", "map_medium", "map_large")


def dataset(seed: int, num_images: int = 12) -> tuple[list[Detections], list[Target]]:
    """Objects from 8 to 200 pixels and jittered copies of them; class 4 has detections only."""
    rng = np.random.default_rng(seed)
    detections, targets = [], []
    for index in range(num_images):
        count = index % 6
        corner, size = rng.uniform(0, 300, (count, 2)), rng.uniform(8, 200, (count, 2))
        boxes = np.concatenate([corner, corner + size], axis=1)
        labels = rng.integers(0, NUM_CLASSES - 1, count)
        targets.append(
            Target(
                boxes=torch.tensor(boxes, dtype=torch.float32),
                labels=torch.tensor(labels),
                difficult=torch.zeros(count, dtype=torch.bool),
                image_id=str(index),
                size=(500, 500),
            )
        )
        copies = rng.integers(0, count, 8) if count else np.zeros(0, dtype=np.int64)
        jittered = boxes[copies] + rng.normal(0, 6, (len(copies), 4))
        jittered[:, 2:] = np.maximum(jittered[:, 2:], jittered[:, :2] + 1)
        found = np.where(rng.random(len(copies)) < 0.1, NUM_CLASSES - 1, labels[copies])
        detections.append(
            Detections(
                boxes=torch.tensor(jittered, dtype=torch.float32),
                scores=torch.tensor(np.sort(rng.random(len(copies)))[::-1].copy(), dtype=torch.float32),
                labels=torch.tensor(found, dtype=torch.int64),
            )
        )
    return detections, targets


def xywh(boxes: torch.Tensor) -> list[list[float]]:
    return [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in boxes.tolist()]


def by_pycocotools(detections: list[Detections], targets: list[Target]) -> tuple[np.ndarray, np.ndarray]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations = [
        {"image_id": i, "category_id": label, "bbox": box, "area": area, "iscrowd": marked}
        for i, target in enumerate(targets)
        for box, label, marked, area in zip(
            xywh(target["boxes"]),
            target["labels"].tolist(),
            target["difficult"].int().tolist(),
            areas_of(target).tolist(),
            strict=True,
        )
    ]
    results = [
        {"image_id": i, "category_id": label, "bbox": box, "score": score}
        for i, found in enumerate(detections)
        for box, label, score in zip(
            xywh(found["boxes"]), found["labels"].tolist(), found["scores"].tolist(), strict=True
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = {
            "images": [{"id": i} for i in range(len(targets))],
            "categories": [{"id": label} for label in range(NUM_CLASSES)],
            "annotations": [{**item, "id": i} for i, item in enumerate(annotations, start=1)],
            "info": {},
        }
        gt.createIndex()
        evaluation = COCOeval(gt, gt.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    per_class = []
    for label in range(NUM_CLASSES):
        values = evaluation.eval["precision"][:, :, label, 0, 2]
        per_class.append(values.mean() if (values > -1).all() else np.nan)
    return evaluation.stats[:6], np.array(per_class)


@pytest.mark.parametrize("seed", range(5))
def test_equals_pycocotools(seed: int) -> None:
    detections, targets = dataset(seed)
    result = coco_ap(detections, targets, NUM_CLASSES)
    stats, per_class = by_pycocotools(detections, targets)
    np.testing.assert_allclose([result[name].item() for name in STATS], stats, atol=1e-6)
    np.testing.assert_allclose(result["ap"].numpy(), per_class, atol=1e-6)
    assert torch.isnan(result["ap"][NUM_CLASSES - 1])
    assert 0 < result["map"] < 1


@pytest.mark.parametrize("seed", range(3))
def test_sizes_are_those_of_the_areas_that_annotations_say(seed: int) -> None:
    """A segment fills a part of its box; 32 x 32 exactly counts as small and as medium."""
    detections, targets = dataset(seed)
    by_boxes = coco_ap(detections, targets, NUM_CLASSES)
    rng = np.random.default_rng(seed)
    for target in targets:
        share = torch.tensor(rng.uniform(0.3, 1, len(target["labels"])), dtype=torch.float32)
        target["areas"] = areas_of(target) * share
        target["areas"][:1] = 1024
    result = coco_ap(detections, targets, NUM_CLASSES)
    stats, _ = by_pycocotools(detections, targets)
    np.testing.assert_allclose([result[name].item() for name in STATS], stats, atol=1e-6)
    assert result["map"] == by_boxes["map"]
    assert result["map_small"] != by_boxes["map_small"]


def test_perfect_detections_score_one() -> None:
    _, targets = dataset(0)
    perfect = [
        Detections(boxes=t["boxes"], scores=torch.ones(len(t["labels"])), labels=t["labels"]) for t in targets
    ]
    result = coco_ap(perfect, targets, NUM_CLASSES)
    for name in ("map", "map_50", "map_75"):
        assert result[name].item() == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(3))
def test_difficult_objects_are_regions_to_ignore(seed: int) -> None:
    """Crowds of COCO and difficult objects of VOC alike; by pycocotools, and as every image-wise metric."""
    detections, targets = dataset(seed)
    rng = np.random.default_rng(seed)
    unmarked = coco_ap(detections, targets, NUM_CLASSES)
    for target in targets:
        target["difficult"] = torch.tensor(rng.random(len(target["labels"])) < 0.4)
    result = coco_ap(detections, targets, NUM_CLASSES)
    stats, _ = by_pycocotools(detections, targets)
    np.testing.assert_allclose([result[name].item() for name in STATS], stats, atol=1e-6)
    assert result["map"] != unmarked["map"]
    assert coco_ap(detections, targets, NUM_CLASSES, crowd=False)["map"] == unmarked["map"]


def test_without_detections_or_objects() -> None:
    detections, targets = dataset(2)
    nothing = [Detections(boxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0).long())] * 12
    assert coco_ap(nothing, targets, NUM_CLASSES)["map"] == 0
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long(), "difficult": torch.zeros(0).bool()}
    empty = [Target({**target, **none}) for target in targets]  # type: ignore[typeddict-item]
    assert torch.isnan(coco_ap(detections, empty, NUM_CLASSES)["map"])
    result = coco_ap([], [], NUM_CLASSES)
    assert torch.isnan(result["map"])
    assert result["ap"].shape == (NUM_CLASSES,)


def test_bad_input_is_refused() -> None:
    detections, targets = dataset(0)
    with pytest.raises(ValueError, match="11 detections for 12 targets"):
        coco_ap(detections[1:], targets, NUM_CLASSES)


def test_missing_dependency_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hotcoco", None)
    with pytest.raises(ImportError, match="pip install hotcoco"):
        coco_ap([], [], NUM_CLASSES)
