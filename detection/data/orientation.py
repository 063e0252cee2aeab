"""Between the upright image, as it is shown, and the pixels as a camera stored them."""

import torch
from torch import Tensor


def boxes_as_stored(boxes: Tensor, orientation: int, size: tuple[int, int]) -> Tensor:
    """Turn boxes back: VOC's annotations belong to the pixels as stored, whatever their EXIF orientation.

    Args:
        boxes: ``(N, 4)`` xyxy pixels of the upright image.
        orientation: EXIF's, from 1 (stored upright) to 8.
        size: ``(height, width)`` of the upright image.

    Returns:
        ``(N, 4)`` xyxy pixels of the stored image.
    """
    height, width = size
    x1, y1, x2, y2 = boxes.unbind(1)
    # What each orientation, applied to the stored image, did to its axes, undone: EXIF 2.3, tag 0x0112.
    if orientation in (2, 3, 6, 7):
        x1, x2 = width - x2, width - x1
    if orientation in (3, 4, 7, 8):
        y1, y2 = height - y2, height - y1
    if orientation in (5, 6, 7, 8):
        x1, y1, x2, y2 = y1, x1, y2, x2
    return torch.stack((x1, y1, x2, y2), dim=1)


def boxes_as_shown(boxes: Tensor, orientation: int, size: tuple[int, int]) -> Tensor:
    """Turn boxes as the image is turned: those of COCO and YOLO belong to the image as it is shown.

    Args:
        boxes: ``(N, 4)`` xyxy pixels of the stored image.
        orientation: EXIF's, from 1 (stored upright) to 8.
        size: ``(height, width)`` of the stored image.

    Returns:
        ``(N, 4)`` xyxy pixels of the upright image.
    """
    undone = {6: 8, 8: 6}.get(orientation, orientation)  # the others undo themselves
    return boxes_as_stored(boxes, undone, size)


def size_as_stored(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """The ``(height, width)`` of the stored image, given that of the upright one."""
    return size[::-1] if orientation in (5, 6, 7, 8) else size
