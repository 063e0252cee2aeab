import re
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import fasterrcnn_resnet50_fpn
from torchvision.models.detection.faster_rcnn import FasterRCNN as TorchvisionFasterRCNN
from torchvision.models.detection.image_list import ImageList

from detection.models.backbones import ResNetBackbone
from detection.models.faster_rcnn import FasterRCNN
from detection.models.faster_rcnn_presets import build_faster_rcnn_fpn
from detection.models.torchvision_weights import load_torchvision_faster_rcnn

# Padded to 192x256: only at multiples of 64 does torchvision get the stride of its last map right.
IMAGE_SIZES = [(180, 250), (192, 200)]


@pytest.fixture(scope="module")
def theirs() -> TorchvisionFasterRCNN:
    """torchvision's network with random weights under which all outputs vary over a wide range."""
    torch.manual_seed(0)
    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=6).eval()
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
        scale = 2 / logits[0].std(dim=0)
        predictor.weight *= scale[:, None]
        predictor.bias.copy_((predictor.bias - logits[0].mean(dim=0)) * scale)
    return model


@pytest.fixture(scope="module")
def ours(theirs: TorchvisionFasterRCNN) -> FasterRCNN:
    model = fpn_model(num_classes=5)
    assert load_torchvision_faster_rcnn(model, theirs.state_dict())
    return model


def fpn_model(num_classes: int) -> FasterRCNN:
    backbone = ResNetBackbone(50, None, (4, 8, 16, 32), freeze_batchnorm=True)
    return build_faster_rcnn_fpn(backbone, num_classes, min_size=1e-3).eval()


def random_images() -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randint(256, (3, *size), dtype=torch.uint8) for size in IMAGE_SIZES]


@torch.no_grad()
def test_every_stage_agrees_with_torchvision(ours: FasterRCNN, theirs: TorchvisionFasterRCNN) -> None:
    images = random_images()
    output = ours(images)
    batch, _ = ours.prepare(images)
    assert batch.shape == (2, 3, 192, 256)

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
    assert class_logits.std() > 0.3
    assert box_deltas.std() > 0.05
    torch.testing.assert_close(head.logits, class_logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(head.deltas, box_deltas.view(-1, 6, 4)[:, 1:], atol=1e-4, rtol=1e-4)

    detections, _ = theirs.roi_heads(features, proposals, IMAGE_SIZES)
    found_all = ours.detect(output, score_threshold=0.05, nms_threshold=0.5, max_detections=100)
    for found, wanted in zip(found_all, detections, strict=True):
        assert len(wanted["boxes"]) > 20
        assert len(set(wanted["labels"].tolist())) > 1
        assert torch.equal(found["labels"], wanted["labels"] - 1)
        torch.testing.assert_close(found["boxes"], wanted["boxes"], atol=0.01, rtol=0)
        torch.testing.assert_close(found["scores"], wanted["scores"], atol=1e-4, rtol=0)


def as_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The names of the file that torchvision publishes, which is older than its code."""
    renamed = {
        re.sub(r"(_blocks\.\d|head\.conv\.0)\.0\.", r"\1.", key).replace("head.conv.0.", "head.conv."): value
        for key, value in state.items()
    }
    return {key: value for key, value in renamed.items() if not key.endswith("num_batches_tracked")}


def test_coco_weights_under_their_published_names_leave_the_predictors(
    theirs: TorchvisionFasterRCNN,
) -> None:
    state = as_published(theirs.state_dict())
    assert {"rpn.head.conv.weight", "backbone.fpn.inner_blocks.0.weight"} <= set(state)
    model = fpn_model(num_classes=20)
    before = model.roi_head.class_predictor.weight.clone()
    assert not load_torchvision_faster_rcnn(model, state)
    assert torch.equal(model.roi_head.class_predictor.weight, before)
    assert torch.equal(model.rpn.conv.weight, state["rpn.head.conv.weight"])
    assert model.neck is not None
    assert torch.equal(model.neck.layer_blocks[3][0].bias, state["backbone.fpn.layer_blocks.3.bias"])
    copied = model.state_dict()["backbone.layer4.2.conv3.weight"]
    assert torch.equal(copied, state["backbone.body.layer4.2.conv3.weight"])


def test_weights_of_another_network_are_refused(theirs: TorchvisionFasterRCNN) -> None:
    state = dict(theirs.state_dict())
    model = fpn_model(num_classes=5)
    with pytest.raises(ValueError, match=r"1 tensors are missing \['backbone.conv1.weight'\], 0 are unknown"):
        load_torchvision_faster_rcnn(model, {k: v for k, v in state.items() if "body.conv1" not in k})
    with pytest.raises(ValueError, match=r"1 are unknown \['roi_heads.mask.weight'\]"):
        load_torchvision_faster_rcnn(model, {**state, "roi_heads.mask.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"of another network(?s:.*)size mismatch for rpn.conv.weight"):
        load_torchvision_faster_rcnn(model, {**state, "rpn.head.conv.0.0.weight": torch.zeros(1)})
