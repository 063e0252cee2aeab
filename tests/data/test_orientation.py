"""Boxes between the upright image and the pixels as stored."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from detection.data.orientation import boxes_as_shown, boxes_as_stored, size_as_stored


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_painted_box_is_found_where_pillow_puts_it(orientation: int) -> None:
    stored: np.ndarray[Any, np.dtype[np.uint8]] = np.zeros((20, 30), np.uint8)
    stored[3:8, 10:24] = 255
    image = Image.fromarray(stored)
    image.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(image))
    rows, columns = np.flatnonzero(upright.any(axis=1)), np.flatnonzero(upright.any(axis=0))
    box = torch.tensor([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], dtype=torch.float32)
    size = (upright.shape[0], upright.shape[1])
    assert boxes_as_stored(box, orientation, size).tolist() == [[10, 3, 24, 8]]
    assert size_as_stored(size, orientation) == (20, 30)
    assert boxes_as_shown(torch.tensor([[10.0, 3, 24, 8]]), orientation, (20, 30)).tolist() == box.tolist()


def test_no_boxes() -> None:
    assert boxes_as_stored(torch.zeros(0, 4), 6, (10, 20)).shape == (0, 4)
