"""Videos in, videos out: as many frames, as fast, and whole whenever it ends."""

import itertools
import time
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from detection.data.image_sources import VideoFile, Webcam
from detection.prediction.capture import Capture
from detection.prediction.frames import FrameRecord, FrameResult
from detection.prediction.video import VideoFindings, predict_video
from detection.types import Detections
from tests.prediction.videos import grey, make_video, shown

Frame = np.ndarray[Any, np.dtype[np.uint8]]
FPS = 12.5


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


def predicted(
    detect: Brightness, source: VideoFile, batch_size: int, video: Path | None
) -> tuple[VideoFindings, list[FrameResult]]:
    frames: list[FrameResult] = []
    return predict_video(detect, Capture(source), batch_size, video, ["cat"], frames.append), frames


def brightness(findings: Sequence[Any]) -> list[float]:
    return [255 * float(row.detections["scores"][0]) for row in findings]


def test_every_frame_is_detected_in_and_written_in_order(tmp_path: Path) -> None:
    source = VideoFile(write_video(tmp_path / "a.mp4", 10))
    detect = Brightness()
    findings, found = predicted(detect, source, 4, tmp_path / "out/b.mp4")
    assert detect.batches == [4, 4, 2]
    assert brightness(found) == pytest.approx([20 + 10 * i for i in range(10)], abs=4.9)
    assert [row.seconds for row in found] == pytest.approx([i / FPS for i in range(10)])
    assert {row.size for row in found} == {(48, 64)}
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
    predicted(Brightness(), source, 2, None)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_ctrl_c_leaves_a_video_that_plays(tmp_path: Path) -> None:
    source = VideoFile(write_video(tmp_path / "a.mp4", 20))
    findings, found = predicted(Brightness(interrupt_at=3), source, 4, tmp_path / "b.mp4")
    assert findings.interrupted
    assert len(found) == 12
    assert len(frames_of(tmp_path / "b.mp4")[0]) == 12


def test_an_error_in_the_detector_is_not_hidden(tmp_path: Path) -> None:
    def broken(images: Sequence[Frame]) -> list[Detections]:
        raise RuntimeError("out of memory")

    source = VideoFile(write_video(tmp_path / "a.mp4", 20))
    with pytest.raises(RuntimeError, match="out of memory"):
        predict_video(broken, Capture(source), 4, None, ["cat"], lambda _: None)


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
    found: list[FrameResult] = []
    findings = predict_video(detect, capture, 4, tmp_path / "webcam.mp4", ["cat"], found.append)
    monkeypatch.undo()
    assert detect.batches == [1] * 8, "a live picture does not wait for a batch"
    assert findings.interrupted
    assert Camera.released
    seconds = [row.seconds for row in found]
    assert seconds == sorted(seconds)
    assert seconds[-1] >= 0.7
    assert [at for at, _ in shown(tmp_path / "webcam.mp4")] == pytest.approx(seconds, abs=1e-3)


def test_frames_of_a_file_have_its_times(tmp_path: Path) -> None:
    times = [0, 0.04, 0.08, 0.2, 0.24, 0.5, 0.9]
    source = VideoFile(make_video(tmp_path / "a.mp4", times))
    _, found = predicted(Brightness(), source, 3, None)
    assert [row.seconds for row in found] == pytest.approx(times, abs=1e-3)


def test_a_file_without_time_stamps_has_those_of_its_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(Camera):
        def read(self) -> tuple[bool, Frame]:
            return (number := next(self.frame)) < 5, grey(number, (48, 64))

    monkeypatch.setattr(cv2, "VideoCapture", Stopped)
    _, found = predicted(Brightness(), VideoFile(tmp_path / "a.mp4"), 3, None)
    assert [row.seconds for row in found] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])


def test_frames_are_read_while_the_detector_works(tmp_path: Path) -> None:
    source = VideoFile(make_video(tmp_path / "a.mp4", [number / 25 for number in range(9)]))
    capture = Capture(source)
    read: list[int] = []
    frames = capture._frames
    ahead: list[bool] = []

    def counted() -> Iterator[Any]:
        for frame in frames():
            read.append(len(read))
            yield frame

    def slow(images: Sequence[Frame]) -> list[Detections]:
        seen = 3 * (len(ahead) + 1)
        deadline = time.monotonic() + 10
        while len(read) < min(seen + 3, 9) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        ahead.append(len(read) == min(seen + 3, 9))  # the next batch, and no more
        return Brightness()(images)

    capture._frames = counted  # type: ignore[method-assign]
    predict_video(slow, capture, 3, None, ["cat"], lambda _: None)
    assert ahead == [True, True, True]


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    capture = Capture(VideoFile(make_video(tmp_path / "a.mp4", [number / 25 for number in range(40)])))
    images: list[weakref.ref[Frame]] = []
    found: list[weakref.ref[torch.Tensor]] = []
    most = [0, 0]
    frames, brightness = capture._frames, Brightness()

    def remembered() -> Iterator[Any]:
        for frame in frames():
            images.append(weakref.ref(frame.image))
            yield frame

    def detect(batch: Sequence[Frame]) -> list[Detections]:
        results = brightness(batch)
        found.extend(weakref.ref(result["boxes"]) for result in results)
        most[0] = max(most[0], sum(image() is not None for image in images))
        most[1] = max(most[1], sum(boxes() is not None for boxes in found))
        return results

    capture._frames = remembered  # type: ignore[method-assign]
    record = FrameRecord(tmp_path / "detections.json", {}, ["cat"])
    predict_video(detect, capture, 4, tmp_path / "b.mp4", ["cat"], record.add)
    record.close()
    assert record.count == 40
    assert most[0] <= 3 * 4, "the batch at work, and the next one"
    assert most[1] <= 2 * 4
