"""Detection in the frames of a video or a webcam."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detection.drawing.painter import draw_detections
from detection.prediction.ahead import one_ahead
from detection.prediction.capture import Capture
from detection.prediction.preview import has_window, show
from detection.prediction.video_writer import VideoWriter
from detection.system.progress import Tracker
from detection.types import Detections

Frames = Sequence[NDArray[np.uint8]]


class FrameResult(NamedTuple):
    """What was found in one frame."""

    seconds: float
    """Since the beginning: by the rate of a file, by the clock for a webcam."""
    detections: Detections


class VideoFindings(NamedTuple):
    """What was found in a video."""

    frames: list[FrameResult]
    size: tuple[int, int]
    """``(height, width)``."""
    seconds: float
    """The time it took."""
    interrupted: bool
    """Whether Ctrl-C, or q in the window, ended it."""


def predict_video(
    detect: Callable[[Frames], list[Detections]],
    capture: Capture,
    batch_size: int,
    video: Path | None,
    class_names: Sequence[str],
) -> VideoFindings:
    """Detect in every frame until the end, or until Ctrl-C; the written file is whole either way.

    A webcam's frames are taken one by one, as the detector is ready for them, shown in a window where there
    is a screen, and repeated in the written file so that it plays at the speed it was filmed.

    Args:
        detect: from a batch of ``(H, W, 3)`` RGB images to their detections.
        capture: what to read; it is closed.
        batch_size: frames of a file in one call of ``detect``.
        video: the MP4 to write with boxes, at the rate of the source; None writes none.
        class_names: names by label.
    """
    frames: list[FrameResult] = []
    size, interrupted = (0, 0), False
    batches = capture.batches(1) if capture.live else one_ahead(capture.batches(batch_size))
    writer = VideoWriter(video, capture.fps) if video else None
    window = capture.live and has_window()
    with Tracker("frames", capture.count) as progress:
        try:
            for batch in batches:
                for frame, found in zip(batch, detect(batch), strict=True):
                    seconds = progress.seconds if capture.live else len(frames) / capture.fps
                    frames.append(FrameResult(seconds, found))
                    size = frame.shape[0], frame.shape[1]
                    drawn = draw_detections(frame, found, class_names) if writer or window else frame
                    if writer and capture.live:
                        writer.write_until(seconds, drawn)
                    elif writer:
                        writer.write(drawn)
                    if window and not show(drawn):
                        raise KeyboardInterrupt
                progress.advance(len(batch))
        except KeyboardInterrupt:
            interrupted = True
        finally:
            batches.close()  # ends the thread that reads before its file is closed
            capture.close()
            if writer:
                writer.close()
    return VideoFindings(frames, size, progress.seconds, interrupted)
