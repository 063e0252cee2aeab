"""Tiles in the checks of an export: the network and its files see what ``predict tiles=...`` shows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from detection.checkpoints.loading import load_detector
from detection.data.dataset import DetectionDataset
from detection.data.formats.voc_folder import read_voc
from detection.data.shapes import write_shapes
from detection.exporting.measurement import Measured, Unmeasured, measure
from detection.metrics.tables import make_tables
from detection.metrics.voc_ap import voc_ap
from detection.prediction.tiled_inputs import InTiles
from detection.prediction.trained import TrainedDetector
from detection.tasks.base import DetectionTask
from detection.types import Detections, Sample

CLASSES = ["arrow", "circle", "cross", "heart", "ring", "square", "star", "triangle"]


@pytest.fixture(scope="module", params=["quickstart", "quickstart_faster_rcnn"])
def detector(
    request: pytest.FixtureRequest,
    write_checkpoint: Callable[[Path, str, list[str]], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> TrainedDetector[DetectionTask]:
    return load_detector(write_checkpoint(tmp_path_factory.mktemp("tiles"), request.param, CLASSES))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DetectionDataset:
    """Whole images."""
    root = tmp_path_factory.mktemp("shapes")
    write_shapes(root, 1, 2, 1, size=200, seed=0)
    return DetectionDataset(read_voc(root, [("Shapes", "val")]), CLASSES)


def test_inputs_become_what_prediction_finds_in_tiles(
    detector: TrainedDetector[DetectionTask], dataset: DetectionDataset
) -> None:
    @torch.inference_mode()
    def detect(sample: Sample) -> Detections:
        return detector.task.predict_step(detector.collate([sample]))[0]

    found = InTiles(detector, 120, 0.2)(detect)(dataset[0])
    image = dataset[0].image.permute(1, 2, 0).numpy()
    expected = detector.predict(image, threshold=0, tiles=120, batch_size=1).detections
    assert len(found["scores"]) > 5
    assert all(torch.equal(found[key], expected[key]) for key in ("boxes", "scores", "labels"))


def test_inputs_to_check_on_are_the_whole_and_few_of_many_tiles(
    detector: TrainedDetector[DetectionTask],
) -> None:
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 90, 300), dtype=np.uint8))
    few = list(InTiles(detector, [1, 2], 0.0).inputs(image, 9))
    assert [place for place, _ in few] == ["", "0 0", "150 0"]
    right = detector.prepare(image[:, :, 150:].permute(1, 2, 0).numpy()).image
    assert torch.equal(few[2][1], right)
    many = [place for place, _ in InTiles(detector, 32, 0.2).inputs(image, 9)]
    assert [many[0], many[-1], len(many)] == ["", "268 58", 9]


def test_the_table_is_of_tiles(
    detector: TrainedDetector[DetectionTask], dataset: DetectionDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "none")
    first, compiled = measure(detector.task, detector.collate, [], dataset, InTiles(detector, [2, 2], 0.2))
    assert isinstance(first, Measured)
    assert isinstance(compiled, Unmeasured)
    images = [dataset[row].image.permute(1, 2, 0).numpy() for row in range(2)]
    found = [detector.predict(image, threshold=0, tiles=(2, 2), batch_size=1).detections for image in images]
    expected = voc_ap(*make_tables(found, [dataset.annotation(row) for row in range(2)]), len(CLASSES))
    assert first.mean_aps.voc_area == pytest.approx(float(expected.map_area), nan_ok=True)
