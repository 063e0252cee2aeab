"""Faster R-CNN (Ren et al. 2015) on one feature map ("C4") or on a feature pyramid (Lin et al. 2017).

Shapes: B images, A anchors over all feature maps, R regions of all images together, C classes without
background.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork

from detection.bounds import MAX_REGION_CELLS
from detection.models.backbones import Backbone
from detection.models.roi_head import RoIHead, RoIOutput
from detection.models.rpn import RPN, RPNOutput
from detection.models.transfer import check_names, match_classes
from detection.ops import processor
from detection.ops.padding import pad_images
from detection.ops.roi_postprocess import select_roi_detections
from detection.types import Detections

BOX_STDS = (0.1, 0.1, 0.2, 0.2)
"""Deltas of the second stage are divided by these when encoded; those of the RPN are not divided."""


class FasterRCNNOutput(NamedTuple):
    """What both stages say about a batch."""

    rpn: RPNOutput
    proposals: list[Tensor]
    """``(R_i, 4)`` per image."""
    roi: RoIOutput
    image_sizes: list[tuple[int, int]]
    """``(height, width)`` of each image without padding."""


class FasterRCNN(nn.Module):
    """Its parts, and how they are connected for inference; training connects them with sampling between.

    Args:
        backbone: gives the feature maps.
        neck: makes a pyramid of them, as an ordered mapping; None to use them as they are.
        rpn: proposes regions from all maps.
        roi_head: classifies regions of the first maps.

    Raises:
        ValueError: if the regions of an image have more cells than memory is taken for.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: Backbone, neck: FeaturePyramidNetwork | None, rpn: RPN, roi_head: RoIHead
    ) -> None:
        super().__init__()
        self.backbone, self.neck, self.rpn, self.roi_head = backbone, neck, rpn, roi_head
        regions, side = max(rpn.post_nms_top), roi_head.pooled_size
        if regions * side**2 > MAX_REGION_CELLS:
            raise ValueError(
                f"{regions:,} regions of {side}x{side} cells are more than {MAX_REGION_CELLS:,} cells per "
                "image: lower model.network.post_nms_top or pooled_size."
            )
        self.num_classes = roi_head.num_classes
        self.register_buffer("mean", torch.tensor(backbone.mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(backbone.std).view(3, 1, 1))

    def prepare(self, images: Sequence[Tensor]) -> tuple[Tensor, list[tuple[int, int]]]:
        """Normalises the images and pads them, right and below, to one size that the stride divides.

        Args:
            images: at least one ``(3, H_i, W_i)`` RGB on the scale 0..255.

        Returns:
            ``(B, 3, H, W)``, and ``(height, width)`` of each image without padding.
        """
        normalised = [(image.to(self.mean.dtype) - self.mean) / self.std for image in images]
        return pad_images(normalised, self.backbone.strides[-1])

    def num_anchors(self, image_size: tuple[int, int]) -> int:
        """How many anchors an input of ``(height, width)`` pixels has."""
        height, width = image_size
        return sum(
            math.ceil(height / stride) * math.ceil(width / stride) * len(base)
            for base, stride in zip(self.rpn.base_anchors, self.rpn.strides, strict=True)
        )

    def features(self, batch: Tensor) -> list[Tensor]:
        """Returns the feature maps of a prepared batch, finest first."""
        maps: list[Tensor] = self.backbone(batch)
        if self.neck is None:
            return maps
        pyramid = self.neck(OrderedDict((str(i), x) for i, x in enumerate(maps)))
        return list(pyramid.values())

    def forward(self, images: Sequence[Tensor]) -> FasterRCNNOutput:
        """Proposes regions and classifies them.

        Args:
            images: at least one ``(3, H_i, W_i)`` RGB on the scale 0..255.
        """
        batch, image_sizes = self.prepare(images)
        features = self.features(batch)
        rpn = self.rpn(features)
        proposals = self.rpn.propose(rpn, image_sizes)
        return FasterRCNNOutput(rpn, proposals, self.roi_head(features, proposals), image_sizes)

    @torch.no_grad()
    def detect(
        self,
        output: FasterRCNNOutput,
        score_threshold: float = 0.01,
        nms_threshold: float = 0.3,
        max_detections: int = 100,
    ) -> list[Detections]:
        """Turns raw predictions into detections (Faster R-CNN paper, section 4.1).

        Args:
            output: what ``forward`` returned.
            score_threshold: a class counts for a region only above it.
            nms_threshold: of two boxes of one class that overlap more, the weaker is dropped.
            max_detections: kept per image.

        Returns:
            One per image, in its own pixels.
        """
        return select_roi_detections(
            *output.roi,
            output.proposals,
            output.image_sizes,
            BOX_STDS,
            score_threshold,
            nms_threshold,
            max_detections,
        )

    def reset_classes(
        self, old_names: Sequence[str], new_names: Sequence[str], reuse: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Makes the network predict other classes: those it knew keep their weights, others start anew.

        Its class and box predictors are new parameters: call it before the optimizer is made.

        Args:
            old_names: of the classes it predicts, in label order.
            new_names: of the classes to predict, in label order.
            reuse: see ``match_classes``.

        Returns:
            The classes that kept their weights, as ``{new name: old name}``.

        Raises:
            ValueError: if the names do not fit the network, each other or ``reuse``.
        """
        check_names(old_names, new_names, self.num_classes)
        kept = match_classes(old_names, new_names, reuse)
        self.roi_head.reset_classes(len(new_names), kept)
        self.num_classes = len(new_names)
        return {new_names[new]: old_names[old] for new, old in kept.items()}

    def group_by_padded_size(self, images: Sequence[Tensor]) -> list[list[int]]:
        """Groups images that need no more padding together than alone.

        Padding is zero only before the first convolution. Deeper, biases fill it, and every further
        layer carries that into the image, so what is found near the border would depend on the other
        images of the batch. Evaluating each group as a batch of its own gives the same as image by image.
        On a CPU large groups are parted, since a few images at once take less time.

        Args:
            images: ``(3, H_i, W_i)`` each.

        Returns:
            Indices of the images of each group; every image is in one group.
        """
        stride = self.backbone.strides[-1]
        groups: dict[tuple[int, int], list[int]] = {}
        for i, image in enumerate(images):
            cells = (-(-image.shape[-2] // stride), -(-image.shape[-1] // stride))
            groups.setdefault(cells, []).append(i)
        parts: list[list[int]] = []
        for (rows, columns), group in groups.items():
            at_once = processor.images_at_once(images, rows * stride, columns * stride)
            parts += [group[i : i + at_once] for i in range(0, len(group), at_once)]
        return parts
