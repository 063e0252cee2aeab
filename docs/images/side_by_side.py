"""Puts the pictures of a folder side by side, at one height.

``python docs/images/side_by_side.py found/images docs/images/detections.jpg``
"""

import sys
from pathlib import Path

from PIL import Image

HEIGHT, GAP = 256, 6  # pixels


def side_by_side(folder: Path, output: Path) -> None:
    """Write one picture of all that lie in a folder, in the order of their names.

    Args:
        folder: holds the pictures.
        output: the file to write.
    """
    pictures = [Image.open(path).convert("RGB") for path in sorted(folder.iterdir())]
    scaled = [
        p.resize((round(p.width * HEIGHT / p.height), HEIGHT), Image.Resampling.LANCZOS) for p in pictures
    ]
    canvas = Image.new("RGB", (sum(p.width + GAP for p in scaled) - GAP, HEIGHT), "white")
    left = 0
    for picture in scaled:
        canvas.paste(picture, (left, 0))
        left += picture.width + GAP
    canvas.save(output, quality=90)


if __name__ == "__main__":
    side_by_side(Path(sys.argv[1]), Path(sys.argv[2]))
