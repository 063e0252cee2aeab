"""A small evaluation: images with objects, of which some are found, some confused, some missed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from detection.metrics.analysis import Analysis, analyse
from detection.report.report import Subject
from detection.types import Detections, Sample, Target

CLASSES = ["dining table", "<b>cat", "dog"]


@dataclass
class GreyImages:
    """Images of one grey each, of 60 x 80 pixels."""

    image_ids: list[str]
    transform: object | None = field(default_factory=object)

    @property
    def paths(self) -> list[str]:
        return [f"{image_id}.jpg" for image_id in self.image_ids]

    def __getitem__(self, index: int) -> Sample:
        assert self.transform is None, "wanted as on disk"
        pixels = torch.full((3, 60, 80), 40 + index % 100, dtype=torch.uint8)
        return Sample(pixels, blank_target(self.image_ids[index]))


def blank_target(image_id: str) -> Target:
    return Target(
        boxes=torch.zeros(0, 4),
        labels=torch.zeros(0, dtype=torch.int64),
        difficult=torch.zeros(0, dtype=torch.bool),
        image_id=image_id,
        size=(60, 80),
    )


def evaluation(
    num_images: int = 12, num_classes: int = 3, seed: int = 0
) -> tuple[list[Detections], list[Target]]:
    """Objects and jittered, sometimes confused copies of them; the last class is never there to find."""
    rng = np.random.default_rng(seed)
    detections, targets = [], []
    for index in range(num_images):
        count = index % 4
        corner, size = rng.uniform(0, 40, (count, 2)), rng.uniform(8, 20, (count, 2))
        boxes = np.concatenate([corner, corner + size], axis=1)
        labels = rng.integers(0, max(num_classes - 1, 1), count)
        target = blank_target(f"VOC2007/{index + 5:06d}")
        target["boxes"] = torch.tensor(boxes, dtype=torch.float32)
        target["labels"] = torch.tensor(labels)
        target["difficult"] = torch.tensor(rng.random(count) < 0.2)
        targets.append(target)
        copied = rng.integers(0, count, 5) if count else np.zeros(0, dtype=np.int64)
        jittered = boxes[copied] + rng.normal(0, 2, (len(copied), 2)).repeat(2, axis=0).reshape(
            len(copied), 4
        )
        found = np.where(
            rng.random(len(copied)) < 0.2, rng.integers(0, num_classes, len(copied)), labels[copied]
        )
        detections.append(
            Detections(
                boxes=torch.tensor(jittered, dtype=torch.float32).clamp(min=0, max=59),
                scores=torch.tensor(np.sort(rng.random(len(copied)))[::-1].copy(), dtype=torch.float32),
                labels=torch.tensor(found),
            )
        )
    return detections, targets


@pytest.fixture(scope="session")
def make_subject() -> Callable[..., tuple[Subject, Analysis]]:
    def make(
        detections: list[Detections] | None = None,
        targets: list[Target] | None = None,
        class_names: list[str] | None = None,
        **analysis_options: Any,
    ) -> tuple[Subject, Analysis]:
        names = class_names or CLASSES
        if detections is None or targets is None:
            detections, targets = evaluation(num_classes=len(names))
        subject = Subject(
            ckpt="runs/ssd/best.ckpt",
            command="python -m detection.evaluate ckpt=runs/ssd/best.ckpt",
            data="voc07, split val",
            class_names=names,
            losses={"loss": 1.25},
            dataset=GreyImages([target["image_id"] for target in targets]),
            category_ids={},
            detections=detections,
            targets=targets,
            about={"model": "SSD, VGG16", "input size": "300 x 300 pixels"},
            history=None,
            words_of_data=names,
            remarks=(),
        )
        return subject, analyse(detections, targets, len(names), **analysis_options)

    return make


@pytest.fixture
def small_evaluation() -> tuple[list[Detections], list[Target]]:
    return evaluation()


@pytest.fixture
def nothing_found() -> tuple[list[Detections], list[Target]]:
    """Two images, the second without objects, and no detection."""
    _, targets = evaluation(2)
    targets[0]["boxes"] = torch.tensor([[5.0, 5, 30, 30]])
    targets[0]["labels"], targets[0]["difficult"] = torch.tensor([1]), torch.tensor([False])
    targets[1] = blank_target("VOC2007/000009")
    nothing = Detections(
        boxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0, dtype=torch.int64)
    )
    return [nothing, nothing], targets
