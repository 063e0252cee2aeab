"""Files of every runtime find what the network finds in pictures of all sizes and kinds, as decoded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from detection.data.image_files import decode_image
from detection.data.transforms import faster_rcnn_eval_transform, ssd_eval_transform
from detection.exporting.build import build_program, decisions, smallest_side
from detection.exporting.comparison import Thresholds, compare
from detection.exporting.programs import IN_ONNX, IN_TORCH
from detection.exporting.runners import detections_of, open_torch
from detection.exporting.writers import write_onnx, write_openvino, write_torch
from detection.models.faster_rcnn import FasterRCNN
from detection.models.ssd import SSD
from detection.ops.boxes import scale_boxes
from detection.prediction.detector import Detector
from detection.prediction.exported import ExportedDetector
from detection.prediction.prediction import Prediction
from detection.prediction.trained import TrainedDetector
from detection.tasks.base import DetectionTask
from detection.types import Detections
from tests.exporting.test_programs import fpn, images, ssd
from tests.odd_pictures import PLAIN, write_odd_pictures

MakeTask = Callable[..., DetectionTask]
Spread = Callable[[SSD | FasterRCNN, Tensor, float], None]
FILES = {"onnx": "file.onnx", "openvino": "file.xml", "torch_export": "file.pt2"}


class OfTorchExport(Detector):
    """A ``.pt2``, run as its user would, after the same resizing."""

    def __init__(self, path: Path, trained: "TrainedDetector[Any]") -> None:
        super().__init__(trained.transform)
        self.run, self.trained = open_torch(path), trained

    class_names = property(lambda self: self.trained.class_names)
    network_name = "file.pt2"

    def detect(self, images: Any) -> list[Detections]:
        found = []
        for image in images:
            pixels = self.prepare(image).image
            found.append(detections_of(self.run(pixels[None].numpy()), 0))
            size = (pixels.shape[1], pixels.shape[2])
            found[-1]["boxes"] = scale_boxes(found[-1]["boxes"], size, image.shape[:2])
        return found


def detectors(
    make_task: MakeTask, spread_scores: Spread, folder: Path, kind: str, file_format: str
) -> tuple["TrainedDetector[Any]", Detector]:
    """The network, and the file that was made of it."""
    network = ssd() if kind == "ssd" else fpn()
    spread_scores(network, images(1, 128, 128)[0], 2.0)
    size: Any = 128 if kind == "ssd" else [128, 160]
    task = make_task(network, size, score_threshold=0.3)
    transform = ssd_eval_transform(size) if kind == "ssd" else faster_rcnn_eval_transform(size)
    trained = TrainedDetector(task, transform, {"data": {"collate": "padded" if kind == "ssd" else "list"}})
    path = folder / FILES[file_format]
    if file_format == "torch_export":
        write_torch(build_program(task, IN_TORCH, "uint8"), path, {})
        return trained, OfTorchExport(path, trained)
    write = write_onnx if file_format == "onnx" else write_openvino
    about = {"data": "{}", "class_names": json.dumps(["a", "b", "c"])}
    write(build_program(task, IN_ONNX, "uint8"), path, about)
    return trained, ExportedDetector(path, lambda data: transform)


def in_input_pixels(found: Prediction) -> Detections:
    """At the scale of 128 pixels, or their own where pictures are smaller."""
    scale = min(1.0, 128 / max(found.image.shape[:2]))
    return {**found.detections, "boxes": found.detections["boxes"] * scale}


@pytest.mark.parametrize(
    ("kind", "file_format", "large"),
    [
        ("fpn", "onnx", False),  # SSD: tests/prediction/test_exported.py
        *(
            pytest.param(kind, each, True, marks=pytest.mark.slow)
            for kind in ("ssd", "fpn")
            for each in FILES
        ),
    ],
)
def test_files_find_what_the_network_finds(
    make_task: MakeTask, spread_scores: Spread, tmp_path: Path, kind: str, file_format: str, large: bool
) -> None:
    trained, file = detectors(make_task, spread_scores, tmp_path, kind, file_format)
    folder = tmp_path / "pictures"
    folder.mkdir()
    write_odd_pictures(folder, large)
    paths = sorted(folder.iterdir())
    if (kind, file_format) == ("fpn", "torch_export"):  # torch's exporter fixes maps of few cells
        least = smallest_side(trained.task.network)
        shapes = [trained.prepare(decode_image(path, upright=True)).image.shape for path in paths]
        paths = [path for path, shape in zip(paths, shapes, strict=True) if min(shape[1:]) >= least]
    decide = decisions(trained.task)
    limits = Thresholds(decide["score_threshold"], decide["nms_threshold"], decide["max_detections"])
    some = 0
    for batch_size in (1, 3) if large else (3,):  # of mixed sizes
        ours = trained.predict(paths, threshold=0, batch_size=batch_size)
        theirs = file.predict(paths, threshold=0, batch_size=batch_size)
        for path, found, expected in zip(paths, theirs, ours, strict=True):
            assert found.image.shape == expected.image.shape
            difference = compare(in_input_pixels(expected), in_input_pixels(found), limits)
            assert path.name in PLAIN or difference.tolerable, (path.name, difference)
            some += difference.count > 0
    assert some > len(paths) / 2
