"""Videos in, videos out: as many frames, as fast, and whole whenever it ends."""

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from detection.data.image_sources import VideoFile, Webcam
from detection.prediction.capture import Capture
from detection.prediction.video import predict_video
from detection.types import Detections

Frame = np.ndarray[Any, np.dtype[np.uint8]]
FPS = 12.5


def grey(frame: int, size: tuple[int, int]) -> Frame:
    """A frame that tells its number by its brightness."""
    return np.full((*size, 3), 20 + 10 * frame, np.uint8)


def write_video(path: Path, count: int, size: tuple[int, int] = (48, 64)) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, size[::-1])
    for frame in range(count):
        writer.write(grey(frame, size))
    writer.release()
    return path


def frames_of(path: Path) -> tuple[list[Frame], float]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(np.asarray(read[1], dtype=np.uint8))
    return frames, capture.get(cv2.CAP_PROP_FPS)


class Brightness:
    """A detector whose score is the brightness of the frame, and which remembers its batches."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.batches: list[int] = []
        self.interrupt_at = interrupt_at

    def __call__(self, images: Sequence[Frame]) -> list[Detections]:
        if len(self.batches) == self.interrupt_at:
            raise KeyboardInterrupt
        self.batches.append(len(images))
        return [
            Detections(
                boxes=torch.tensor([[4.0, 20, 40, 40]]),
                scores=torch.tensor([image.mean() / 255]),
                labels=torch.tensor([0]),
            )
            for image in images
        ]


def brightness(findings: Sequence[Any]) -> list[float]:
    return [255 * float(row.detections["scores"][0]) for row in findings]


def test_every_frame_is_detected_in_and_written_in_order(tmp_path: Path) -> None:
    source = VideoFile(write_video(tmp_path / "a.mp4", 10))
    detect = Brightness()
    findings = predict_video(detect, Capture(source), 4, tmp_path / "out/b.mp4", ["cat"])
    assert detect.batches == [4, 4, 2]
    assert brightness(findings.frames) == pytest.approx([20 + 10 * i for i in range(10)], abs=4.9)
    assert [row.seconds for row in findings.frames] == pytest.approx([i / FPS for i in range(10)])
    assert findings.size == (48, 64)
    assert not findings.interrupted
    frames, fps = frames_of(tmp_path / "out/b.mp4")
    assert len(frames) == 10
    assert fps == pytest.approx(FPS)
    assert frames[0].shape == (48, 64, 3)
    assert [frame[44, 52].mean() for frame in frames] == pytest.approx(
        [20 + 10 * i for i in range(10)], abs=9
    )
    blue, _, red = frames[0][9:19, 5:30].mean(axis=(0, 1))
    assert blue > red + 30, "the label of the first class is blue"


def test_nothing_is_written_unless_asked_for(tmp_path: Path) -> None:
    source = VideoFile(write_video(tmp_path / "a.mp4", 3))
    predict_video(Brightness(), Capture(source), 2, None, ["cat"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_an_odd_size_loses_a_pixel_not_the_video(tmp_path: Path) -> None:
    frames = [Image.fromarray(grey(frame, (49, 65))) for frame in range(3)]
    frames[0].save(
        tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=80
    )  # MP4 cannot be odd
    source = VideoFile(tmp_path / "a.gif")
    findings = predict_video(Brightness(), Capture(source), 2, tmp_path / "b.mp4", ["cat"])
    assert findings.size == (49, 65)
    written, _ = frames_of(tmp_path / "b.mp4")
    assert len(written) == 3
    assert written[0].shape == (48, 64, 3)


def test_ctrl_c_leaves_a_video_that_plays(tmp_path: Path) -> None:
    source = VideoFile(write_video(tmp_path / "a.mp4", 20))
    findings = predict_video(Brightness(interrupt_at=3), Capture(source), 4, tmp_path / "b.mp4", ["cat"])
    assert findings.interrupted
    assert len(findings.frames) == 12
    assert len(frames_of(tmp_path / "b.mp4")[0]) == 12


def test_an_error_in_the_detector_is_not_hidden(tmp_path: Path) -> None:
    def broken(images: Sequence[Frame]) -> list[Detections]:
        raise RuntimeError("out of memory")

    source = VideoFile(write_video(tmp_path / "a.mp4", 20))
    with pytest.raises(RuntimeError, match="out of memory"):
        predict_video(broken, Capture(source), 4, None, ["cat"])


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    with pytest.raises(ValueError, match=r"a\.mp4 cannot be opened as a video"):
        Capture(VideoFile(tmp_path / "a.mp4"))
    with pytest.raises(ValueError, match="webcam 97 cannot be opened"):
        Capture(Webcam(97))


class Camera:
    """Stands for ``cv2.VideoCapture``: never ends, names no frame count, and takes its time."""

    released = False

    def __init__(self, number: int) -> None:
        self.number, self.frame = number, itertools.count()

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def get(self, prop: int) -> float:
        return 20.0 if prop == cv2.CAP_PROP_FPS else -1.0

    def read(self) -> tuple[bool, Frame]:
        time.sleep(0.1)  # half as fast as it promises
        return True, grey(next(self.frame), (48, 64))

    def release(self) -> None:
        Camera.released = True


def test_a_webcam_is_recorded_at_the_speed_of_the_world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    capture = Capture(Webcam(0))
    detect = Brightness(interrupt_at=8)
    findings = predict_video(detect, capture, 4, tmp_path / "webcam.mp4", ["cat"])
    monkeypatch.undo()
    assert detect.batches == [1] * 8, "a live picture does not wait for a batch"
    assert findings.interrupted
    assert Camera.released
    seconds = [row.seconds for row in findings.frames]
    assert seconds == sorted(seconds)
    assert seconds[-1] >= 0.7
    frames, fps = frames_of(tmp_path / "webcam.mp4")
    assert fps == 20
    assert len(frames) == pytest.approx(seconds[-1] * fps, abs=1)
