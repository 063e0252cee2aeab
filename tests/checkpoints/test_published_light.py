"""torchvision's light detectors and its second ResNet-50: with the same weights ours finds the same."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import detection

from detection.checkpoints.loading import load_detector
from detection.models.faster_rcnn import FasterRCNN
from detection.models.ssd import SSD
from detection.models.torchvision_weights import COCO_CLASSES
from detection.models.zoo import get_model

UNUSED = [12, 26, 29, 30, 45, 66, 68, 69, 71, 83]  # gaps in torchvision's labels
USED = torch.tensor([label for label in range(1, 91) if label not in UNUSED])


def smooth(*sizes: tuple[int, int]) -> list[Tensor]:
    """Smooth random colours, uint8 ``(3, H, W)``: noise would look the same to a network everywhere."""
    draw = torch.Generator().manual_seed(0)
    coarse = [torch.rand(1, 3, h // 16 + 2, w // 16 + 2, generator=draw) * 255 for h, w in sizes]
    fine = [nn.functional.interpolate(x, size, mode="bicubic") for x, size in zip(coarse, sizes, strict=True)]
    return [x[0].clamp(0, 255).to(torch.uint8) for x in fine]


@torch.no_grad()
def theirs(name: str, size: tuple[int, int]) -> Any:
    """torchvision's network with random weights and the statistics of smooth images."""
    torch.manual_seed(0)
    model = getattr(detection, name)(weights=None, weights_backbone=None, num_classes=91)
    model.transform.eval()
    batch, _ = model.transform([image / 255 for image in smooth(size, size)])
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_(std=0.2)
    if "resnet" in name:  # whose sums grow, and rounding with them
        for norm in norms:
            norm.weight.uniform_(0.5, 1.0)
            norm.bias.zero_()
        return model.eval()
    model.train()
    features = model.backbone(batch.tensors)
    if name.startswith("ssdlite"):
        model.head(list(features.values()))
    for norm in norms:  # two numbers may be nearly the same
        assert norm.running_var is not None
        norm.running_var.clamp_(min=float(norm.running_var.median()))
    return model.eval()


@torch.no_grad()
def rescale(layer: nn.Conv2d | nn.Linear, outputs: Tensor, std: float) -> None:
    """Let a predictor whose outputs ``(N, C)`` are these have others: of mean 0 and this std."""
    assert layer.bias is not None
    factor = std / outputs.std(dim=0)
    layer.weight *= factor.reshape(-1, *[1] * (layer.weight.ndim - 1))
    layer.bias.copy_((layer.bias - outputs.mean(dim=0)) * factor)


def without_unused(weight: Tensor, bias: Tensor) -> None:
    """In training these classes were never right, so their scores are next to nothing."""
    weight.unflatten(0, (-1, 91))[:, UNUSED] = 0
    bias.unflatten(0, (-1, 91))[:, UNUSED] = -100


def rows(x: Tensor) -> Tensor:
    return x.transpose(0, 1).flatten(1).T


def assert_same_detections(name: str, model: Any, images: list[Tensor], folder: Path) -> None:
    torch.save(model.state_dict(), folder / "weights.pth")
    detector = load_detector(f"torchvision/{name}:{folder / 'weights.pth'}")
    assert detector.class_names == list(COCO_CLASSES)
    found_all = detector([image.permute(1, 2, 0).contiguous().numpy() for image in images])
    for image, found in zip(images, found_all, strict=True):
        with torch.no_grad():
            [expected] = model([image / 255])
        assert len(expected["boxes"]) >= 50
        assert len(set(expected["labels"].tolist())) > 3
        torch.testing.assert_close(found["scores"], expected["scores"], atol=1e-4, rtol=0)
        # Of scores that differ in the last bits either may come first.
        same = (USED[found["labels"]][:, None] == expected["labels"]) & (
            (found["scores"][:, None] - expected["scores"]).abs() < 1e-4
        )
        same &= ((found["boxes"][:, None] - expected["boxes"]).abs() < 0.05).all(dim=-1)
        assert same.any(dim=0).all()
        assert same.any(dim=1).all()


@torch.no_grad()
def test_ssdlite(tmp_path: Path) -> None:
    name, images = "ssdlite320_mobilenet_v3_large", smooth((320, 320), (320, 320))
    model = theirs(name, (320, 320))
    batch, _ = model.transform([image / 255 for image in images])
    features = list(model.backbone(batch.tensors).values())
    heads = model.head.classification_head.module_list, model.head.regression_head.module_list
    for x, class_head, box_head in zip(features, *heads, strict=True):
        class_head[1].weight *= 1.5 / class_head(x).std()
        class_head[1].bias.normal_()
        class_head[1].bias.unflatten(0, (-1, 91))[:, 0] += 3
        without_unused(class_head[1].weight, class_head[1].bias)
        box_head[1].weight *= 1 / box_head(x).std()
    expected = model.head(features)

    assert_same_detections(name, model, images, tmp_path)
    network = load_detector(f"torchvision/{name}:{tmp_path / 'weights.pth'}").task.network
    assert isinstance(network, SSD)
    output = network(torch.stack(images))
    torch.testing.assert_close(
        output.logits, expected["cls_logits"][..., [0, *USED.tolist()]], atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(output.deltas, expected["bbox_regression"], atol=1e-4, rtol=1e-4)
    anchors = model.anchor_generator(batch, features)[0]
    torch.testing.assert_close(output.anchors, anchors, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [  # that are not resized
        ("fasterrcnn_mobilenet_v3_large_320_fpn", [(320, 450), (640, 320)]),
        pytest.param("fasterrcnn_mobilenet_v3_large_fpn", [(160, 1333), (1333, 250)], marks=pytest.mark.slow),
        pytest.param("fasterrcnn_resnet50_fpn_v2", [(96, 1333)], marks=pytest.mark.slow),
    ],
)
@torch.no_grad()
def test_faster_rcnn(name: str, sizes: list[tuple[int, int]], tmp_path: Path) -> None:
    images = smooth(*sizes)
    model = theirs(name, sizes[0])
    batch, _ = model.transform([images[0] / 255])
    features = model.backbone(batch.tensors)
    for layer, std in ((model.rpn.head.cls_logits, 0.8), (model.rpn.head.bbox_pred, 0.2)):
        rescale(layer, torch.cat([rows(layer(model.rpn.head.conv(x))) for x in features.values()]), std)
    proposals, _ = model.rpn(batch, features)
    heads = model.roi_heads
    vectors = heads.box_head(heads.box_roi_pool(features, proposals, batch.image_sizes))
    rescale(heads.box_predictor.cls_score, heads.box_predictor.cls_score(vectors), 1.2)
    rescale(heads.box_predictor.bbox_pred, heads.box_predictor.bbox_pred(vectors), 0.3)
    without_unused(heads.box_predictor.cls_score.weight, heads.box_predictor.cls_score.bias)
    logits, deltas = heads.box_predictor(vectors)

    assert_same_detections(name, model, images, tmp_path)
    network = load_detector(f"torchvision/{name}:{tmp_path / 'weights.pth'}").task.network
    assert isinstance(network, FasterRCNN)
    output = network(images[:1])
    objectness, shifts = model.rpn.head(list(features.values()))
    raw = torch.cat([x.permute(0, 2, 3, 1).flatten(1) for x in objectness], dim=1)
    torch.testing.assert_close(output.rpn.logits, raw, atol=1e-4, rtol=1e-4)
    raw = torch.cat([x.permute(0, 2, 3, 1).reshape(1, -1, 4) for x in shifts], dim=1)
    torch.testing.assert_close(output.rpn.deltas, raw, atol=1e-4, rtol=1e-4)
    assert torch.equal(output.rpn.anchors, model.rpn.anchor_generator(batch, list(features.values()))[0])
    distances = (output.proposals[0][:, None] - proposals[0]).abs().amax(dim=-1)
    assert (distances.amin(dim=0) < 0.01).float().mean() > 0.99  # suppression may turn on the last bits
    roi = network.roi_head(network.features(network.prepare(images[:1])[0]), proposals)
    torch.testing.assert_close(roi.logits, logits[:, [0, *USED.tolist()]], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(roi.deltas, deltas.view(-1, 91, 4)[:, USED], atol=1e-4, rtol=1e-4)


def test_the_whole_is_built_by_name() -> None:
    for name in ("ssd_300_mobilenet_v2", "ssdlite320_mobilenet_v3_large"):
        for dataset, num_classes, options in (("coco", 80, {}), ("custom", 2, {"classes": ["a", "b"]})):
            network = get_model(f"{name}_{dataset}", pretrained_backbone=False, **options)  # type: ignore[arg-type]
            assert isinstance(network, SSD)
            size = 300 if "300" in name else 320
            with torch.no_grad():
                output = network.train()(torch.zeros(1, 3, size, size, dtype=torch.uint8))
            anchors = 1917 if size == 300 else 3234
            assert output.logits.shape == (1, anchors, num_classes + 1)
