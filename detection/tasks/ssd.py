"""SSD as a LightningModule."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from detection.bounds import Count, Factor, Share, Size, height_and_width
from detection.data.collate import AssignTargets
from detection.losses.multibox import BoxLoss, ClassLoss, MultiboxLoss, loss_weight, multibox_loss
from detection.metrics.mean_ap import Interpolation
from detection.models.described_anchors import anchors_in_numbers, with_anchor_arguments
from detection.models.inference import SSDInference
from detection.models.ssd import BOX_STDS, SSD, SSDOutput
from detection.models.ssd_layers import expect_background
from detection.ops.boxes import scale_boxes
from detection.targets.ssd import assign_ssd_targets
from detection.tasks.base import DetectionTask
from detection.tasks.class_weights import ClassWeights, by_label
from detection.tasks.parameter_groups import MakeOptimizer
from detection.tasks.schedules import Schedule
from detection.types import AnchorTargets, Detections, PaddedBatch, Target

_PRIOR = 0.01  # of each class on every anchor, before training by focal loss (its paper, section 3.3)


class SSDTask(SSDInference, DetectionTask):
    """Trains and evaluates :class:`~detection.models.ssd.SSD`.

    Args:
        backbone: the feature extractor.
        network: makes the SSD from a backbone and a number of classes.
        class_names: names of the foreground classes, in label order.
        optimizer: makes the optimizer from the trainable parameters.
        scheduler: the learning-rate schedule.
        iou_threshold: an anchor learns an object from this overlap on (SSD paper, section 2.2).
        neg_pos_ratio: hard negatives per positive anchor (SSD paper, section 2.2).
        score_threshold: detections below this score are dropped before NMS.
        nms_threshold: IoU above which NMS drops the weaker box of a class.
        topk: candidates that enter NMS, over all classes of an image.
        max_detections: detections kept per image.
        topk_per_class: whether ``topk`` counts each class by itself, as torchvision does.
        interpolation: how VOC AP is summed: ``07`` (11 points) or ``area``.
        coco_ap: whether the test also reports COCO's average precision (``test/coco_map``).
        channels_last: lay images and weights out channel by channel, which convolutions prefer.
        compile: compile the network by ``torch.compile`` at the first step.
        layer_decay: how much slower each block of the backbone learns than the next, 1 for one rate; see
            ``grouped_optimizer``.
        decay_norms: whether biases and the scales of norms decay as other weights do.
        class_weights: factors on the classification loss, by the name of the class; 1 for those
            that are not named and for background.
        class_loss: ``softmax``, cross entropy over positives and hard negatives; or ``focal``, over all
            anchors, which then start from a score of 0.01 for each class; see ``multibox_loss``.
        box_loss: ``smooth_l1`` or ``giou``; see ``multibox_loss``.
    """

    loss_names = ("loss", "loss_cls", "loss_box")

    def __init__(
        self,
        backbone: nn.Module,
        network: Callable[..., SSD],
        class_names: Sequence[str],
        optimizer: MakeOptimizer,
        scheduler: Schedule,
        iou_threshold: Share = 0.5,
        neg_pos_ratio: Factor = 3.0,
        score_threshold: Share = 0.01,
        nms_threshold: Share = 0.45,
        topk: Count = 400,
        max_detections: Count = 100,
        interpolation: Interpolation = "07",
        coco_ap: bool = False,
        channels_last: bool = True,
        topk_per_class: bool = False,
        compile: bool = False,
        layer_decay: Share = 1.0,
        decay_norms: bool = True,
        class_weights: ClassWeights | None = None,
        class_loss: ClassLoss = "softmax",
        box_loss: BoxLoss = "smooth_l1",
    ) -> None:
        super().__init__(class_names, optimizer, scheduler, interpolation, coco_ap, layer_decay, decay_norms)
        made = network(backbone=backbone, num_classes=len(class_names))
        if class_loss == "focal":
            expect_background(made.class_heads, len(class_names), _PRIOR)
        self.take_network(
            made,
            channels_last,
            score_threshold=score_threshold,
            nms_threshold=nms_threshold,
            topk=topk,
            max_detections=max_detections,
            topk_per_class=topk_per_class,
        )
        if compile:
            self.compile_network()
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", by_label(class_weights, self.class_names), persistent=False)
        self.iou_threshold = iou_threshold
        self.neg_pos_ratio = neg_pos_ratio
        self.class_loss, self.box_loss = class_loss, box_loss

    def describe(self, **config: Any) -> None:
        """Keep plain values that describe this task in its checkpoints, its anchors in numbers among them."""
        model = with_anchor_arguments(config["model"], anchors_in_numbers(self.network))
        super().describe(**{**config, "model": model})

    def training_step(self, batch: PaddedBatch, batch_idx: int) -> Tensor:
        """Predict, assign, compare."""
        out = self(batch.images)
        gt = batch.targets or self.assign(out.anchors, batch.boxes, batch.labels)
        losses, weight = _named(self.loss(out, gt)), loss_weight(gt.labels, self.class_loss)
        return self.share_of_step(losses, weight, batch_idx, len(batch.images))

    def assign(self, anchors: Tensor, boxes: Tensor, labels: Tensor) -> AnchorTargets:
        """Assign padded ground truth to anchors."""
        return assign_ssd_targets(anchors, boxes, labels, self.iou_threshold, BOX_STDS)

    def loss(self, out: SSDOutput, gt: AnchorTargets) -> MultiboxLoss:
        """Compare predictions with their targets; the mean over the positives."""
        how = self.neg_pos_ratio, self.class_weights, self.class_loss, self.box_loss
        return multibox_loss(out.logits, out.deltas, gt.labels, gt.deltas, *how, BOX_STDS)

    def evaluate_batch(
        self, batch: PaddedBatch
    ) -> tuple[list[Detections], list[Target], dict[str, Tensor], Tensor]:
        """Detect and score one batch."""
        out = self(batch.images)
        gt = self.assign(out.anchors, batch.boxes, batch.labels)
        losses, weight = _named(self.loss(out, gt)), loss_weight(gt.labels, self.class_loss)
        return self.detect(out, batch), self.original_targets(batch), losses, weight

    def original_targets(self, batch: PaddedBatch) -> list[Target]:
        """The ground truth of each image, in its original pixels, without the padding."""
        targets: list[Target] = []
        for i, image_id in enumerate(batch.image_ids):
            real = batch.labels[i] >= 0
            size = (int(batch.sizes[i, 0]), int(batch.sizes[i, 1]))
            target = Target(
                boxes=scale_boxes(batch.boxes[i][real], _size(batch), size),
                labels=batch.labels[i][real],
                difficult=batch.difficult[i][real],
                image_id=image_id,
                size=size,
            )
            if batch.areas is not None:
                target["areas"] = batch.areas[i][real]
            targets.append(target)
        return targets

    def assigner(self, size: Size) -> AssignTargets:
        """A function of padded ground truth alone, for the loader's workers.

        Args:
            size: side, or ``(height, width)``, of the images that the workers will serve.
        """
        anchors = self.network.anchors_over(height_and_width(size))
        return partial(assign_ssd_targets, anchors, iou_threshold=self.iou_threshold, stds=BOX_STDS)


def _named(losses: MultiboxLoss) -> dict[str, Tensor]:
    return {"loss": losses.total, "loss_cls": losses.cls, "loss_box": losses.box}


def _size(batch: PaddedBatch) -> tuple[int, int]:
    return batch.images.shape[-2], batch.images.shape[-1]
