"""The contracts: what travels between the loader, the networks, the losses and the metrics.

Conventions, everywhere in this package:

* Images leave the loader as uint8 RGB ``(3, H, W)``; the network normalises on the device.
* Boxes are float32 ``xyxy`` in absolute pixels with continuous edges, ``(N, 4)``: an object in the first
  three columns reaches from 0 to 3, the whole image is ``0 0 width height``. ``(0, 4)`` is a normal value.
* Labels outside the networks are int64 ``0..C-1``. Background exists only inside heads, targets and
  losses, where it is index 0 and foreground class ``k`` is index ``k + 1``.
* A size is ``(height, width)``.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, NotRequired, TypedDict

from torch import Tensor


class Target(TypedDict):
    """The objects of one image. All per-object fields have the same length and are filtered together."""

    boxes: Tensor
    """float32 ``(N, 4)``, in the pixels of the image it travels with."""
    labels: Tensor
    """int64 ``(N,)``, ``0..C-1``."""
    difficult: Tensor
    """bool ``(N,)``: trained on, ignored by the VOC metric."""
    image_id: str
    size: tuple[int, int]
    """``(height, width)`` of the original image on disk."""
    areas: NotRequired[Tensor]
    """float32 ``(N,)``, in evaluation: the area of each object in pixels of the image on disk, by its
    annotation: of the segment where COCO's file has it, else of the box. Decides what COCO calls small."""
    seed: NotRequired[int]
    """In training, the seed of all that is drawn at random for this image in this epoch."""


class Detections(TypedDict):
    """What a detector says about one image: sorted by score, clipped to the image."""

    boxes: Tensor
    """float32 ``(M, 4)``."""
    scores: Tensor
    """float32 ``(M,)``, descending."""
    labels: Tensor
    """int64 ``(M,)``, ``0..C-1``."""
    tracks: NotRequired[Tensor]
    """int64 ``(M,)``: of a video's frame whose objects are followed, which object each is, from 1 on."""


OutcomeKind = Literal["true_positive", "false_positive", "missed", "found", "ignored"]
"""What became of a box: of a detection, true positive, false positive or ignored (it found a difficult
object); of an object, missed or found (a difficult one counts as found)."""


class Outcome(NamedTuple):
    """A detection or an object of one image, and what became of it."""

    box: Sequence[float]
    """``xyxy`` in the pixels of the original image."""
    label: int
    score: float | None
    """None of an object."""
    kind: OutcomeKind


class Sample(NamedTuple):
    """One image and its objects, as a dataset yields it."""

    image: Tensor
    """uint8 ``(3, H, W)`` RGB."""
    target: Target


class AnchorTargets(NamedTuple):
    """What each anchor should predict; the product of ``detection.targets``."""

    labels: Tensor
    """int64 ``(B, A)``. SSD: 0 background, ``k + 1`` for class ``k``. RPN: 1, 0, or -1 for ignored."""
    deltas: Tensor
    """float32 ``(B, A, 4)``, zero where the anchor is not positive."""


class PaddedBatch(NamedTuple):
    """Images of one size, stacked; objects padded to the longest list of the batch (SSD)."""

    images: Tensor
    """uint8 ``(B, 3, H, W)``."""
    boxes: Tensor
    """float32 ``(B, M, 4)``, zeros where padded. ``M`` may be 0."""
    labels: Tensor
    """int64 ``(B, M)``, -1 where padded."""
    difficult: Tensor
    """bool ``(B, M)``, False where padded."""
    sizes: Tensor
    """int64 ``(B, 2)``: original ``(height, width)``."""
    image_ids: list[str]
    targets: AnchorTargets | None = None
    """Set when the loader's workers assign targets (``data.targets_in_workers=true``)."""
    areas: Tensor | None = None
    """float32 ``(B, M)`` in evaluation, see `Target.areas`; zeros where padded."""


class ListBatch(NamedTuple):
    """Images of different sizes, side by side (Faster R-CNN)."""

    images: list[Tensor]
    """Each uint8 ``(3, H_i, W_i)``."""
    targets: list[Target]
    rpn_targets: AnchorTargets | None = None
    """Set when the loader's workers assign targets (``data.targets_in_workers=true``)."""
