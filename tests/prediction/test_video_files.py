"""Videos that are written play where their source does: as long, as fast, and with its sound."""

import sys
from pathlib import Path

import av
import numpy as np
import pytest

from detection.data.image_sources import VideoFile
from detection.prediction.capture import Capture
from detection.prediction.video_files import H264Writer, MPEG4Writer, open_writer
from tests.prediction.videos import grey, make_video, packets, shown

UNEVEN = [0, 0.04, 0.08, 0.2, 0.24, 0.5, 0.52, 0.9]
EVEN = [number / 25 for number in range(8)]


def copy(source: Path, path: Path) -> Path:
    """Write the frames of a video anew, as a prediction does."""
    capture = Capture(VideoFile(source))
    writer = open_writer(path, capture)
    for batch in capture.batches(3):
        for seconds, image in batch:
            writer.write(image, seconds)
    capture.close()
    writer.close(whole=True)
    return path


def brightness(path: Path) -> list[float]:
    return [float(frame.mean()) for _, frame in shown(path)]


def test_h264_is_what_browsers_and_phones_play(tmp_path: Path) -> None:
    written = copy(make_video(tmp_path / "a.mp4", EVEN), tmp_path / "new/b.mp4")
    with av.open(str(written)) as file:
        (stream,) = file.streams
        assert isinstance(stream, av.VideoStream)
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert float(stream.average_rate or 0) == pytest.approx(25)
        assert (stream.height, stream.width) == (48, 64)
    content = written.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat"), "it must be loaded whole before it plays"
    assert brightness(written) == pytest.approx([20 + 10 * number for number in range(8)], abs=4)


def test_a_variable_rate_is_kept(tmp_path: Path) -> None:
    written = copy(make_video(tmp_path / "a.mp4", UNEVEN, sound="aac"), tmp_path / "b.mp4")
    assert [seconds for seconds, _ in shown(written)] == pytest.approx(UNEVEN, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "codec", "sound"),
    [("a.mp4", "libx264", "aac"), ("a.mkv", "libx264", "libopus"), ("a.avi", "mpeg4", "libmp3lame"),
     ("a.ts", "libx264", "mp2")],
)  # fmt: skip
def test_the_sound_is_copied_packet_by_packet_and_stays_in_time(
    tmp_path: Path, name: str, codec: str, sound: str
) -> None:
    source = make_video(tmp_path / name, [second + 0.3 for second in EVEN], codec=codec, sound=sound)
    written = copy(source, tmp_path / "b.mp4")
    old, new = packets(source, "audio"), packets(written, "audio")
    assert [content for _, content in new] == [content for _, content in old]
    before = shown(source)[0][0] - old[0][0]
    assert shown(written)[0][0] - new[0][0] == pytest.approx(before, abs=2e-3)
    steps = np.diff([seconds for seconds, _ in old])
    assert np.diff([seconds for seconds, _ in new]) == pytest.approx(steps, abs=2e-3)
    assert len(shown(written)) == 8


def test_sound_that_mp4_does_not_hold_is_left_out_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_video(tmp_path / "a.avi", EVEN, codec="mpeg4", sound="pcm_s16le")
    written = copy(source, tmp_path / "b.mp4")
    assert f"The sound of {source} is pcm_s16le, which MP4 does not hold" in capsys.readouterr().out
    assert len(shown(written)) == 8


def test_what_is_stopped_ends_with_its_last_frame(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", [number / 5 for number in range(20)], sound="aac")
    writer = H264Writer(tmp_path / "b.mp4", 5, source)
    for number in range(6):
        writer.write(grey(number, (48, 64)), number / 5)
    writer.close(whole=False)
    assert len(shown(tmp_path / "b.mp4")) == 6
    assert packets(tmp_path / "b.mp4", "audio")[-1][0] == pytest.approx(1, abs=0.05)


def test_an_odd_size_loses_a_pixel_not_the_video(tmp_path: Path) -> None:
    written = copy(make_video(tmp_path / "a.mkv", EVEN, (49, 65), codec="ffv1"), tmp_path / "b.mp4")
    frames = [frame for _, frame in shown(written)]
    assert len(frames) == 8
    assert frames[0].shape == (48, 64, 3)


def test_a_phone_held_upright_gives_an_upright_video(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", EVEN, turned=True)
    assert shown(source)[0][1].shape == (48, 64, 3)
    assert Capture(VideoFile(source)).count == 8
    written = copy(source, tmp_path / "b.mp4")
    with av.open(str(written)) as file:
        assert next(file.decode(video=0)).rotation == 0
    assert shown(written)[0][1].shape == (64, 48, 3)


def test_a_cut_file_is_written_as_far_as_it_goes(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", [number / 25 for number in range(20)], sound="aac")
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) * 2 // 3])
    written = copy(source, tmp_path / "b.mp4")
    assert 0 < len(shown(written)) <= 20
    assert len(packets(written, "audio")) < 44


def test_without_pyav_a_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_video(tmp_path / "a.mp4", UNEVEN, sound="aac")
    monkeypatch.setitem(sys.modules, "av", None)
    written = copy(source, tmp_path / "b.mp4")
    monkeypatch.undo()
    said = capsys.readouterr().out
    assert "written as mp4v" in said
    assert "pip install -e '.[video]'" in said
    with av.open(str(written)) as file:
        assert [stream.codec_context.name for stream in file.streams] == ["mpeg4"]
    times = [seconds for seconds, _ in shown(written)]
    assert times[-1] == pytest.approx(UNEVEN[-1], abs=0.1), "frames are repeated so that it takes its time"
    assert np.diff(times) == pytest.approx(1 / Capture(VideoFile(source)).fps, abs=2e-3)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").mkdir()
    for writer in (H264Writer(tmp_path / "a.mp4", 25, None), MPEG4Writer(tmp_path / "a.mp4", 25)):
        with pytest.raises(ValueError, match=r"a\.mp4 cannot be written: is the disk full"):
            writer.write(grey(0, (48, 64)), 0)
