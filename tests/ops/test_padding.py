"""Padding images into one tensor."""

import pytest
import torch

from detection.ops.padding import pad_images, padded_size


def test_images_lie_top_left_on_zeros() -> None:
    images = [torch.rand(3, 5, 9) + 1, torch.rand(3, 7, 4) + 1]
    batch, sizes = pad_images(images, multiple=4)
    assert batch.shape == (2, 3, 8, 12)
    assert sizes == [(5, 9), (7, 4)]
    for canvas, image, (height, width) in zip(batch, images, sizes, strict=True):
        assert torch.equal(canvas[:, :height, :width], image)
        assert canvas.count_nonzero() == image.numel()


@pytest.mark.parametrize(("height", "width"), [(600, 800), (600, 901), (562, 1000), (1, 1)])
def test_sides_are_the_next_multiples(height: int, width: int) -> None:
    batch, sizes = pad_images([torch.ones(3, height, width)], multiple=16)
    padded_height, padded_width = batch.shape[2:]
    assert padded_height % 16 == padded_width % 16 == 0
    assert 0 <= padded_height - height < 16
    assert 0 <= padded_width - width < 16
    assert sizes == [(height, width)]
    assert padded_size(sizes, 16) == (padded_height, padded_width)


def test_type_and_gradient_are_kept() -> None:
    image = torch.ones(3, 4, 6, dtype=torch.float64, requires_grad=True)
    batch, _ = pad_images([image], multiple=8)
    assert batch.dtype == torch.float64
    (gradient,) = torch.autograd.grad(batch.sum(), image)
    assert torch.equal(gradient, torch.ones_like(image))
