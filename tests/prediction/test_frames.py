"""``detections.json`` of a video is whole whenever it ends, and is not kept in memory."""

import json
from pathlib import Path

import torch

from detection.prediction.frames import FrameRecord, FrameResult
from detection.types import Detections


def frame(seconds: float, labels: list[int], tracks: list[int] | None = None) -> FrameResult:
    count = len(labels)
    found = Detections(
        boxes=torch.arange(4.0).repeat(count, 1),
        scores=torch.full((count,), 0.5),
        labels=torch.tensor(labels),
    )
    if tracks is not None:
        found["tracks"] = torch.tensor(tracks)
    return FrameResult(seconds, (48, 64), found)


def test_rows_are_written_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "new/detections.json"
    record = FrameRecord(path, {"source": 'a "b".mp4', "fps": 25.0}, ["cat", "dog"])
    record.add(frame(0, [1, 0], [7, 3]))
    record.add(frame(0.04, []))
    record.add(frame(0.08, [1]))
    record.close()
    content = json.loads(path.read_text(encoding="utf-8"))
    assert list(content) == ["source", "fps", "width", "height", "frames"]
    assert (content["source"], content["width"], content["height"]) == ('a "b".mp4', 64, 48)
    assert [row["frame"] for row in content["frames"]] == [0, 1, 2]
    assert [row["seconds"] for row in content["frames"]] == [0, 0.04, 0.08]
    assert content["frames"][0]["detections"] == [
        {"class": "dog", "score": 0.5, "box": [0, 1, 2, 3], "track": 7},
        {"class": "cat", "score": 0.5, "box": [0, 1, 2, 3], "track": 3},
    ]
    assert content["frames"][2]["detections"] == [{"class": "dog", "score": 0.5, "box": [0, 1, 2, 3]}]
    assert len(path.read_text(encoding="utf-8").splitlines()) == 11, "a frame is a line"
    assert record.count == 3
    assert record.by_class == {"dog": 2, "cat": 1}


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    record = FrameRecord(tmp_path / "detections.json", {}, [])
    record.close()
    assert not list(tmp_path.iterdir())
