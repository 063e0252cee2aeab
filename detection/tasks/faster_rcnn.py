"""Faster R-CNN as a LightningModule."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from detection.bounds import Count, Factor, Share, Size
from detection.data.collate import AssignListTargets
from detection.losses.roi import RoILoss, roi_loss
from detection.losses.rpn import rpn_loss
from detection.metrics.mean_ap import Interpolation
from detection.models.faster_rcnn import BOX_STDS, FasterRCNN
from detection.models.inference import FasterRCNNInference, FirstStage
from detection.models.roi_head import RoIOutput
from detection.ops.boxes import scale_boxes
from detection.ops.padding import padded_size
from detection.ops.rpn_anchors import rpn_anchors
from detection.targets.roi import RoITargets, sample_proposals
from detection.targets.rpn import assign_rpn_targets
from detection.tasks.base import DetectionTask
from detection.tasks.class_weights import ClassWeights, by_label
from detection.tasks.parameter_groups import MakeOptimizer
from detection.tasks.schedules import Schedule
from detection.types import AnchorTargets, Detections, ListBatch, Target


class FasterRCNNTask(FasterRCNNInference, DetectionTask):
    """Trains and evaluates :class:`~detection.models.faster_rcnn.FasterRCNN`, both stages at once.

    Args:
        backbone: the feature extractor.
        network: makes the Faster R-CNN from a backbone and a number of classes.
        class_names: names of the foreground classes, in label order.
        optimizer: makes the optimizer from the trainable parameters.
        scheduler: the learning-rate schedule.
        rpn_samples: anchors per image in the RPN's losses (Faster R-CNN paper, section 3.1.3).
        ignore_cross_boundary: leave anchors that cross the image's border out of training (section 3.3).
        roi_samples: proposals per image in the second stage's losses: 128 in the Fast R-CNN paper (section
            2.3), 512 in torchvision.
        positive_fraction: upper limit on the share of objects among those proposals.
        roi_beta: where the second stage's box loss turns from quadratic to linear; 0 is plain L1. See
            ``roi_loss``.
        score_threshold: detections below this score are dropped before NMS.
        nms_threshold: IoU above which NMS drops the weaker box of a class.
        max_detections: detections kept per image.
        interpolation: how VOC AP is summed: ``07`` (11 points) or ``area``.
        coco_ap: whether the test also reports COCO's average precision (``test/coco_map``).
        channels_last: lay images and weights out channel by channel, which convolutions prefer.
        compile: compile the backbone, the pyramid and the RPN by ``torch.compile`` at the first step; refused
            on a CPU, where that takes longer.
        layer_decay: how much slower each block of the backbone learns than the next, 1 for one rate; see
            ``grouped_optimizer``.
        decay_norms: whether biases and the scales of norms decay as other weights do.
        class_weights: factors on the second stage's classification loss, by the name of the class; 1 for
            those that are not named and for background.
    """

    loss_names = ("loss", "loss_rpn_cls", "loss_rpn_box", "loss_roi_cls", "loss_roi_box")

    def __init__(
        self,
        backbone: nn.Module,
        network: Callable[..., FasterRCNN],
        class_names: Sequence[str],
        optimizer: MakeOptimizer,
        scheduler: Schedule,
        rpn_samples: Count = 256,
        ignore_cross_boundary: bool = True,
        roi_samples: Count = 128,
        positive_fraction: Share = 0.25,
        score_threshold: Share = 0.01,
        nms_threshold: Share = 0.3,
        max_detections: Count = 100,
        interpolation: Interpolation = "07",
        coco_ap: bool = False,
        channels_last: bool = True,
        compile: bool = False,
        roi_beta: Factor = 1.0,
        layer_decay: Share = 1.0,
        decay_norms: bool = True,
        class_weights: ClassWeights | None = None,
    ) -> None:
        super().__init__(class_names, optimizer, scheduler, interpolation, coco_ap, layer_decay, decay_norms)
        self.take_network(
            network(backbone=backbone, num_classes=len(class_names)),
            channels_last,
            score_threshold=score_threshold,
            nms_threshold=nms_threshold,
            max_detections=max_detections,
        )
        self.compiled = compile
        if compile:
            self.compile_network()
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", by_label(class_weights, self.class_names), persistent=False)
        self.assign_anchors = partial(
            assign_rpn_targets, num_samples=rpn_samples, ignore_cross_boundary=ignore_cross_boundary
        )
        self.sample_proposals = partial(
            sample_proposals, num_samples=roi_samples, positive_fraction=positive_fraction, stds=BOX_STDS
        )
        self.roi_beta = roi_beta

    def check_device(self, kind: str) -> None:
        """Refuse to train compiled on a CPU, which takes longer; see ``DetectionTask``."""
        if self.compiled and kind == "cpu":
            raise ValueError(
                "model.compile=true: on a CPU a compiled Faster R-CNN trains at two thirds of the speed "
                "(0.64 times the images per second, measured); leave it out, or train on a GPU."
            )

    def compile_network(self) -> None:
        """Compile the first stage; what follows has another shape at each step."""
        for part in filter(None, (self.network.backbone, self.network.neck, self.network.rpn)):
            part.compile()

    def training_step(self, batch: ListBatch, batch_idx: int) -> Tensor:
        """Propose regions, sample some of them, classify those, and compare both stages with the truth."""
        features, rpn, proposals, sizes = self.propose(batch.images)
        boxes = [target["boxes"] for target in batch.targets]
        labels = [target["labels"] for target in batch.targets]
        seeds = _seeds(batch.targets)

        rpn_gt = batch.rpn_targets or self.assign_anchors(rpn.anchors, boxes, sizes, seeds=seeds)
        roi_gt = self.sample_proposals(proposals, boxes, labels, seeds=seeds)
        roi = self.network.roi_head(features, roi_gt.proposals)

        num_regions = [len(regions) for regions in roi_gt.proposals]
        rpn_losses = rpn_loss(rpn.logits, rpn.deltas, rpn_gt.labels, rpn_gt.deltas)
        roi_losses = self.roi_loss(roi, roi_gt, num_regions)
        losses = _named(*rpn_losses, *roi_losses)
        num_images = losses["loss"].new_full((), len(batch.images))
        return self.share_of_step(losses, num_images, batch_idx, len(batch.images))

    def evaluate_batch(
        self, batch: ListBatch
    ) -> tuple[list[Detections], list[Target], dict[str, Tensor], Tensor]:
        """Detect and score one batch.

        Images run together only where that takes no extra padding, and losses are those of each image, so
        that neither depends on what else is in the batch.
        """
        detections: dict[int, Detections] = {}
        losses: list[dict[str, Tensor]] = []
        for group in self.network.group_by_padded_size(batch.images):
            stage = self.propose([batch.images[i] for i in group])
            targets = [batch.targets[i] for i in group]
            detections |= zip(group, self.detect(stage, targets), strict=True)
            losses += [
                self._evaluation_losses(stage.image(row), target) for row, target in enumerate(targets)
            ]
        mean = {name: torch.stack([of_image[name] for of_image in losses]).mean() for name in self.loss_names}
        in_order = [detections[i] for i in range(len(batch.images))]
        return in_order, self.original_targets(batch), mean, torch.tensor(len(in_order), device=self.device)

    def _evaluation_losses(self, stage: FirstStage, target: Target) -> dict[str, Tensor]:
        """The losses of one image as in training, from samples that are the same at each evaluation."""
        boxes, labels = [target["boxes"]], [target["labels"]]
        rpn_gt = self.assign_anchors(stage.rpn.anchors, boxes, stage.sizes, seeds=[0])
        roi_gt = self.sample_proposals(stage.proposals, boxes, labels, seeds=[0])
        roi = self.network.roi_head(stage.features, roi_gt.proposals)
        rpn_losses = rpn_loss(stage.rpn.logits, stage.rpn.deltas, rpn_gt.labels, rpn_gt.deltas)
        return _named(*rpn_losses, *self.roi_loss(roi, roi_gt))

    def roi_loss(self, roi: RoIOutput, gt: RoITargets, num_regions: Sequence[int] | None = None) -> RoILoss:
        """Compare the second stage with its targets.

        Args:
            roi: what it predicts of the sampled regions.
            gt: those regions and what should be predicted.
            num_regions: of each image; None for one image.
        """
        return roi_loss(
            *(roi.logits, roi.deltas, gt.labels, gt.deltas, num_regions),
            beta=self.roi_beta,
            class_weights=self.class_weights,
        )

    def original_targets(self, batch: ListBatch) -> list[Target]:
        """The ground truth of each image, in its original pixels."""
        originals: list[Target] = []
        for image, target in zip(batch.images, batch.targets, strict=True):
            boxes = scale_boxes(target["boxes"], (image.shape[-2], image.shape[-1]), target["size"])
            originals.append({**target, "boxes": boxes})
        return originals

    def assigner(self, size: Size) -> AssignListTargets:
        """A function of image sizes and ground truth alone, for the loader's workers.

        Args:
            size: not needed, since each batch brings the sizes of its images.
        """
        rpn, multiple = self.network.rpn, self.network.backbone.strides[-1]
        return partial(
            _assign_without_network,
            assign_anchors=self.assign_anchors,
            base_anchors=rpn.base_anchors,
            strides=rpn.strides,
            multiple=multiple,
            fit_strides=rpn.fit_strides,
        )


def _assign_without_network(
    sizes: Sequence[tuple[int, int]],
    targets: Sequence[Target],
    assign_anchors: Callable[..., AnchorTargets],
    base_anchors: Sequence[Tensor],
    strides: Sequence[int],
    multiple: int,
    fit_strides: bool,
) -> AnchorTargets:
    anchors = rpn_anchors(base_anchors, strides, padded_size(sizes, multiple), fit_strides)
    return assign_anchors(anchors, [target["boxes"] for target in targets], sizes, seeds=_seeds(targets))


def _seeds(targets: Sequence[Target]) -> list[int] | None:
    """The seeds of the images, None where the loader gave them none."""
    seeds = [target["seed"] for target in targets if "seed" in target]
    return seeds if len(seeds) == len(targets) else None


def _named(rpn_cls: Tensor, rpn_box: Tensor, roi_cls: Tensor, roi_box: Tensor) -> dict[str, Tensor]:
    return {
        "loss": rpn_cls + rpn_box + roi_cls + roi_box,
        "loss_rpn_cls": rpn_cls,
        "loss_rpn_box": rpn_box,
        "loss_roi_cls": roi_cls,
        "loss_roi_box": roi_box,
    }
