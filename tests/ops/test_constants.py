"""Numbers that stay on their device."""

import torch

from detection.ops.constants import constant


def test_numbers_are_float32_and_made_once() -> None:
    first = constant((1, 2), "cpu")
    assert first.equal(torch.tensor([1.0, 2.0]))
    assert first.dtype == torch.float32
    assert constant((1, 2), "cpu") is first
    assert constant((1, 2), "meta").is_meta


def test_what_an_evaluation_made_serves_a_training() -> None:
    with torch.inference_mode():
        divisor = constant((0.25, 0.5), "cpu")
    x = torch.ones(2, requires_grad=True)
    (x / divisor).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [4.0, 2.0]


def test_a_tensor_of_a_compilation_is_not_kept() -> None:
    class Divide(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x / constant((3.0, 7.0), x.device)

    program = torch.export.export(Divide(), (torch.ones(2),))
    assert type(constant((3.0, 7.0), torch.device("cpu"))) is torch.Tensor
    assert program.module()(torch.ones(2)).equal(torch.ones(2) / torch.tensor([3.0, 7.0]))
