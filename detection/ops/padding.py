"""Images of different sizes in one tensor."""

from collections.abc import Sequence

from torch import Tensor


def pad_images(images: Sequence[Tensor], multiple: int) -> tuple[Tensor, list[tuple[int, int]]]:
    """Stack images in the top left corner of a common canvas of zeros.

    Pad after normalising: zero is then the mean colour. Pixel coordinates do not change.

    Args:
        images: at least one ``(3, H_i, W_i)``, of one type and on one device.
        multiple: both sides of the canvas are the smallest multiples of this that hold every image.
            With the stride of the coarsest feature map, no map has to round.

    Returns:
        ``(B, 3, H, W)``, and ``(height, width)`` of each image without the padding.
    """
    sizes = [(image.shape[-2], image.shape[-1]) for image in images]
    batch = images[0].new_zeros(len(images), 3, *padded_size(sizes, multiple))
    for i, (image, (image_height, image_width)) in enumerate(zip(images, sizes, strict=True)):
        batch[i, :, :image_height, :image_width] = image
    return batch, sizes


def padded_size(sizes: Sequence[tuple[int, int]], multiple: int) -> tuple[int, int]:
    """The ``(height, width)`` of the canvas on which `pad_images` stacks images of these sizes."""
    height, width = (-(-max(sides) // multiple) * multiple for sides in zip(*sizes, strict=True))
    return height, width
