import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torchvision.models import mobilenet_v2, resnet18, resnet50

from detection.models.backbones.base import freeze_batchnorm
from detection.models.backbones.folding import (
    FoldingBatchNorm2d,
    FoldingConv2d,
    fold_batchnorms,
    fold_for_good,
)
from detection.models.backbones.mobilenet_tensorflow import MobileNetV2TensorFlowBackbone
from detection.models.ssd import build_ssd

Build = Callable[[], nn.Module]


def with_odd_statistics(module: nn.Module) -> nn.Module:
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            nn.init.normal_(norm.running_mean, std=0.1)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.1)
    return module


def two(build: Build, folded_norms: int) -> tuple[nn.Module, nn.Module]:
    """A network with odd statistics, and the same one folded."""
    torch.manual_seed(0)
    plain = with_odd_statistics(build().double())
    folding = copy.deepcopy(plain)
    fold_batchnorms(folding)
    norms = [module for module in folding.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == folded_norms
    assert all(isinstance(module, FoldingBatchNorm2d) for module in norms)
    assert list(folding.state_dict()) == list(plain.state_dict())
    return plain, folding


def gradients(module: nn.Module, x: Tensor) -> list[Tensor]:
    module.zero_grad()
    module(x).square().mean().backward()
    return [p.grad for p in module.parameters() if p.grad is not None]


class Counting(torch.overrides.TorchFunctionMode):
    """Counts the batch norms that are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.batchnorms = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.batchnorms += func is torch.nn.functional.batch_norm
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("build", "norms"), [(resnet18, 20), (resnet50, 53), (mobilenet_v2, 52)])
def test_outputs_and_gradients_are_those_of_the_plain_network(build: Build, norms: int) -> None:
    plain, folding = two(build, norms)
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    for module in (plain, folding):
        freeze_batchnorm(module.train())
        for dropout in module.modules():
            if isinstance(dropout, nn.Dropout):
                dropout.eval()
    with Counting() as counting:
        found = folding(x)
    assert counting.batchnorms == 0
    torch.testing.assert_close(found, plain(x), rtol=1e-9, atol=1e-9)
    expected = gradients(plain, x)
    assert len(expected) == norms + 2  # every convolution, and the classifier's two
    torch.testing.assert_close(gradients(folding, x), expected, rtol=1e-8, atol=1e-10)


def test_norms_that_train_work_themselves() -> None:
    plain, folding = two(resnet18, 20)
    x = torch.randn(4, 3, 64, 64, dtype=torch.float64)
    torch.testing.assert_close(gradients(folding.train(), x), gradients(plain.train(), x), rtol=0, atol=0)
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(folding.state_dict()[key], value, rtol=0, atol=0)


def test_without_gradients_nothing_changes() -> None:
    plain, folding = two(resnet18, 20)
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    with torch.inference_mode():
        torch.testing.assert_close(folding.eval()(x), plain.eval()(x), rtol=0, atol=0)


def test_trainable_scale_and_shift_get_gradients_in_evaluation_mode() -> None:
    plain, folding = two(resnet18, 20)
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    expected = gradients(plain.eval(), x)
    torch.testing.assert_close(gradients(folding.eval(), x), expected, rtol=1e-8, atol=1e-10)
    assert len(expected) == 62


def test_norms_that_sync_take_the_place_of_folding_ones() -> None:
    plain, folding = two(resnet18, 20)
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(folding).eval()
    assert not any(isinstance(module, FoldingBatchNorm2d) for module in synced.modules())
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    torch.testing.assert_close(synced(x), plain.eval()(x))


def test_a_copy_folds_its_own_norm() -> None:
    _, folding = two(resnet18, 20)
    freeze_batchnorm(folding.train())
    copied = copy.deepcopy(folding)
    for module in copied.modules():
        if isinstance(module, FoldingBatchNorm2d):
            module.bias.data += 1
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    assert (copied(x) - folding(x)).abs().max() > 0.1
    assert all(
        module.behind[0] in set(copied.modules())
        for module in copied.modules()
        if isinstance(module, FoldingConv2d)
    )


def test_an_exported_program_has_plain_norms_or_none() -> None:
    plain, folding = two(resnet18, 20)
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    for folded in (False, True):
        if folded:
            fold_for_good(folding)
        with torch.no_grad():
            program = torch.export.export(folding.eval(), (x,))
        names = [str(node.target) for node in program.graph.nodes]
        assert sum("batch_norm" in name for name in names) == (0 if folded else 20)
        torch.testing.assert_close(program.module()(x), plain.eval()(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("build", "norms"), [(resnet18, 20), (mobilenet_v2, 52)])
def test_a_network_folded_for_good_has_no_norms_and_computes_the_same(build: Build, norms: int) -> None:
    plain, folding = two(build, norms)
    fold_for_good(folding.eval().requires_grad_(False))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folding.modules())
    assert not any(parameter.requires_grad for parameter in folding.parameters())
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    plain.eval()
    for gradients_wanted in (False, True):
        with torch.set_grad_enabled(gradients_wanted), Counting() as counting:
            found = folding(x)
        assert counting.batchnorms == 0
        torch.testing.assert_close(found, plain(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_an_ssd_folded_for_good_also_folds_what_it_adds_to_the_backbone(
    dtype: torch.dtype, tolerance: float
) -> None:
    """Convolutions with a bias, TensorFlow's padding; and the layout in memory stays."""
    torch.manual_seed(0)
    ssd = build_ssd(MobileNetV2TensorFlowBackbone(weights=None), 20, size=300).eval()
    with_odd_statistics(ssd).to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    folded = copy.deepcopy(ssd)
    fold_for_good(folded)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert all(
        module.weight.is_contiguous(memory_format=torch.channels_last)
        for module in folded.modules()
        if isinstance(module, nn.Conv2d)
    )
    images = torch.randint(0, 256, (1, 3, 300, 300), dtype=torch.uint8)
    with torch.inference_mode():
        found, expected = folded(images), ssd(images)
    torch.testing.assert_close(tuple(found), tuple(expected), rtol=tolerance, atol=tolerance)
    if dtype == torch.float64:  # in float32 rounding decides which of two boxes of noise is better
        (ours,), (theirs,) = folded.detect(found, (300, 300)), ssd.detect(expected, (300, 300))
        assert len(ours["scores"]) > 10
        torch.testing.assert_close(ours, theirs)


def test_norms_that_train_are_not_folded_for_good() -> None:
    _, folding = two(resnet18, 20)
    fold_for_good(folding.train())
    assert sum(isinstance(module, FoldingBatchNorm2d) for module in folding.modules()) == 20


def test_a_convolution_that_others_use_too_is_not_folded() -> None:
    shared, made = nn.Conv2d(3, 3, 1), weight_norm(nn.Conv2d(3, 3, 1))
    network = nn.Sequential(
        nn.Sequential(shared, nn.BatchNorm2d(3)),
        nn.Sequential(shared, nn.BatchNorm2d(3)),
        nn.Sequential(made, nn.BatchNorm2d(3)),
    )
    with_odd_statistics(network.eval())
    x = torch.randn(1, 3, 4, 4)
    expected = network(x)
    fold_for_good(network)
    torch.testing.assert_close(network(x), expected)
