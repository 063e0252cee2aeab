"""torchvision's own detectors, with random weights, against ours with the same."""

import re
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import fasterrcnn_resnet50_fpn, ssd300_vgg16
from torchvision.models.detection._utils import overwrite_eps
from torchvision.models.detection.faster_rcnn import FasterRCNN as TorchvisionFasterRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.ops.misc import FrozenBatchNorm2d

from detection.models.backbones import ResNetBackbone, VGG16AtrousBackbone
from detection.models.faster_rcnn import FasterRCNN
from detection.models.faster_rcnn_presets import build_faster_rcnn_fpn
from detection.models.ssd import build_ssd
from detection.models.torchvision_weights import (
    COCO_CLASSES,
    convert_fasterrcnn_resnet50_fpn,
    convert_ssd300_vgg16,
)

# Padded to 160x256: the coarsest map's last row of cells is a started one, where torchvision's stride is odd.
IMAGE_SIZES = [(150, 250), (160, 200)]
# Of torchvision's 91 labels, background first, these were never used.
UNUSED = [12, 26, 29, 30, 45, 66, 68, 69, 71, 83]
USED = [label for label in range(1, 91) if label not in UNUSED]


@pytest.fixture(scope="module")
def theirs() -> TorchvisionFasterRCNN:
    """torchvision's network with random weights under which all outputs vary over a wide range."""
    torch.manual_seed(0)
    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=91).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.2, 0.6)
                module.bias.normal_(std=0.1)
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)
        for layer, std in (
            (model.rpn.head.conv[0][0], 0.05),
            (model.rpn.head.cls_logits, 0.1),
            (model.rpn.head.bbox_pred, 0.02),
            (model.roi_heads.box_predictor.bbox_pred, 0.2),
        ):
            layer.weight.normal_(std=std)
            layer.bias.normal_(std=std)
        # Otherwise what all regions have in common would make one class win everywhere.
        logits: list[Tensor] = []
        predictor = model.roi_heads.box_predictor.cls_score
        hook = predictor.register_forward_hook(lambda module, inputs, output: logits.append(output))
        batch = torch.randn(1, 3, *IMAGE_SIZES[0])
        features = model.backbone(batch)
        boxes = torch.rand(200, 4) * 80
        boxes[:, 2:] += boxes[:, :2] + 10
        model.roi_heads(features, [boxes], IMAGE_SIZES[:1])
        hook.remove()
        scale = 0.7 / logits[0].std(dim=0)  # scores of 1.0 would be ties
        predictor.weight *= scale[:, None]
        predictor.bias.copy_((predictor.bias - logits[0].mean(dim=0)) * scale)
        # In training these classes were never right, so their scores are next to nothing.
        predictor.weight[UNUSED] = 0
        predictor.bias[UNUSED] = -100
    return model


@pytest.fixture(scope="module")
def ours(theirs: TorchvisionFasterRCNN) -> FasterRCNN:
    model = fpn_model()
    model.load_state_dict(convert_fasterrcnn_resnet50_fpn(theirs.state_dict()))
    return model


def fpn_model() -> FasterRCNN:
    backbone = ResNetBackbone(50, None, (4, 8, 16, 32), freeze_batchnorm=True)
    return build_faster_rcnn_fpn(backbone, 80, min_size=1e-3, fit_strides=True).eval()


def random_images() -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randint(256, (3, *size), dtype=torch.uint8) for size in IMAGE_SIZES]


def test_the_classes_are_cocos() -> None:
    assert len(COCO_CLASSES) == len(set(COCO_CLASSES)) == 80
    assert (COCO_CLASSES[0], COCO_CLASSES[11], COCO_CLASSES[-1]) == ("person", "stop sign", "toothbrush")


@torch.no_grad()
def test_every_stage_agrees_with_torchvision(ours: FasterRCNN, theirs: TorchvisionFasterRCNN) -> None:
    images = random_images()
    output = ours(images)
    batch, _ = ours.prepare(images)
    assert batch.shape == (2, 3, 160, 256)

    features = theirs.backbone(batch)
    logits, deltas = theirs.rpn.head(list(features.values()))
    expected = torch.cat([x.permute(0, 2, 3, 1).flatten(1) for x in logits], dim=1)
    assert expected.std() > 0.3
    torch.testing.assert_close(output.rpn.logits, expected, atol=1e-4, rtol=1e-4)
    expected = torch.cat([x.permute(0, 2, 3, 1).reshape(2, -1, 4) for x in deltas], dim=1)
    assert expected.std() > 0.05
    torch.testing.assert_close(output.rpn.deltas, expected, atol=1e-4, rtol=1e-4)

    image_list = ImageList(batch, IMAGE_SIZES)
    anchors = theirs.rpn.anchor_generator(image_list, list(features.values()))
    assert torch.equal(output.rpn.anchors, anchors[0])
    proposals, _ = theirs.rpn(image_list, features)
    for found, wanted in zip(output.proposals, proposals, strict=True):
        assert len(found) > 300
        torch.testing.assert_close(found, wanted, atol=0.01, rtol=0)

    head = ours.roi_head(ours.features(batch), proposals)
    vectors = theirs.roi_heads.box_head(theirs.roi_heads.box_roi_pool(features, proposals, IMAGE_SIZES))
    class_logits, box_deltas = theirs.roi_heads.box_predictor(vectors)
    assert class_logits[:, USED].std() > 0.3
    assert box_deltas.std() > 0.05
    torch.testing.assert_close(head.logits, class_logits[:, [0, *USED]], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(head.deltas, box_deltas.view(-1, 91, 4)[:, USED], atol=1e-4, rtol=1e-4)

    detections, _ = theirs.roi_heads(features, proposals, IMAGE_SIZES)
    from_theirs = output._replace(proposals=proposals, roi=head)
    found_all = ours.detect(from_theirs, score_threshold=0.05, nms_threshold=0.5, max_detections=100)
    for found, wanted in zip(found_all, detections, strict=True):
        assert len(wanted["boxes"]) > 20
        assert len(set(wanted["labels"].tolist())) > 1
        assert torch.equal(torch.tensor(USED)[found["labels"]], wanted["labels"])
        torch.testing.assert_close(found["boxes"], wanted["boxes"], atol=0.01, rtol=0)
        torch.testing.assert_close(found["scores"], wanted["scores"], atol=1e-4, rtol=0)


def as_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The names of the file that torchvision publishes, which is older than its code."""
    renamed = {
        re.sub(r"(_blocks\.\d|head\.conv\.0)\.0\.", r"\1.", key).replace("head.conv.0.", "head.conv."): value
        for key, value in state.items()
    }
    return {key: value for key, value in renamed.items() if not key.endswith("num_batches_tracked")}


@torch.no_grad()
def test_the_published_file_has_older_names_and_batch_norms_without_eps() -> None:
    torch.manual_seed(2)
    published = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=91).eval()
    body = published.backbone.body
    frozen = FrozenBatchNorm2d(64)
    frozen.load_state_dict(body.bn1.state_dict())
    frozen.running_var.uniform_(1e-7, 1e-5)
    frozen.running_var[0] = 1e-38  # a channel that never fires
    frozen.weight[0] = 1e-19
    body.bn1 = frozen
    overwrite_eps(published, 0.0)
    for module in published.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-30  # nothing beside a variance; torch 2.11 takes no zero

    state = as_published(published.state_dict())
    assert {"rpn.head.conv.weight", "backbone.fpn.inner_blocks.0.weight"} <= set(state)
    model = fpn_model()
    model.load_state_dict(convert_fasterrcnn_resnet50_fpn(state))
    assert torch.equal(model.rpn.conv.weight, state["rpn.head.conv.weight"])
    x = 1e-3 * torch.randn(1, 64, 5, 5)
    torch.testing.assert_close(model.backbone.bn1(x), body.bn1(x), rtol=1e-4, atol=1e-4)  # type: ignore[operator]
    x = torch.rand(1, 256, 9, 9)
    second = model.backbone.layer2(x)  # type: ignore[operator]
    torch.testing.assert_close(second, body.layer2(x), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_ssd_agrees_with_torchvision() -> None:
    torch.manual_seed(1)
    theirs = ssd300_vgg16(weights=None, weights_backbone=None, num_classes=91).eval()
    for name, parameter in theirs.named_parameters():
        if name.endswith("bias"):
            parameter.normal_(std=0.5)
    theirs.backbone.scale_weight.uniform_(5, 40)
    ours = build_ssd(
        VGG16AtrousBackbone(None), 80, 300, anchor_sizes=(21, 45, 99, 153, 207, 261, 315), max_anchor_side=300
    ).eval()
    ours.load_state_dict(convert_ssd300_vgg16(theirs.state_dict()))

    images = torch.randint(0, 256, (2, 3, 300, 300), dtype=torch.uint8)
    output = ours(images)
    batch, _ = theirs.transform([image / 255 for image in images])
    features = list(theirs.backbone(batch.tensors).values())
    expected = theirs.head(features)
    assert expected["cls_logits"].std() > 0.1
    assert expected["bbox_regression"].std() > 0.1
    torch.testing.assert_close(output.logits, expected["cls_logits"][..., [0, *USED]], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(output.deltas, expected["bbox_regression"], atol=1e-4, rtol=1e-4)
    anchors = theirs.anchor_generator(batch, features)
    torch.testing.assert_close(output.anchors, anchors[0], atol=1e-3, rtol=0)


def test_predictors_of_other_classes_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"class_heads\.0\.0\.bias predicts 21 classes in this file(?s:.*)91"
    ):
        convert_ssd300_vgg16({"head.classification_head.module_list.0.bias": torch.zeros(4 * 21)})
    with pytest.raises(ValueError, match=r"roi_head\.class_predictor\.bias predicts 6 classes"):
        convert_fasterrcnn_resnet50_fpn({"roi_heads.box_predictor.cls_score.bias": torch.zeros(6)})
