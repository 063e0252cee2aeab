import pytest
import torch
from torch import Tensor

from detection.models.backbones.depthwise import StridedDepthwiseConv2d
from detection.models.backbones.folding import FoldingBatchNorm2d, FoldingConv2d
from detection.models.backbones.mobilenet import MobileNetV2Backbone


def strided() -> list[StridedDepthwiseConv2d]:
    torch.manual_seed(0)
    found = MobileNetV2Backbone(weights=None).modules()
    return [module for module in found if isinstance(module, StridedDepthwiseConv2d)]


def test_the_four_that_halve_the_resolution_are_kept_in_float32() -> None:
    assert [conv.in_channels for conv in strided()] == [96, 144, 192, 576]


@pytest.mark.parametrize("training", [True, False])
def test_half_precision_gives_the_values_of_float32_rounded_once(training: bool) -> None:
    conv = strided()[1]
    x = torch.randn(2, 144, 15, 15, dtype=torch.bfloat16)
    container, name = conv.behind
    norm = container.get_submodule(name).train(training)
    assert isinstance(norm, FoldingBatchNorm2d)
    assert norm.folded != training
    expected = conv(x.float())
    with torch.autocast("cpu", torch.bfloat16):
        found = conv(x.requires_grad_())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected.bfloat16(), rtol=0, atol=0)


def test_gradients_reach_weights_in_float32_and_inputs_in_half_precision() -> None:
    conv = strided()[1]
    x = torch.randn(2, 144, 15, 15, dtype=torch.bfloat16, requires_grad=True)
    draw = torch.randn(2, 144, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        (conv(x) * draw).sum().backward()
    assert x.grad is not None
    assert conv.weight.grad is not None
    assert (x.grad.dtype, conv.weight.grad.dtype) == (torch.bfloat16, torch.float32)
    exact: Tensor = x.detach().float().requires_grad_()
    weight = conv.weight.detach().clone().requires_grad_()
    (torch.nn.functional.conv2d(exact, weight, None, 2, 1, 1, 144) * draw.bfloat16()).sum().backward()
    assert exact.grad is not None
    assert weight.grad is not None
    torch.testing.assert_close(x.grad, exact.grad.bfloat16(), rtol=0.01, atol=0.01)
    torch.testing.assert_close(conv.weight.grad, weight.grad, rtol=0.01, atol=0.01)


def test_what_needs_no_gradient_is_computed_in_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.dtype] = []
    compute = FoldingConv2d._conv_forward

    def watched(conv: FoldingConv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        seen.append(x.dtype)
        found: Tensor = compute(conv, x, weight, bias)
        return found

    monkeypatch.setattr(FoldingConv2d, "_conv_forward", watched)
    conv = strided()[1]
    x = torch.randn(1, 144, 9, 9, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        conv(x)
        conv(x.clone().requires_grad_())
    assert seen == [torch.bfloat16, torch.float32]
