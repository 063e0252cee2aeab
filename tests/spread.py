"""Detectors without training, whose scores are nevertheless apart."""

import torch
from torch import Tensor, nn

from detection.models.faster_rcnn import FasterRCNN
from detection.models.ssd import SSD


@torch.no_grad()
def spread(network: SSD | FasterRCNN, image: Tensor, std: float) -> None:
    """Scale random predictors, so that logits and deltas differ as those of a trained network do."""
    if isinstance(network, SSD):
        maps = network.feature_maps((image.unsqueeze(0).float() - network.mean) / network.std)
        for heads, wanted in ((network.class_heads, std), (network.box_heads, 1.0)):
            for head, x in zip(heads, maps, strict=True):
                _scale(head[-1], wanted / max(float(head(x).std()), 1e-6))  # type: ignore[index]
        return
    rpn = network([image]).rpn
    _scale(network.rpn.score, 3.0 / float(rpn.logits.std()))
    _scale(network.rpn.box, 0.2 / float(rpn.deltas.std()))
    roi = network([image]).roi
    _scale(network.roi_head.class_predictor, std / float(roi.logits.std()))
    _scale(network.roi_head.box_predictor, 1.0 / float(roi.deltas.std()))


def _scale(layer: nn.Module, factor: float) -> None:
    for parameter in layer.parameters():
        parameter.mul_(factor)
