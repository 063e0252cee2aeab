"""COCOMeanAP: batches and repeated images against one call of coco_ap."""

import torch

from detection.metrics.analysis import analyse
from detection.metrics.coco_ap import coco_ap
from detection.metrics.mean_ap import COCOMeanAP
from detection.types import Detections, Target


def random_boxes(count: int, generator: torch.Generator) -> torch.Tensor:
    corners = torch.rand(count, 2, generator=generator) * 60
    return torch.cat([corners, corners + 5 + torch.rand(count, 2, generator=generator) * 40], dim=1)


def random_images(num_images: int) -> tuple[list[Detections], list[Target]]:
    generator = torch.Generator().manual_seed(0)
    detections, targets = [], []
    for i in range(num_images):
        num_gt = i % 4  # every fourth image is empty
        boxes = random_boxes(num_gt, generator)
        labels = torch.randint(0, 3, (num_gt,), generator=generator)
        found = torch.cat([boxes + torch.randn(boxes.shape, generator=generator), random_boxes(2, generator)])
        scores = torch.rand(len(found), generator=generator).sort(descending=True).values
        detections.append(
            Detections(
                boxes=found,
                scores=scores,
                labels=torch.cat([labels, torch.randint(0, 3, (2,), generator=generator)]),
            )
        )
        targets.append(
            Target(
                boxes=boxes,
                labels=labels,
                difficult=torch.rand(num_gt, generator=generator) < 0.3,
                image_id=f"image {i}",
                size=(100, 100),
            )
        )
    return detections, targets


def test_batches_give_what_one_call_gives() -> None:
    detections, targets = random_images(13)
    metric = COCOMeanAP(num_classes=3)
    for start in range(0, 13, 4):
        metric.update(detections[start : start + 4], targets[start : start + 4])
    metric.update(detections[:2], targets[:2])  # seen twice, counted once
    expected = coco_ap(detections, targets, num_classes=3)
    result = metric.compute()
    assert 0.1 < result["map"] < 1
    for name, value in expected.items():
        torch.testing.assert_close(result[name], value, equal_nan=True, atol=0, rtol=0)


def test_crowds_are_ignored_as_in_an_evaluation() -> None:
    """Half of the detections are in the crowd alone; equal scores come in another order of images."""
    detections, targets = [], []
    for i in range(20):
        corner = torch.rand(6, 2, generator=torch.Generator().manual_seed(i)) * 300
        boxes = torch.cat([corner, corner + 40], dim=1)
        targets.append(
            Target(
                boxes=torch.cat([boxes[:3], torch.tensor([[0.0, 0, 400, 400]])]),
                labels=torch.zeros(4, dtype=torch.int64),
                difficult=torch.tensor([False, False, False, True]),
                image_id=f"image {i}",
                size=(400, 400),
            )
        )
        scores = torch.tensor([0.5, 0.6, 0.7, 0.9, 0.8, 0.4])
        detections.append(Detections(boxes=boxes, scores=scores, labels=torch.zeros(6, dtype=torch.int64)))
    metric = COCOMeanAP(num_classes=1)
    metric.update(detections, targets)
    tested = metric.compute()
    for order in (slice(None), slice(None, None, -1)):
        evaluated = analyse(detections[order], targets[order], 1).coco
        assert evaluated is not None
        assert evaluated["map"] == float(tested["map"]) == 1.0


def test_images_without_anything_are_nan() -> None:
    metric = COCOMeanAP(num_classes=2)
    nothing = Detections(
        boxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0, dtype=torch.int64)
    )
    metric.update([nothing], random_images(1)[1])
    assert metric.compute()["map"].isnan()
