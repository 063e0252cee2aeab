"""Little videos, made with PyAV, for the tests of what reads and writes videos."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

Frame = np.ndarray[Any, np.dtype[np.uint8]]
_TICK = Fraction(1, 1000)
_SOUND_RATE = 48000


def grey(frame: int, size: tuple[int, int]) -> Frame:
    """A frame that tells its number by its brightness."""
    return np.full((*size, 3), 20 + 10 * frame, np.uint8)


def make_video(
    path: Path,
    seconds: Sequence[float],
    size: tuple[int, int] = (48, 64),
    codec: str = "libx264",
    sound: str | None = None,
    turned: bool = False,
    picture: Frame | None = None,
) -> Path:
    """Write grey frames, or a picture, at the given times, beside noise that lasts a bit longer.

    ``turned`` is an MP4 file whose head says, as a phone's that was held upright, that the picture lies.
    """
    with av.open(str(path), "w", options={"movflags": "+faststart"} if path.suffix == ".mp4" else {}) as file:
        pictures = file.add_stream(codec, rate=25)
        assert isinstance(pictures, av.VideoStream)
        pictures.height, pictures.width = size if picture is None else picture.shape[:2]
        pictures.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        pictures.codec_context.time_base = _TICK
        noise = file.add_stream(sound, rate=_SOUND_RATE, layout="stereo") if sound else None
        for number, second in enumerate(seconds):
            image = grey(number % 20, size) if picture is None else picture
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = round(second / _TICK), _TICK
            file.mux(pictures.encode(frame))
        file.mux(pictures.encode(None))
        if noise is not None:
            assert isinstance(noise, av.AudioStream)
            _add_noise(file, noise, seconds[-1] + 0.2)
    if turned:
        content = path.read_bytes()
        matrix = content.index(b"tkhd") + 44  # of the track's header, nine numbers
        quarter = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
        path.write_bytes(content[:matrix] + quarter + content[matrix + 36 :])
    return path


def _add_noise(file: av.container.OutputContainer, noise: av.AudioStream, seconds: float) -> None:
    form = noise.codec_context.format.name
    kind = {"flt": np.float32, "s16": np.int16, "s32": np.int32}[form.removesuffix("p")]
    loudest = {"flt": 0.3, "s16": 10_000, "s32": 600_000_000}[form.removesuffix("p")]
    draw, step = np.random.default_rng(0), noise.codec_context.frame_size or 1024
    for first in range(0, round(seconds * _SOUND_RATE), step):
        samples = draw.uniform(-loudest, loudest, (2, step) if form.endswith("p") else (1, 2 * step))
        part = av.AudioFrame.from_ndarray(samples.astype(kind), form, "stereo")
        part.sample_rate, part.pts, part.time_base = _SOUND_RATE, first, Fraction(1, _SOUND_RATE)
        file.mux(noise.encode(part))
    file.mux(noise.encode(None))


def packets(path: Path, kind: str) -> list[tuple[float, bytes]]:
    """Time and content of each packet of the first stream of a kind, ``audio`` or ``video``, as written."""
    with av.open(str(path)) as file:
        stream = next(stream for stream in file.streams if stream.type == kind)
        read = [packet for packet in file.demux(stream) if packet.pts is not None]
        return [(float(packet.pts * packet.time_base), bytes(packet)) for packet in read]  # type: ignore


def shown(path: Path) -> list[tuple[float, Frame]]:
    """Time and picture of each frame."""
    with av.open(str(path)) as file:
        return [(float(frame.time), frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]  # type: ignore
