"""A window that shows what the webcam sees, where there is a screen."""

import os
import sys

import cv2
import numpy as np
from numpy.typing import NDArray

_TITLE = "detection (q ends)"


def has_window() -> bool:
    """Open the window; False without a screen, or where OpenCV was built without windows."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return False  # trying would end the process
    try:
        cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL)
    except cv2.error:
        return False
    return True


def show(frame: NDArray[np.uint8]) -> bool:
    """Show an ``(H, W, 3)`` RGB frame; False when the user pressed q or Esc."""
    cv2.imshow(_TITLE, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return cv2.waitKey(1) & 0xFF not in (ord("q"), 27)
