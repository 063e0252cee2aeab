from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detection.models.backbones import (
    Backbone,
    MobileNetV2Backbone,
    ResNetBackbone,
    TinyBackbone,
    VGG16AtrousBackbone,
)
from detection.models.presets import PRESETS
from detection.models.ssd import SSD, SSDOutput, build_ssd


class ToyBackbone(Backbone):
    """Small enough to check an SSD's wiring in milliseconds."""

    family = "toy"
    channels = (4, 8)
    strides = (8, 16)

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Conv2d(3, 4, 8, stride=8)
        self.coarse = nn.Conv2d(4, 8, 2, stride=2, padding=1)

    def blocks(self) -> list[nn.Module]:
        return [self.fine, self.coarse]

    def forward(self, images: Tensor) -> list[Tensor]:
        fine = F.relu(self.fine(images))
        return [fine, F.relu(self.coarse(fine))]


def toy_ssd(**overrides: object) -> SSD:
    arguments: dict[str, object] = {
        "num_classes": 3,
        "strides": [8, 16],
        "extras": [[4, 6, 3, 2, 1]],
        "anchor_sizes": [10, 20, 40, 80],
        "anchor_ratios": [[1, 2, 0.5]] * 3,
        "anchor_steps": [8, 16, 32],
    }
    return SSD(ToyBackbone(), **(arguments | overrides))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def vgg300() -> SSD:
    torch.manual_seed(0)
    return build_ssd(VGG16AtrousBackbone(weights=None), num_classes=20, size=300).eval()


def random_images(*size: int) -> Tensor:
    return torch.randint(0, 256, size, dtype=torch.uint8)


# Numbers of the published networks


def test_vgg300_structure(vgg300: SSD) -> None:
    extras = [[m for m in extra.modules() if isinstance(m, nn.Conv2d)] for extra in vgg300.extras]
    assert [(a.out_channels, b.out_channels) for a, b in extras] == [(256, 512)] + [(128, 256)] * 3
    assert [b.stride[0] for _, b in extras] == [2, 2, 1, 1]
    assert [b.padding[0] for _, b in extras] == [1, 1, 0, 0]
    assert all(a.kernel_size == (1, 1) and b.kernel_size == (3, 3) for a, b in extras)
    class_heads, box_heads = [head[0] for head in vgg300.class_heads], [head[0] for head in vgg300.box_heads]  # type: ignore[index]
    assert [head.out_channels for head in class_heads] == [84, 126, 126, 126, 84, 84]
    assert [head.out_channels for head in box_heads] == [16, 24, 24, 24, 16, 16]
    assert all(h.kernel_size == (3, 3) and h.padding == (1, 1) for h in class_heads + box_heads)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in vgg300.modules())


@pytest.mark.parametrize(("size", "parameters"), [(300, 26_285_486), (512, 27_188_676)])
def test_vgg_has_the_published_number_of_parameters(size: int, parameters: int) -> None:
    with torch.device("meta"):
        model = build_ssd(VGG16AtrousBackbone(weights=None), num_classes=20, size=size)
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize(
    ("backbone", "size", "maps", "num_anchors"),
    [
        (lambda: VGG16AtrousBackbone(None), 300, [38, 19, 10, 5, 3, 1], 8732),
        (lambda: VGG16AtrousBackbone(None), 512, [64, 32, 16, 8, 4, 2, 1], 24564),
        (lambda: ResNetBackbone(18, None), 512, [32, 16, 8, 4, 2, 1], 6132),
        (lambda: ResNetBackbone(50, None), 512, [32, 16, 8, 4, 2, 1], 6132),
        (lambda: ResNetBackbone(101, None), 512, [32, 16, 8, 4, 2, 1], 6132),
        (lambda: ResNetBackbone(34, None, strides=(8, 16)), 300, [38, 19, 10, 5, 3, 1], 8732),
        (lambda: MobileNetV2Backbone(None), 300, [38, 19, 10, 5, 3, 1], 8732),
        (lambda: MobileNetV2Backbone(None), 512, [32, 16, 8, 4, 2, 1], 6132),
    ],
    ids=["vgg300", "vgg512", "r18", "r50", "r101", "r34-300", "mobilenet300", "mobilenet512"],
)
def test_maps_and_anchors_at_the_native_size(
    backbone: Callable[[], Backbone], size: int, maps: list[int], num_anchors: int
) -> None:
    with torch.device("meta"):  # shapes only
        model = build_ssd(backbone(), num_classes=20, size=size)
        images = torch.empty(2, 3, size, size, dtype=torch.uint8)
    assert [tuple(m.shape[2:]) for m in model.feature_maps(images.float())] == [(n, n) for n in maps]
    output = model(images)
    assert output.logits.shape == (2, num_anchors, 21)
    assert output.deltas.shape == (2, num_anchors, 4)
    assert output.anchors.shape == (num_anchors, 4)


def test_the_300_network_takes_512_images_with_24656_anchors(vgg300: SSD) -> None:
    with torch.no_grad():
        output = vgg300(random_images(1, 3, 512, 512))
    assert output.logits.shape == (1, 24656, 21)
    assert output.deltas.shape == (1, 24656, 4)
    assert output.anchors.shape == (24656, 4)


@pytest.mark.parametrize("size", [(300, 401), (333, 257)])
def test_any_height_and_width_work(size: tuple[int, int]) -> None:
    model = build_ssd(MobileNetV2Backbone(None), num_classes=2, size=300).eval()
    with torch.no_grad():
        output = model(random_images(1, 3, *size))
    assert output.logits.shape[1] == output.deltas.shape[1] == output.anchors.shape[0]
    centres = (output.anchors[:, :2] + output.anchors[:, 2:]) / 2
    rows, columns = -(-size[0] // 8), -(-size[1] // 8)  # the finest map rounds up
    last = [(columns - 0.5) * size[1] / columns, (rows - 0.5) * size[0] / rows]
    assert centres[4 * rows * columns - 1].tolist() == pytest.approx(last, abs=1e-4)


# Behaviour


def test_predictions_are_in_the_order_of_the_anchors() -> None:
    model = toy_ssd(num_classes=5).eval()
    image = random_images(1, 3, 64, 96)
    with torch.no_grad():
        output = model(image)
        maps = model.feature_maps((image - model.mean) / model.std)
        row, col, k = 3, 5, 2
        for head, predictions, channels in (
            (model.class_heads[1], output.logits, 6),
            (model.box_heads[1], output.deltas, 4),
        ):
            skipped = 4 * maps[0].shape[2] * maps[0].shape[3]
            index = skipped + (row * maps[1].shape[3] + col) * 4 + k
            expected = head(maps[1])[0, k * channels : (k + 1) * channels, row, col]
            torch.testing.assert_close(predictions[0, index], expected)
    centre = (output.anchors[index, :2] + output.anchors[index, 2:]) / 2
    assert centre.tolist() == [(col + 0.5) * 16, (row + 0.5) * 16]
    width, height = (output.anchors[index, 2:] - output.anchors[index, :2]).tolist()
    assert width / height == pytest.approx(2)


def test_uint8_and_float_images_give_the_same_and_are_normalised() -> None:
    model = toy_ssd()
    seen: list[Tensor] = []
    model.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    images = random_images(2, 3, 64, 64)
    torch.testing.assert_close(model(images).logits, model(images.float()).logits)
    expected = (images[1, 2, 5, 6] - 103.53) / 57.375
    torch.testing.assert_close(seen[0][1, 2, 5, 6], expected)


def test_mean_and_std_travel_with_the_weights() -> None:
    first, second = toy_ssd(), toy_ssd()
    first.mean.fill_(7)
    second.load_state_dict(first.state_dict())
    assert (second.mean == 7).all()


def test_training_mode_gives_the_same_kind_of_output() -> None:
    model = toy_ssd()
    images = random_images(2, 3, 64, 64)
    for output in (model.train()(images), model.eval()(images)):
        assert isinstance(output, SSDOutput)
        assert output.logits.shape == (2, len(output.anchors), 4)
        assert output.anchors.dtype == torch.float32


@pytest.mark.parametrize(
    ("backbone", "size"), [(lambda: ResNetBackbone(18, None), 512), (lambda: MobileNetV2Backbone(None), 300)]
)
def test_a_batch_of_one_trains_though_the_last_map_is_one_cell(
    backbone: Callable[[], Backbone], size: int
) -> None:
    model = build_ssd(backbone(), num_classes=2, size=size).train()
    output = model(random_images(1, 3, size, size))
    (output.logits.square().mean() + output.deltas.square().mean()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_channels_last_gives_the_same() -> None:
    model = toy_ssd(lite_heads=True).eval()
    images = random_images(2, 3, 64, 96)
    with torch.no_grad():
        expected = model(images)
        output = model.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
    for ours, reference in zip(output, expected, strict=True):
        torch.testing.assert_close(ours, reference)


def test_anchors_stay_float32_in_half_precision() -> None:
    output = toy_ssd().bfloat16()(random_images(1, 3, 64, 64))
    assert output.logits.dtype == torch.bfloat16
    assert output.anchors.dtype == torch.float32


def test_lite_heads_are_depthwise_then_1x1() -> None:
    model = build_ssd(MobileNetV2Backbone(None), num_classes=20, size=300)
    for head, channels in zip(model.class_heads, (192, 576, 1280, 256, 256, 256), strict=True):
        depthwise, pointwise = (m for m in head.modules() if isinstance(m, nn.Conv2d))
        assert depthwise.groups == depthwise.in_channels == channels
        assert depthwise.kernel_size == (3, 3)
        assert pointwise.kernel_size == (1, 1)


def test_a_seed_fixes_the_weights() -> None:
    models = []
    for _ in range(2):
        torch.manual_seed(233)
        models.append(build_ssd(MobileNetV2Backbone(None), num_classes=3, size=300))
    for first, second in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(first, second)


def test_predictors_start_from_xavier_and_zero_bias(vgg300: SSD) -> None:
    for head in [*vgg300.class_heads, *vgg300.box_heads]:
        predictor = head[-1]
        fans = 9 * (predictor.in_channels + predictor.out_channels)
        assert predictor.weight.abs().max().item() == pytest.approx((6 / fans) ** 0.5, rel=0.01)
        assert (predictor.bias == 0).all()


def test_lite_heads_start_as_ssdlite_was_published() -> None:
    model = build_ssd(MobileNetV2Backbone(None), num_classes=20, size=300)
    for head in [*model.class_heads, *model.box_heads]:
        for conv in (module for module in head.modules() if isinstance(module, nn.Conv2d)):
            assert conv.weight.std().item() == pytest.approx(0.03, rel=0.1)
            assert conv.bias is None or (conv.bias == 0).all()


def test_detect_finds_the_one_confident_anchor_and_clips_it() -> None:
    model = toy_ssd().eval()
    with torch.no_grad():
        _, deltas, anchors = model(random_images(2, 3, 64, 96))
    logits = torch.zeros(2, len(anchors), 4)
    logits[..., 0] = 20
    logits[1, 0, 2] = 40  # class 1: logit 0 is background
    found = model.detect(SSDOutput(logits, torch.zeros_like(deltas), anchors), (64, 96))
    assert [len(d["boxes"]) for d in found] == [0, 1]
    assert found[1]["labels"].tolist() == [1]
    assert found[1]["scores"].item() == pytest.approx(1)
    assert found[1]["boxes"].tolist() == [[0, 0, 9, 9]]  # side 10 around (4, 4), which starts at -1


def test_detect_decodes_with_the_stds_and_obeys_its_limits() -> None:
    model = toy_ssd().eval()
    with torch.no_grad():
        logits, deltas, anchors = model(random_images(1, 3, 64, 96))
    moved = torch.zeros_like(deltas)
    logits = torch.zeros_like(logits)
    logits[..., 0] = 20
    cell = 4 * (4 * 12 + 6)  # the first anchor of row 4, column 6: centre (52, 36), side 10
    moved[0, cell] = torch.tensor([5.0, 0.0, 0.0, 0.0])  # 5 * 0.1 widths to the right
    logits[0, cell, 1] = 30
    (found,) = model.detect(SSDOutput(logits, moved, anchors), (64, 96))
    torch.testing.assert_close(found["boxes"], torch.tensor([[52.0, 31.0, 62.0, 41.0]]))

    everything = SSDOutput(torch.zeros_like(logits), moved, anchors)
    (found,) = model.detect(everything, (64, 96), nms_threshold=1.0, max_detections=7)
    assert len(found["boxes"]) == 7
    (found,) = model.detect(everything, (64, 96), score_threshold=0.3)
    assert len(found["boxes"]) == 0


# Bad input


def test_numbers_that_disagree_are_refused() -> None:
    sizes = r"model\.network\.anchor_sizes=\[10, 20, 40\]: this SSD has 3 maps \(2 of .* one more: 4, not 3"
    with pytest.raises(ValueError, match=sizes):
        toy_ssd(anchor_sizes=[10, 20, 40])
    with pytest.raises(ValueError, match=r"anchor_ratios=\[\[1, 2\], \[1\]\]: .* one for each: 3, not 2"):
        toy_ssd(anchor_ratios=[[1, 2], [1]])


def test_a_stride_that_the_backbone_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needs maps of strides \(8, 32\), but ToyBackbone has \(8, 16\)"):
        toy_ssd(strides=[8, 32])
    with pytest.raises(ValueError, match=r"No SSD is published for a resnet with maps of strides \(16,\)"):
        build_ssd(ResNetBackbone(18, None, strides=(16,)), num_classes=2, size=300)


def test_the_nearest_anchors_are_those_for_the_backbones_maps() -> None:
    coarse = build_ssd(ResNetBackbone(18, None), num_classes=2, size=300)
    fine = build_ssd(ResNetBackbone(18, None, strides=(8, 16)), num_classes=2, size=300)
    assert coarse.anchor_sizes == pytest.approx(
        [300 / 512 * side for side in PRESETS["resnet", 512].anchor_sizes]
    )
    assert (coarse.anchor_steps[0], fine.anchor_steps[0]) == (300 / 19, 8)


@pytest.mark.parametrize(("size", "num_extras"), [(300, 3), (405, 3), (420, 4), ((200, 600), 4)])
def test_other_sizes_take_the_nearest_published_layers(size: int | tuple[int, int], num_extras: int) -> None:
    network = build_ssd(MobileNetV2Backbone(weights=None), num_classes=2, size=size)
    assert len(network.extras) == num_extras


def test_images_that_leave_no_cells_are_refused(vgg300: SSD) -> None:
    with pytest.raises(ValueError, match="Images of 64x64 are too small for this SSD"):
        vgg300(random_images(1, 3, 64, 64))


def test_the_anchors_of_one_map_can_have_other_ratios() -> None:
    published = build_ssd(TinyBackbone(), 3, 128)
    ratios = [list(of_map) for of_map in published.anchor_ratios]
    few = [*ratios[:1], [1.0, 4.0], *ratios[2:]]
    changed = build_ssd(TinyBackbone(), 3, 128, anchor_ratios=few)
    images = torch.zeros(1, 3, 128, 128)
    height, width = published.feature_sizes((128, 128))[1]
    fewer = len(published(images).anchors) - len(changed(images).anchors)
    assert fewer == (len(ratios[1]) - 2) * height * width != 0


def test_a_pyramid_keeps_maps_and_anchors_and_lets_coarse_maps_speak_in_fine_ones() -> None:
    torch.manual_seed(0)
    plain, network = toy_ssd().eval(), toy_ssd(neck="fpn").eval()
    assert not [name for name in plain.state_dict() if name.startswith("neck")]
    images = random_images(2, 3, 64, 48)
    assert torch.equal(network(images).anchors, plain(images).anchors)
    assert network.feature_sizes((64, 48)) == plain.feature_sizes((64, 48))
    maps = network.feature_maps(images.float())
    assert [x.shape[1] for x in maps] == [128, 128, 128]
    maps[0].sum().backward()
    for name in ("backbone.fine.weight", "extras.0.0.weight"):
        gradient = network.get_parameter(name).grad
        assert gradient is not None
        assert gradient.any()


def test_a_pyramid_keeps_the_weights_of_what_comes_before() -> None:
    weights = []
    for neck in (None, "fpn"):
        torch.manual_seed(0)
        network = build_ssd(TinyBackbone(), 3, size=128, neck=neck)
        weights.append(network.backbone.state_dict())
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name])
