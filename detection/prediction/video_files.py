"""Videos that are written: H.264 with the sound of their source by PyAV, or, without it, MPEG-4 by OpenCV."""

import itertools
import math
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.data.image_sources import VideoFile
from detection.prediction.capture import Capture

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

_TICKS = 90_000  # of a second: whole numbers of them for all usual rates
_QUALITY = {"crf": "20", "preset": "fast"}
# Sound that MP4 holds as it is; of others FFmpeg may notice only at the end that it cannot finish the file.
_HELD = frozenset(("aac", "ac3", "alac", "eac3", "flac", "mp2", "mp3", "opus"))


class VideoWriter(Protocol):
    """Writes frames as an MP4 file, which is opened with the first frame, and playable once closed.

    The codecs need an even width and height: of an odd one the last column or row is left out.
    """

    def write(self, frame: NDArray[np.uint8], seconds: float) -> None:
        """Add a frame.

        Args:
            frame: ``(H, W, 3)`` RGB, of the size of the first.
            seconds: when it is shown; later than the one before.

        Raises:
            ValueError: the file cannot be written.
        """

    def close(self, whole: bool) -> None:
        """Finish the file.

        Args:
            whole: whether the source is at its end; else the sound ends with the last frame.
        """


def open_writer(path: Path, capture: Capture) -> VideoWriter:
    """Choose how a video is written, and say what would write it better.

    Args:
        path: the file to write.
        capture: where the frames come from; of a file the sound is copied.
    """
    source = capture.source.path if isinstance(capture.source, VideoFile) else None
    if _has_h264():
        return H264Writer(path, capture.fps, source)
    print(
        "The video is written as mp4v, which few browsers and phones play, and without sound; for H.264 with "
        "the sound of its source: pip install -e '.[video]'",
        flush=True,
    )
    return MPEG4Writer(path, capture.fps)


def _has_h264() -> bool:
    try:
        import av
    except ImportError:
        return False
    return "libx264" in av.codec.codecs_available  # not so where PyAV was built on a system's FFmpeg without


class H264Writer:
    """Writes H.264, each frame at its own time, with the sound of a file, by PyAV.

    Args:
        path: the file to write.
        fps: frames per second, on average.
        source: the file whose sound is copied, as it is; None for none.
    """

    def __init__(self, path: Path, fps: float, source: Path | None) -> None:
        self.path, self.fps, self.source = path, fps, source
        self._file: OutputContainer | None = None
        self._sound: _Sound | None = None
        self._ticks = -1

    def write(self, frame: NDArray[np.uint8], seconds: float) -> None:
        """Add a frame: see `VideoWriter`."""
        import av

        height, width = frame.shape[0] // 2 * 2, frame.shape[1] // 2 * 2
        if self._file is None:
            self._file = self._open(height, width)
        start = self._sound.pictures_start if self._sound else 0.0
        self._ticks = max(self._ticks + 1, round((start + seconds) * _TICKS))
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[:height, :width]), "rgb24")
        picture.pts, picture.time_base = self._ticks, Fraction(1, _TICKS)
        self._file.mux(self._pictures.encode(picture))
        if self._sound:  # in step: what is ahead of the other waits in memory
            self._sound.copy_until(self._ticks / _TICKS)

    def close(self, whole: bool) -> None:
        """Finish the file: see `VideoWriter`."""
        if self._file is None:
            return
        try:
            self._file.mux(self._pictures.encode(None))
            if self._sound:
                self._sound.copy_until(math.inf if whole else self._ticks / _TICKS)
        finally:
            self._file.close()
            if self._sound:
                self._sound.close()

    def _open(self, height: int, width: int) -> "OutputContainer":
        import av

        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Players on the web begin before they have the whole file only if its table comes first.
        file = av.open(str(self.path), "w", format="mp4", options={"movflags": "+faststart"})
        rate = Fraction(self.fps).limit_denominator(1001)
        self._pictures = file.add_stream("libx264", rate=rate, options=_QUALITY)
        self._pictures.height, self._pictures.width, self._pictures.pix_fmt = height, width, "yuv420p"
        self._pictures.codec_context.time_base = Fraction(1, _TICKS)
        self._sound = _Sound.of(self.source, file) if self.source else None
        try:
            file.start_encoding()
        except OSError as error:
            raise ValueError(_unwritable(self.path)) from error
        return file


class _Sound:
    """The packets of a video's first track of sound, copied into another file.

    Args:
        source: the video, which is closed by `close`.
        sound: its track.
        target: where they go.
    """

    def __init__(self, source: "InputContainer", sound: "AudioStream", target: "OutputContainer") -> None:
        self._source, self._target = source, target
        self._stream = target.add_stream_from_template(sound)
        pictures = source.streams.best("video")
        starts = [
            float(stream.start_time * stream.time_base)
            if stream and stream.start_time is not None and stream.time_base
            else 0.0
            for stream in (pictures, sound)
        ]
        self._origin = min(starts)  # recordings of a broadcast begin at any time of the day
        self.pictures_start = starts[0] - self._origin
        """Seconds from the beginning of the file to its first frame."""
        self._packets = self._read(sound)
        self._next = next(self._packets, None)

    @classmethod
    def of(cls, path: Path, target: "OutputContainer") -> "_Sound | None":
        """Open the sound of a video; None where there is none, or none that fits, which a line says."""
        import av
        from av.error import FFmpegError

        try:
            source = av.open(str(path))
        except FFmpegError:  # OpenCV reads some files that PyAV does not
            return None
        for sound in source.streams.audio[:1]:
            kind = sound.codec_context.codec.canonical_name
            if kind in _HELD:
                return cls(source, sound, target)
            print(f"The sound of {path} is {kind}, which MP4 does not hold: it is left out.", flush=True)
        source.close()
        return None

    def copy_until(self, seconds: float) -> None:
        """Copy the packets that begin until then, in seconds of the written file."""
        while self._next is not None and self._next[0] <= seconds:
            self._target.mux(self._next[1])
            self._next = next(self._packets, None)

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _read(self, sound: "AudioStream") -> "Iterator[tuple[float, Packet[AudioStream]]]":
        """Yield packets and their time in the written file, up to where the source ends or is damaged."""
        from av.error import FFmpegError

        with suppress(FFmpegError):
            for packet in self._source.demux(sound):
                if packet.dts is None or packet.time_base is None:  # the last one, which is empty
                    continue
                shift = round(self._origin / packet.time_base)
                packet.dts -= shift
                packet.pts = packet.dts if packet.pts is None else packet.pts - shift
                packet.stream = self._stream
                yield float(packet.dts * packet.time_base), packet


class MPEG4Writer:
    """Writes MPEG-4 part 2 at a constant rate, by OpenCV.

    Args:
        path: the file to write.
        fps: frames per second.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path, self.fps = path, fps
        self._written = 0
        self._last: cv2.typing.MatLike = np.zeros((0, 0, 3), np.uint8)
        self._file: cv2.VideoWriter | None = None

    def write(self, frame: NDArray[np.uint8], seconds: float) -> None:
        """Add a frame: see `VideoWriter`. The one before is repeated until its time."""
        height, width = frame.shape[0] // 2 * 2, frame.shape[1] // 2 * 2
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            self._file = cv2.VideoWriter(str(self.path), codec, self.fps, (width, height))
            if not self._file.isOpened():
                raise ValueError(_unwritable(self.path))
        picture = cv2.cvtColor(frame[:height, :width], cv2.COLOR_RGB2BGR)
        repeats = max(0, round(seconds * self.fps) - self._written) if self._written else 0
        for shown in itertools.chain(itertools.repeat(self._last, repeats), (picture,)):
            self._file.write(shown)
        self._written += repeats + 1
        self._last = picture

    def close(self, whole: bool) -> None:
        """Finish the file: see `VideoWriter`."""
        if self._file is not None:
            self._file.release()


def _unwritable(path: Path) -> str:
    return f"{path} cannot be written: is the disk full, or the folder read-only?"
