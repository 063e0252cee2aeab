"""torchvision's detectors as tasks of ours: the same features, data, optimizer, schedule and metric.

What is theirs is what a detector adds to a backbone: heads, anchors of SSD, matching, sampling, losses and
the choice of detections.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.ssd import SSD, SSDHead
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.ops import MultiScaleRoIAlign

from detection.models import faster_rcnn, ssd
from detection.ops.boxes import scale_boxes
from detection.tasks.base import DetectionTask
from detection.tasks.faster_rcnn import FasterRCNNTask
from detection.tasks.ssd import SSDTask
from detection.types import Detections, ListBatch, PaddedBatch, Target


class Features(nn.Module):
    """The feature maps of one of our networks, without its heads, as torchvision wants them."""

    def __init__(self, parts: nn.Module, out_channels: Any) -> None:
        super().__init__()
        self.parts = parts
        self.out_channels = out_channels

    def forward(self, images: Tensor) -> "OrderedDict[str, Tensor]":
        """Feature maps by name, finest first."""
        maps = self.parts(images)
        return OrderedDict((str(i), x) for i, x in enumerate(maps))

    def blocks(self) -> Sequence[nn.Module]:
        """Those of our backbone, for ``layer_decay``."""
        backbone: Any = self.parts.backbone
        blocks: Sequence[nn.Module] = backbone.blocks()
        return blocks


class _SSDParts(nn.Module):
    def __init__(self, network: ssd.SSD) -> None:
        super().__init__()
        self.backbone, self.extras, self._taps = network.backbone, network.extras, network._taps

    def forward(self, images: Tensor) -> list[Tensor]:
        found = self.backbone(images)
        maps = [found[tap] for tap in self._taps]
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        return maps


class _PyramidParts(nn.Module):
    def __init__(self, network: faster_rcnn.FasterRCNN) -> None:
        super().__init__()
        self.backbone, self.neck = network.backbone, network.neck

    def forward(self, images: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.backbone(images)
        if self.neck is None:
            return maps
        return list(self.neck(OrderedDict((str(i), x) for i, x in enumerate(maps))).values())


def torchvision_of(task: DetectionTask, size: Any) -> SSD | FasterRCNN:
    """Torchvision's detector of the kind of a task of ours, on its features.

    Args:
        task: SSD or Faster R-CNN.
        size: ``data.size``.
    """
    if isinstance(task, SSDTask):
        return torchvision_ssd(task, size)
    assert isinstance(task, FasterRCNNTask)
    return torchvision_faster_rcnn(task, size)


def torchvision_ssd(task: SSDTask, size: int) -> SSD:
    """Torchvision's SSD on the backbone and the extra layers of a task of ours.

    Args:
        task: of an SSD.
        size: side of the input in pixels.
    """
    network = task.network
    parts = _SSDParts(network)
    with torch.no_grad():
        channels = [x.shape[1] for x in parts.eval()(torch.zeros(1, 3, size, size))]
    parts.train()
    # As torchvision's own SSDLite: two more ratios on every map, sizes from 0.2 to 0.95 of the input.
    anchors = DefaultBoxGenerator([[2, 3] for _ in channels], min_ratio=0.2, max_ratio=0.95)
    classes, counts = network.num_classes + 1, anchors.num_anchors_per_location()
    first_head = network.class_heads[0]
    assert isinstance(first_head, nn.Sequential)
    if len(first_head) > 1:  # depthwise
        head: nn.Module = SSDLiteHead(channels, counts, classes, nn.BatchNorm2d)
    else:
        head = SSDHead(channels, counts, classes)
    return SSD(
        Features(parts, channels),
        anchors,
        (size, size),
        classes,
        **_normalisation(network.backbone),
        head=head,
        detections_per_img=100,
    )


def torchvision_faster_rcnn(task: FasterRCNNTask, size: Sequence[int]) -> FasterRCNN:
    """Torchvision's Faster R-CNN with the backbone, pyramid, anchors and numbers of a task of ours.

    Args:
        task: with a pyramid or without.
        size: least and most pixels of the sides of the inputs.
    """
    network = task.network
    rpn, body, pool = network.rpn, network.roi_head.body, network.roi_head.pool
    per_cell = len(rpn.base_anchors[0])
    anchors = AnchorGenerator(((1,) * per_cell,) * len(rpn.base_anchors), ((1.0,),) * len(rpn.base_anchors))
    anchors.cell_anchors = list(rpn.base_anchors)
    return FasterRCNN(
        Features(_PyramidParts(network), rpn.conv.in_channels),
        min_size=size[0],
        max_size=size[1],
        **_normalisation(network.backbone),
        rpn_anchor_generator=anchors,
        rpn_pre_nms_top_n_train=rpn.pre_nms_top[0],
        rpn_pre_nms_top_n_test=rpn.pre_nms_top[1],
        rpn_post_nms_top_n_train=rpn.post_nms_top[0],
        rpn_post_nms_top_n_test=rpn.post_nms_top[1],
        box_roi_pool=MultiScaleRoIAlign(
            pool.featmap_names, pool.output_size, pool.sampling_ratio, canonical_scale=pool.canonical_scale
        ),
        box_head=body,
        box_predictor=FastRCNNPredictor(body.channels, network.num_classes + 1),
        box_score_thresh=task.select.keywords["score_threshold"],
        box_nms_thresh=task.select.keywords["nms_threshold"],
        box_batch_size_per_image=task.sample_proposals.keywords["num_samples"],
    )


def _normalisation(backbone: Any) -> dict[str, list[float]]:
    return {
        "image_mean": [value / 255 for value in backbone.mean],
        "image_std": [value / 255 for value in backbone.std],
    }


class TorchvisionTask(DetectionTask):
    """Trains one of torchvision's detectors in place of ours.

    Args:
        ours: the task whose optimizer, schedule and metric are taken, and that knows the original targets.
        network: torchvision's detector.
    """

    loss_names = ("loss",)

    def __init__(self, ours: SSDTask | FasterRCNNTask, network: SSD | FasterRCNN) -> None:
        rates = ours.layer_decay, ours.decay_norms
        super().__init__(ours.class_names, ours.make_optimizer, ours.schedule, "07", False, *rates)
        self.network = network
        self._original_targets = ours.original_targets

    def training_step(self, batch: PaddedBatch | ListBatch, batch_idx: int) -> Tensor:
        """Let torchvision compute its losses; their sum is trained."""
        losses = self.network(images_of(batch), targets_of(batch))
        loss = torch.stack(list(losses.values())).sum()
        self.log_losses({"loss": loss}, batch_size=len(batch.images))
        return loss

    def predict_step(self, batch: PaddedBatch | ListBatch, batch_idx: int = 0) -> list[Detections]:
        """Detections of each image, in its original pixels."""
        images = images_of(batch)
        found = self.network(images)
        originals = [target["size"] for target in self._original_targets(batch)]  # type: ignore[arg-type]
        return [
            Detections(
                boxes=scale_boxes(item["boxes"].float(), (image.shape[1], image.shape[2]), size),
                scores=item["scores"].float(),
                labels=item["labels"] - 1,
            )
            for item, image, size in zip(found, images, originals, strict=True)
        ]

    def evaluate_batch(
        self, batch: PaddedBatch | ListBatch
    ) -> tuple[list[Detections], list[Target], dict[str, Tensor], Tensor]:
        """Detect; torchvision's detectors have no loss in evaluation."""
        nothing = torch.zeros((), device=self.device)
        return self.predict_step(batch), self.original_targets(batch), {"loss": nothing}, nothing + 1

    def original_targets(self, batch: Any) -> list[Target]:
        """The ground truth of each image of a batch, in its original pixels."""
        return self._original_targets(batch)

    def assigner(self, size: int | Sequence[int]) -> Any:
        """Not there: torchvision assigns targets itself."""
        raise NotImplementedError("torchvision's detectors assign their targets themselves")


def images_of(batch: PaddedBatch | ListBatch) -> list[Tensor]:
    return [image.float() / 255 for image in batch.images]


def targets_of(batch: PaddedBatch | ListBatch) -> list[dict[str, Tensor]]:
    if isinstance(batch, PaddedBatch):
        pairs = [
            (boxes[labels >= 0], labels[labels >= 0])
            for boxes, labels in zip(batch.boxes, batch.labels, strict=True)
        ]
    else:
        pairs = [(target["boxes"], target["labels"]) for target in batch.targets]
    return [{"boxes": boxes, "labels": labels + 1} for boxes, labels in pairs]
