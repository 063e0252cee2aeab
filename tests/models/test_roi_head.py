import pytest
import torch
from torch import Tensor
from torchvision.models import resnet18
from torchvision.ops import roi_align

from detection.models.roi_head import DenseBody, Layer4Body, RoIHead


def fpn_head(canonical_size: int = 224) -> RoIHead:
    torch.manual_seed(0)
    return RoIHead(DenseBody(4, 7, 16), 3, (4, 8, 16, 32), pooled_size=7, canonical_size=canonical_size)


def c4_head() -> RoIHead:
    torch.manual_seed(0)
    return RoIHead(Layer4Body(resnet18(weights=None).layer4, 512), 3, strides=(16,), pooled_size=14)


def pyramid(requires_grad: bool = False) -> list[Tensor]:
    torch.manual_seed(1)
    sizes = [(64, 96), (32, 48), (16, 24), (8, 12), (4, 6)]
    return [torch.randn(2, 4, *size, requires_grad=requires_grad) for size in sizes]


PROPOSALS = [
    torch.tensor([[3.0, 5.0, 40.0, 60.0], [0.0, 0.0, 380.0, 250.0], [10.0, 10.0, 130.0, 140.0]]),
    torch.tensor([[50.0, 20.0, 290.0, 250.0]]),
]


@pytest.mark.parametrize("canonical_size", [224, 112])
def test_a_region_is_cut_from_the_map_that_fits_its_size(canonical_size: int) -> None:
    head = fpn_head(canonical_size=canonical_size)
    features = pyramid()
    vectors: list[Tensor] = []
    head.body.register_forward_pre_hook(lambda module, inputs: vectors.append(inputs[0]))
    head(features, PROPOSALS)
    index = 0
    for image, proposals in enumerate(PROPOSALS):
        for box in proposals:
            side = float((box[2] - box[0]) * (box[3] - box[1])) ** 0.5
            level, reached = 0, canonical_size / 2  # stride 8 from half the canonical size on
            while level < 3 and side >= reached:
                level, reached = level + 1, reached * 2
            cut = roi_align(features[level][image : image + 1], [box[None]], 7, 1 / 4 / 2**level, 2)
            torch.testing.assert_close(vectors[0][index], cut[0])
            index += 1
    assert index == 4


def test_strides_are_known_however_small_the_image() -> None:
    head = fpn_head()
    head([torch.randn(1, 4, 8 >> i, 8 >> i) for i in range(4)], [torch.tensor([[0.0, 0.0, 9.0, 9.0]])])
    assert head.pool.scales == [1 / 4, 1 / 8, 1 / 16, 1 / 32]


def test_layer4_runs_on_14x14_cells_of_stride_16_and_is_averaged() -> None:
    head = c4_head().eval()
    torch.manual_seed(1)
    features = [torch.randn(2, 256, 10, 12)]
    proposals = [torch.tensor([[3.0, 5.0, 140.0, 100.0]]), torch.tensor([[0.0, 0.0, 50.0, 60.0]])]
    with torch.no_grad():
        output = head(features, proposals)
        assert isinstance(head.body, Layer4Body)
        pooled = roi_align(features[0], proposals, 14, 1 / 16, 2, aligned=False)
        vectors = head.body.layer4(pooled).mean(dim=(2, 3))
        torch.testing.assert_close(output.logits, head.class_predictor(vectors))
        torch.testing.assert_close(output.deltas, head.box_predictor(vectors).view(2, 3, 4))


def test_batch_norm_of_layer4_stays_frozen_in_training_mode() -> None:
    head = c4_head().train()
    before = {key: value.clone() for key, value in head.state_dict().items()}
    head([torch.randn(1, 256, 4, 4)], [torch.tensor([[0.0, 0.0, 50.0, 60.0]])])
    assert all(torch.equal(before[key], value) for key, value in head.state_dict().items())
    trainable = {name for name, p in head.body.named_parameters() if p.requires_grad}
    assert len(trainable) == 5  # 2 blocks of 2 convolutions, and a shortcut
    assert not any("bn" in name or "downsample.1" in name for name in trainable)


@pytest.mark.parametrize("kind", ["fpn", "c4"])
def test_without_regions_the_output_is_empty_and_has_gradients(kind: str) -> None:
    head = fpn_head() if kind == "fpn" else c4_head()
    features = pyramid(True)[:4] if kind == "fpn" else [torch.randn(2, 256, 4, 4, requires_grad=True)]
    output = head(features, [torch.zeros(0, 4), torch.zeros(0, 4)])
    assert output.logits.shape == (0, 4)
    assert output.deltas.shape == (0, 3, 4)
    (output.logits.sum() + output.deltas.sum()).backward()
    for tensor in (*(p for p in head.parameters() if p.requires_grad), *features):
        assert tensor.grad is not None
        assert (tensor.grad == 0).all()


def test_one_image_may_be_without_regions() -> None:
    head = fpn_head()
    both = head(pyramid(), [PROPOSALS[0], torch.zeros(0, 4)])
    alone = head([x[:1] for x in pyramid()], PROPOSALS[:1])
    torch.testing.assert_close(both, alone)


def test_predictors_start_from_the_published_spread_and_zero_bias() -> None:
    head = RoIHead(DenseBody(4, 7, 1024), 20, (4, 8), 7)
    assert head.class_predictor.weight.shape == (21, 1024)
    assert head.box_predictor.weight.shape == (80, 1024)
    assert head.class_predictor.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert head.box_predictor.weight.std().item() == pytest.approx(0.001, rel=0.1)
    assert (head.class_predictor.bias == 0).all()
    assert (head.box_predictor.bias == 0).all()


def test_boxes_stay_float32_in_half_precision() -> None:
    head, features = fpn_head(), pyramid()
    expected = head(features, PROPOSALS)
    output = head.bfloat16()([x.bfloat16() for x in features], PROPOSALS)
    assert output.logits.dtype == torch.bfloat16
    torch.testing.assert_close(output.logits.float(), expected.logits, atol=0.01, rtol=0.05)
