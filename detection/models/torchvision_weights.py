"""Weights of torchvision's ``fasterrcnn_resnet50_fpn``, for a start from COCO."""

from collections.abc import Mapping

from torch import Tensor

from detection.models.faster_rcnn import FasterRCNN

_PREFIXES = {  # theirs to ours; the first that fits counts
    "backbone.body.": "backbone.",
    "backbone.fpn.": "neck.",
    "rpn.head.conv.0.0.": "rpn.conv.",
    "rpn.head.conv.": "rpn.conv.",  # in files older than torchvision 0.13, as the published one is
    "rpn.head.cls_logits.": "rpn.score.",
    "rpn.head.bbox_pred.": "rpn.box.",
    "roi_heads.box_head.fc6.": "roi_head.body.1.",
    "roi_heads.box_head.fc7.": "roi_head.body.3.",
    "roi_heads.box_predictor.cls_score.": "roi_head.class_predictor.",
    "roi_heads.box_predictor.bbox_pred.": "roi_head.box_predictor.",
}


def load_torchvision_faster_rcnn(model: FasterRCNN, state: Mapping[str, Tensor]) -> bool:
    """Copies a state dict of torchvision into ours.

    The predictors are copied only if they are for as many classes as the model's. torchvision predicts a
    box for the background too, which nothing uses: its rows are dropped. The published COCO weights were
    trained with a batch norm ``eps`` of 0, ours is 1e-5.

    Args:
        model: of ``build_faster_rcnn_fpn`` on a ResNet with strides 4 to 32, with default channels.
        state: of ``fasterrcnn_resnet50_fpn``, or of the same on another ResNet.

    Returns:
        Whether the predictors were copied too.

    Raises:
        ValueError: if tensors are missing, unknown or of another shape.
    """
    renamed = {_rename(key): value for key, value in state.items()}
    for key in ("roi_head.box_predictor.weight", "roi_head.box_predictor.bias"):
        if key in renamed:
            renamed[key] = renamed[key][4:]
    bias = renamed.get("roi_head.class_predictor.bias")
    same_classes = bias is not None and len(bias) == model.num_classes + 1
    if not same_classes:
        renamed = {key: value for key, value in renamed.items() if "_predictor." not in key}
    try:
        missing, unknown = model.load_state_dict(renamed, strict=False)
    except RuntimeError as error:  # another shape
        raise ValueError(f"These weights are of another network: {error}") from error
    optional = ("mean", "std") if same_classes else ("mean", "std", "_predictor.weight", "_predictor.bias")
    # The published weights have no counters, because their batch norms were frozen.
    missing = [key for key in missing if not key.endswith((*optional, "num_batches_tracked"))]
    if missing or unknown:
        raise ValueError(
            f"These weights are of another network: {len(missing)} tensors are missing {missing[:3]}, "
            f"{len(unknown)} are unknown {unknown[:3]}. The model must be faster_rcnn_fpn on the same ResNet."
        )
    return same_classes


def _rename(key: str) -> str:
    for theirs, ours in _PREFIXES.items():
        if key.startswith(theirs):
            return ours + key.removeprefix(theirs)
    return key
