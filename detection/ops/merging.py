"""From what was found in several views of an image to the detections of the image.

An object that a tile's border cuts is found as a part, whose box ends at that border. The box of the whole
object in another view overlaps it too little for ordinary suppression, so both would be kept. But an edge is
known to be a cut: it lies at a border of its tile where the image goes on. The rule, within each class:

1. **Parts of an object are joined.** Two boxes from tiles side by side belong together if they are cut on
   the facing sides, meet or overlap there, each goes on where the other is cut, and their extents along
   the cut have an IoU of at least 0.5: both tiles show all that lies between the two borders, so it is the
   same object. From the best part on, each takes at each cut the best part that follows and has a third of
   the first one's score, so an object may lie across many tiles. The hull takes the place of the best part.
2. **A part gives way to more of the object**: to a larger box that goes on beyond the cut, covers 0.7 of it
   or more, and has at least a third of its score (so a vague guess at a group does not erase its members).
   Where their IoU is that of duplicates, the part takes the larger box and keeps its score; else it goes.
3. **Duplicates are suppressed**: a box is dropped if its IoU with a better one from another view is above
   the threshold. Boxes of one view never suppress each other, for there the detector has decided: what was
   found in a single view stays as it is.

The result does not depend on the order of the views. Everything is on the CPU; memory grows with the number
of detections, not with its square.
"""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from detection.ops.boxes import pairwise_iou
from detection.ops.views import View, join_views
from detection.types import Detections

# An edge this near to a tile's border is cut by it, as a share of the tile's side.
_NEAR = 0.02
_SAME_EXTENT = 0.5
_COVERED = 0.7
_SCORE_SHARE = 1 / 3
# Pairs of boxes that are compared at once.
_PAIRS = 2**20


def merge_views(
    found: Sequence[tuple[View, Detections]], size: tuple[int, int], iou_threshold: float = 0.5
) -> Detections:
    """Make one image's detections of those in its views, by the rule above.

    Args:
        found: views, one or more, in any order, and what was found in each, in its own pixels, on the CPU.
        size: ``(height, width)`` of the image.
        iou_threshold: two boxes of different views with an IoU above this are duplicates.

    Returns:
        Detections in the pixels of the image.
    """
    joined, views = join_views(found)
    boxes, scores, labels = joined["boxes"], joined["scores"], joined["labels"]
    windows = torch.tensor([view.window for view in sorted(view for view, _ in found)])[views]
    near = _NEAR * (windows[:, 2:] - windows[:, :2]).float()
    cut = cut_edges(boxes, windows, near, size)
    kept = torch.zeros(len(scores), dtype=torch.bool)
    for label in labels.unique():
        rows = (labels == label).nonzero().squeeze(1)
        merged = _OfOneClass(boxes[rows], scores[rows], views[rows], cut[rows], near[rows], iou_threshold)
        merged.join_parts()
        merged.replace_parts()
        merged.suppress()
        boxes[rows], kept[rows] = merged.boxes, merged.kept
    return Detections(boxes=boxes[kept], scores=scores[kept], labels=labels[kept])


def cut_edges(boxes: Tensor, windows: Tensor, near: Tensor, size: tuple[int, int]) -> Tensor:
    """Which edges of boxes lie at a border of their window where the image goes on.

    Args:
        boxes: ``(N, 4)`` in the pixels of the image.
        windows: ``(N, 4)``, of each box's view.
        near: ``(N, 2)``, pixels across and down within which an edge lies at a border.
        size: ``(height, width)`` of the image.

    Returns:
        bool ``(N, 4)``: left, top, right, bottom.
    """
    height, width = size
    ends = windows == torch.tensor([0, 0, width, height])
    return ((boxes - windows).abs() <= near.repeat(1, 2)) & ~ends


class _OfOneClass:
    """The boxes of one class, best first, while they are merged. Columns are left, top, right, bottom.

    Args:
        boxes: ``(N, 4)``.
        scores: ``(N,)``, descending.
        views: ``(N,)``, numbers from 0.
        cut: bool ``(N, 4)``.
        near: ``(N, 2)`` pixels across and down.
        iou_threshold: of duplicates.
    """

    def __init__(
        self, boxes: Tensor, scores: Tensor, views: Tensor, cut: Tensor, near: Tensor, iou_threshold: float
    ) -> None:
        self.boxes, self.scores, self.views, self.cut, self.near = boxes, scores, views, cut, near
        self.iou_threshold = iou_threshold
        self.kept = torch.ones(len(boxes), dtype=torch.bool)

    def join_parts(self) -> None:
        """Step 1."""
        following = self._following()
        used: set[int] = set()
        for first in sorted({part for part, _ in following}):
            if first in used:
                continue
            least, members = float(self.scores[first]) * _SCORE_SHARE, [first]
            for member in members:  # which grow meanwhile
                for side in range(4):
                    fitting = (
                        other
                        for other in following.get((member, side), ())
                        if other not in used and other not in members and self.scores[other] >= least
                    )
                    members.extend([other for other in [next(fitting, None)] if other is not None])
            used.update(members)
            if len(members) > 1:
                self._become_hull(members)

    def _following(self) -> dict[tuple[int, int], list[int]]:
        """By part and side: the parts that may go on there, best first."""
        following: dict[tuple[int, int], list[int]] = defaultdict(list)
        for start, end in ((0, 2), (1, 3)):  # across, down
            along = [1 - start, 3 - start]
            seconds = self.cut[:, start].nonzero().squeeze(1)
            for firsts in _blocks(self.cut[:, end].nonzero().squeeze(1), len(seconds)):
                a, b = self.boxes[firsts].unsqueeze(1), self.boxes[seconds].unsqueeze(0)
                fit = b[..., start] <= a[..., end] + self.near[firsts, start].unsqueeze(1)
                fit &= (a[..., start] < b[..., start]) & (a[..., end] < b[..., end])
                fit &= _interval_iou(a[..., along], b[..., along]) >= _SAME_EXTENT
                for row, column in fit.nonzero().tolist():
                    one, other = int(firsts[row]), int(seconds[column])
                    following[one, end].append(other)
                    following[other, start].append(one)
        return {key: sorted(others) for key, others in following.items()}

    def _become_hull(self, members: list[int]) -> None:
        """Let the first of the members stand for all."""
        boxes = self.boxes[members]
        hull = torch.cat((boxes[:, :2].amin(dim=0), boxes[:, 2:].amax(dim=0)))
        self.cut[members[0]] = (self.cut[members] | (boxes != hull)).all(dim=0)
        self._take(members[0], hull)
        self.kept[members[1:]] = False

    def _take(self, row: int, box: Tensor) -> None:
        self.boxes[row] = box
        self.views[row] = -1 - row  # of no single view: it may be a duplicate of any

    def replace_parts(self) -> None:
        """Step 2."""
        others = self.kept.nonzero().squeeze(1)
        boxes, cut = self.boxes.clone(), self.cut.clone()
        parts = (cut.any(dim=1) & self.kept).nonzero().squeeze(1)
        while len(parts):  # what took a larger box may have taken a part's, and looks again
            larger: list[tuple[int, int]] = []
            for rows in _blocks(parts, len(others)):
                fits = self._more(rows, others, boxes)
                same = fits & (pairwise_iou(self.boxes[rows], boxes[others]) > self.iou_threshold)
                self.kept[rows] = same.any(dim=1) | ~fits.any(dim=1)
                taken = same.any(dim=1).nonzero().squeeze(1)
                best = others[same[taken].int().argmax(dim=1)]  # the first
                larger += zip(rows[taken].tolist(), best.tolist(), strict=True)
            for row, other in larger:
                self._take(row, boxes[other])
                self.cut[row] = cut[other]
            parts = torch.tensor([row for row, other in larger if cut[other].any()], dtype=torch.int64)

    def _more(self, rows: Tensor, others: Tensor, boxes: Tensor) -> Tensor:
        """Which of the others show more of the object of a part."""
        a, b = self.boxes[rows].unsqueeze(1), boxes[others].unsqueeze(0)
        more = _intersection(a, b) >= _COVERED * _area(a)
        more &= _area(b) > _area(a)  # so that the largest stays
        more &= self.scores[others] >= _SCORE_SHARE * self.scores[rows].unsqueeze(1)
        beyond = torch.cat((b[..., :2] < a[..., :2], b[..., 2:] > a[..., 2:]), dim=-1)
        more &= (beyond & self.cut[rows].unsqueeze(1)).any(dim=-1)
        return more

    def suppress(self) -> None:
        """Step 3."""
        kept = torch.zeros(0, dtype=torch.int64)
        left = self.kept.nonzero().squeeze(1)
        for rows in _blocks(left, len(left)):
            free = rows[~self._duplicates(kept, rows).any(dim=0)]
            among = self._duplicates(free, free).triu(1)
            stays = torch.ones(len(free), dtype=torch.bool)
            for row in among.any(dim=1).nonzero().squeeze(1).tolist():
                if stays[row]:
                    stays &= ~among[row]
            kept = torch.cat((kept, free[stays]))
        self.kept = torch.zeros_like(self.kept).index_fill(0, kept, True)

    def _duplicates(self, rows: Tensor, columns: Tensor) -> Tensor:
        iou = pairwise_iou(self.boxes[rows], self.boxes[columns])
        return (iou > self.iou_threshold) & (self.views[rows].unsqueeze(1) != self.views[columns])


def _blocks(rows: Tensor, num_columns: int) -> tuple[Tensor, ...]:
    """Parts of rows, each of few enough to be compared with all columns at once."""
    blocks: tuple[Tensor, ...] = rows.split(max(1, _PAIRS // max(1, num_columns)))
    return blocks


def _interval_iou(one: Tensor, other: Tensor) -> Tensor:
    """IoU of intervals ``(..., 2)``, which are not empty."""
    shared = torch.minimum(one[..., 1], other[..., 1]) - torch.maximum(one[..., 0], other[..., 0])
    hull = torch.maximum(one[..., 1], other[..., 1]) - torch.minimum(one[..., 0], other[..., 0])
    return shared / hull


def _intersection(one: Tensor, other: Tensor) -> Tensor:
    near, far = torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one[..., 2:], other[..., 2:])
    return (far - near).clamp(min=0).prod(dim=-1)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1)
