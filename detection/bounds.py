"""What numbers may be, for the signatures of constructors.

``detection.validation.configuration`` holds values to them before anything is read or built: those of the
command line and those of a checkpoint's description alike. What memory and time follow from has a limit.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

from annotated_types import Interval, Len

_Value = TypeVar("_Value")

MAX_SIDE = 4096
MAX_ANCHORS = 5_000_000
"""Of one input: a pyramid with a map of stride 4 has 4.2 million over the largest."""
MAX_REGION_CELLS = 1_000_000
"""Of all regions of an image together: 5,000 regions of 14x14 cells."""

Natural = Annotated[int, Interval(ge=0, le=1_000_000_000)]
Positive = Annotated[int, Interval(ge=1, le=1_000_000_000)]
Share = Annotated[float, Interval(ge=0, le=1)]
PartOfSet = Annotated[float, Interval(ge=0.01, le=0.9)]
"""Of a set of images, to be set apart: a share of them."""
Division = Annotated[Sequence[Share], Len(2, 3)]
"""Shares of train, val and, if wanted, test."""
Factor = Annotated[float, Interval(ge=0, le=1000)]
Seconds = Annotated[float, Interval(ge=0, le=1_000_000)]
Minutes = Annotated[float, Interval(ge=0, le=1_000_000)]
Port = Annotated[int, Interval(ge=1024, le=65535)]
"""Of TCP, but for those that the system keeps for itself."""

Pair = Annotated[Sequence[_Value], Len(2, 2)]
Few = Annotated[Sequence[_Value], Len(1, 100)]
FewOrNone = Annotated[Sequence[_Value], Len(0, 10)]
TileSide = Annotated[int, Interval(ge=32, le=100_000)]
"""Of a tile, in pixels of the image."""
Grid = Annotated[Sequence[Annotated[int, Interval(ge=1, le=100)]], Len(2, 2)]
"""Rows and columns of tiles."""
Tiles = Literal["auto"] | TileSide | Grid
"""Of which size tiles are: as the network's input, so that no pixel is lost; the side in pixels; or how many
rows and columns."""
Overlap = Annotated[float, Interval(ge=0, le=0.9)]
"""Of a tile and the next: a share of its side."""
Colour = Annotated[Sequence[Annotated[float, Interval(ge=0, le=255)]], Len(3, 3)]

Side = Annotated[int, Interval(ge=1, le=MAX_SIDE)]
"""Of an input, in pixels."""
Size = Side | Pair[Side]
"""Of an input in pixels: the side, or the height and the width; or the shortest and the longest side."""
Expansion = Annotated[float, Interval(ge=1, le=100)]

Length = Annotated[float, Interval(ge=1, le=100_000)]
"""In pixels."""
Least = Annotated[float, Interval(ge=0, le=100_000)]
"""What is kept has at least so many pixels; 0 keeps all."""
Ratio = Annotated[float, Interval(ge=0.01, le=100)]
"""Of two sides."""
Step = Length | Pair[Length]
"""Pixels from one cell to the next: one number, or (down, right)."""
Stride = Annotated[int, Interval(ge=1, le=1024)]
"""Pixels of the input per cell of a map."""
Cells = Annotated[int, Interval(ge=1, le=64)]
"""A side, in cells of a map."""
Padding = Annotated[int, Interval(ge=0, le=64)]
"""On each side of a map, in cells."""
Channels = Annotated[int, Interval(ge=1, le=4096)]

Count = Annotated[int, Interval(ge=1, le=10_000)]
"""Of what is kept of an image: proposals, detections."""
Candidates = Annotated[int, Interval(ge=1, le=100_000)]
"""Of what enters suppression."""


def height_and_width(size: Size) -> tuple[int, int]:
    """The two sides of a size; both are the same where one number is given."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])
