"""Which detections of a video are the same object, by ByteTrack."""

from dataclasses import replace

import numpy as np

from detection.prediction.selection import Selection
from detection.types import Detections

_FAINTEST = 0.1  # ByteTrack's: a detection of a lower score continues no track
_LIFESPAN = 1_000_000_000  # nanoseconds without a detection until an object is given up: ByteTrack's second
# How fast the Kalman filter adapts: by the library's own, 0.25, an object whose box moves by a third of its
# width from frame to frame has a new identity every third frame. (An IoU to match below its 0.25 helps the
# fast, but mixes up the boxes of a crowd.)
_UPDATE = 1.0


class Identities:
    """Gives an object the same number in each frame, from 1 on, also after it was hidden for up to a second.

    A score of at least the threshold begins a track; a lower one continues a track or is dropped. Objects are
    told apart by where they are and how they move, so a track survives a class that flickers.

    Args:
        threshold: the score, from 0 to 1.

    Raises:
        ImportError: the library is not installed.
    """

    def __init__(self, threshold: float) -> None:
        try:
            from edgefirst.tracker import ByteTrack
        except ImportError as error:
            raise ImportError(
                f"track=true needs edgefirst-tracker ({error}): pip install -e '.[track]'"
            ) from error
        self._tracker = ByteTrack(high_conf=threshold, update=_UPDATE, lifespan_ns=_LIFESPAN)
        self._numbers: dict[str, int] = {}

    @property
    def count(self) -> int:
        """How many objects there were until now."""
        return len(self._numbers)

    def wants(self, select: Selection) -> Selection:
        """Of a selection the one whose detections are given to this: with faint ones, too."""
        return replace(select, threshold=min(_FAINTEST, select.threshold))

    def __call__(self, found: Detections, seconds: float) -> Detections:
        """Tell who is who in the next frame.

        Args:
            found: in this frame.
            seconds: since the beginning; later than the frame before.

        Returns:
            Those that belong to a track, with ``tracks``.
        """
        tracks = self._tracker.update(
            found["boxes"].numpy().astype(np.float32),
            found["scores"].numpy().astype(np.float32),
            found["labels"].numpy().astype(np.uintp),
            round(seconds * 1e9),
        )
        kept = [(row, track.uuid) for row, track in enumerate(tracks) if track is not None]
        rows = found["labels"].new_tensor([row for row, _ in kept])
        numbers = [self._numbers.setdefault(name, len(self._numbers) + 1) for _, name in kept]
        return Detections(
            boxes=found["boxes"][rows],
            scores=found["scores"][rows],
            labels=found["labels"][rows],
            tracks=rows.new_tensor(numbers),
        )
