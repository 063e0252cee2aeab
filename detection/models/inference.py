"""Networks that find objects in a batch, as their tasks do: without losses, and so without Lightning.

A task is one of these that also trains. Of a checkpoint that only predicts the other half is not built:
importing Lightning takes longer than detecting in an image.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from detection.bounds import MAX_ANCHORS, Count, Share, Size, height_and_width
from detection.models.faster_rcnn import FasterRCNN, FasterRCNNOutput
from detection.models.rpn import RPNOutput
from detection.models.ssd import SSD, SSDOutput
from detection.ops import processor
from detection.ops.boxes import scale_boxes
from detection.types import Detections, ListBatch, PaddedBatch, Target


class Inference(ABC):
    """A network and what is kept of what it finds."""

    network: SSD | FasterRCNN
    class_names: list[str]
    """Names of the foreground classes, in label order."""
    collate: ClassVar[Literal["padded", "list"]]
    """How images become a batch; see the datamodule."""
    select: partial[list[Detections]]
    """From the network's output to detections in the pixels of its input."""

    @abstractmethod
    def predict_step(self, batch: Any, batch_idx: int = 0) -> list[Detections]:
        """Detect. Of the batch's ground truth only the original sizes of the images are read.

        Returns:
            Detections per image, in original pixels.
        """

    def check_inputs(self, size: Size, collate: str) -> None:
        """Refuse inputs that do not fit the network, before memory is taken for them.

        Args:
            size: the datamodule's ``size``.
            collate: the datamodule's ``collate``.

        Raises:
            ValueError: they are collated for another network, have more anchors than the limit, or are too
                small.
        """
        if collate != self.collate:
            raise ValueError(
                f"data.collate={collate}: {type(self).__name__} takes data.collate={self.collate}, as the "
                "data/transform of its model has it."
            )
        anchors = self.network.num_anchors(height_and_width(size))
        if anchors > MAX_ANCHORS:
            raise ValueError(
                f"data.size={size} gives {anchors:,} anchors to this network, more than the limit of "
                f"{MAX_ANCHORS:,}: choose a smaller data.size, or fewer anchors per cell."
            )

    def take_network(self, network: SSD | FasterRCNN, channels_last: bool, **kept: Any) -> None:
        """Keep a network, its weights laid out as it is fed, and the arguments of its ``detect``."""
        self.network = network
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.network.to(memory_format=self.memory_format)
        self.select = partial(self.network.detect, **kept)


class SSDInference(Inference):
    """Detects by an SSD in padded batches."""

    collate = "padded"
    network: SSD

    def forward(self, images: Tensor) -> SSDOutput:
        """Predict from uint8 images ``(B, 3, H, W)``."""
        images = images.contiguous(memory_format=self.memory_format)
        only_predicts = not (self.network.training or torch.is_grad_enabled())
        at_once = processor.images_at_once(images, *images.shape[2:]) if only_predicts else len(images)
        if len(images) <= at_once:
            out: SSDOutput = self.network(images)
            return out
        logits, deltas, anchors = zip(*map(self.network, images.split(at_once)), strict=True)
        return SSDOutput(torch.cat(logits), torch.cat(deltas), anchors[0])

    def predict_step(self, batch: PaddedBatch, batch_idx: int = 0) -> list[Detections]:
        """Detections of each image, in its original pixels."""
        return self.detect(self.forward(batch.images), batch)

    def detect(self, out: SSDOutput, batch: PaddedBatch) -> list[Detections]:
        """Detections of each image, in its original pixels."""
        size = batch.images.shape[-2], batch.images.shape[-1]
        detections = self.select(out, size)
        for item, original in zip(detections, batch.sizes.tolist(), strict=True):
            item["boxes"] = scale_boxes(item["boxes"], size, tuple(original))
        return detections


class FirstStage(NamedTuple):
    """What is known of a batch before its regions are classified."""

    features: list[Tensor]
    """``(B, C, H_l, W_l)`` of each feature map."""
    rpn: RPNOutput
    proposals: list[Tensor]
    """``(P_i, 4)`` of each image."""
    sizes: list[tuple[int, int]]
    """``(height, width)`` of each image without padding."""

    def image(self, i: int) -> "FirstStage":
        """The same for one image of the batch."""
        rpn = self.rpn._replace(logits=self.rpn.logits[i : i + 1], deltas=self.rpn.deltas[i : i + 1])
        return FirstStage([x[i : i + 1] for x in self.features], rpn, [self.proposals[i]], [self.sizes[i]])


class FasterRCNNInference(Inference):
    """Detects by a Faster R-CNN in lists of images."""

    collate = "list"
    network: FasterRCNN

    def propose(self, images: Sequence[Tensor]) -> FirstStage:
        """Run the first stage on uint8 images ``(3, H_i, W_i)``."""
        padded, sizes = self.network.prepare(images)
        features = self.network.features(padded.contiguous(memory_format=self.memory_format))
        rpn = self.network.rpn(features)
        return FirstStage(features, rpn, self.network.rpn.propose(rpn, sizes), sizes)

    def predict_step(self, batch: ListBatch, batch_idx: int = 0) -> list[Detections]:
        """Detections of each image, in its original pixels."""
        detections: dict[int, Detections] = {}
        for group in self.network.group_by_padded_size(batch.images):
            stage = self.propose([batch.images[i] for i in group])
            found = self.detect(stage, [batch.targets[i] for i in group])
            detections |= zip(group, found, strict=True)
        return [detections[i] for i in range(len(batch.images))]

    def detect(self, stage: FirstStage, targets: Sequence[Target]) -> list[Detections]:
        """Detections of each image, in the original pixels that its target knows."""
        roi = self.network.roi_head(stage.features, stage.proposals)
        detections = self.select(FasterRCNNOutput(stage.rpn, stage.proposals, roi, stage.sizes))
        for found, size, target in zip(detections, stage.sizes, targets, strict=True):
            found["boxes"] = scale_boxes(found["boxes"], size, target["size"])
        return detections


class SSDAlone(SSDInference, nn.Module):
    """An :class:`~detection.tasks.ssd.SSDTask` that never trains, by those of its arguments that it needs.

    Args:
        backbone: see ``SSDTask``, also for the others.
        network: makes the SSD.
        class_names: of the foreground.
        score_threshold: detections below are dropped.
        nms_threshold: of NMS.
        topk: candidates that enter NMS.
        max_detections: per image.
        channels_last: the layout in memory.
        topk_per_class: what ``topk`` counts.
    """

    def __init__(
        self,
        backbone: nn.Module,
        network: Callable[..., SSD],
        class_names: Sequence[str],
        score_threshold: Share = 0.01,
        nms_threshold: Share = 0.45,
        topk: Count = 400,
        max_detections: Count = 100,
        channels_last: bool = True,
        topk_per_class: bool = False,
    ) -> None:
        super().__init__()
        self.class_names = list(class_names)
        self.take_network(
            network(backbone=backbone, num_classes=len(class_names)),
            channels_last,
            score_threshold=score_threshold,
            nms_threshold=nms_threshold,
            topk=topk,
            max_detections=max_detections,
            topk_per_class=topk_per_class,
        )


class FasterRCNNAlone(FasterRCNNInference, nn.Module):
    """A :class:`~detection.tasks.faster_rcnn.FasterRCNNTask` that never trains.

    Args:
        backbone: see ``FasterRCNNTask``, also for the others.
        network: makes the Faster R-CNN.
        class_names: of the foreground.
        score_threshold: detections below are dropped.
        nms_threshold: of NMS.
        max_detections: per image.
        channels_last: the layout in memory.
    """

    def __init__(
        self,
        backbone: nn.Module,
        network: Callable[..., FasterRCNN],
        class_names: Sequence[str],
        score_threshold: Share = 0.01,
        nms_threshold: Share = 0.3,
        max_detections: Count = 100,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        self.class_names = list(class_names)
        self.take_network(
            network(backbone=backbone, num_classes=len(class_names)),
            channels_last,
            score_threshold=score_threshold,
            nms_threshold=nms_threshold,
            max_detections=max_detections,
        )
