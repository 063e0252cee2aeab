"""From samples to batches: padded and stacked for SSD, side by side for Faster R-CNN."""

from collections.abc import Callable, Sequence

import torch

from detection.types import AnchorTargets, ListBatch, PaddedBatch, Sample, Target

AssignTargets = Callable[[torch.Tensor, torch.Tensor], AnchorTargets]
"""Padded boxes ``(B, M, 4)`` and labels ``(B, M)`` to what each anchor should predict."""

AssignListTargets = Callable[[Sequence[tuple[int, int]], Sequence[Target]], AnchorTargets]
"""``(height, width)`` and objects of each image to what each anchor of the padded batch should predict."""


class CollateError(ValueError):
    """Images that do not go into one batch; the message names the remedy."""


class CollatePadded:
    """Stack images of one size and pad their objects to the longest list of the batch.

    Args:
        assign: when given, training targets are assigned here, in the loader's worker, and travel in
            ``PaddedBatch.targets``.
    """

    def __init__(self, assign: AssignTargets | None = None) -> None:
        self.assign = assign

    def __call__(self, samples: Sequence[Sample]) -> PaddedBatch:
        """Collate samples.

        Raises:
            CollateError: their images do not share one size.
        """
        sizes = sorted({tuple(sample.image.shape[-2:]) for sample in samples})
        if len(sizes) > 1:
            (height, width), (other_height, other_width) = sizes[:2]
            raise CollateError(
                f"Images of {height}x{width} and {other_height}x{other_width} cannot be stacked, as "
                "data.collate=padded does: take a transform that makes one size of all, such as "
                "data/transform=ssd."
            )
        batch, longest = len(samples), max(len(sample.target["labels"]) for sample in samples)
        boxes = torch.zeros(batch, longest, 4)
        labels = torch.full((batch, longest), -1, dtype=torch.int64)
        difficult = torch.zeros(batch, longest, dtype=torch.bool)
        for i, (_, target) in enumerate(samples):
            count = len(target["labels"])
            boxes[i, :count] = target["boxes"]
            labels[i, :count] = target["labels"]
            difficult[i, :count] = target["difficult"]
        areas = None
        if all("areas" in target for _, target in samples):
            areas = torch.zeros(batch, longest)
            for i, (_, target) in enumerate(samples):
                areas[i, : len(target["areas"])] = target["areas"]
        return PaddedBatch(
            images=torch.stack([sample.image for sample in samples]),
            boxes=boxes,
            labels=labels,
            difficult=difficult,
            sizes=torch.tensor([sample.target["size"] for sample in samples]),
            image_ids=[sample.target["image_id"] for sample in samples],
            targets=self.assign(boxes, labels) if self.assign else None,
            areas=areas,
        )


class CollateList:
    """Keep images of different sizes side by side; the network pads them on the device.

    Args:
        assign: when given, the targets of the region proposal network are assigned here, in the loader's
            worker, and travel in ``ListBatch.rpn_targets``.
    """

    def __init__(self, assign: AssignListTargets | None = None) -> None:
        self.assign = assign

    def __call__(self, samples: Sequence[Sample]) -> ListBatch:
        """Collate samples of any sizes."""
        images = [sample.image for sample in samples]
        targets = [sample.target for sample in samples]
        sizes = [(image.shape[-2], image.shape[-1]) for image in images]
        return ListBatch(images, targets, self.assign(sizes, targets) if self.assign else None)
