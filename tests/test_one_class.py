"""A detector of a single class, and of classes of which none has an object: from the metric to the report."""

import copy
import json
from functools import partial
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from detection.callbacks.summary import RunSummary
from detection.exporting.build import build_program
from detection.exporting.programs import IN_TORCH
from detection.exporting.runners import detections_of
from detection.metrics.analysis import analyse
from detection.metrics.coco_ap import coco_ap
from detection.metrics.image_metric import ImageMetric
from detection.metrics.mean_ap import COCOMeanAP, VOCMeanAP
from detection.models.backbones import TinyBackbone
from detection.models.faster_rcnn_presets import build_faster_rcnn_fpn
from detection.models.ssd import build_ssd
from detection.report.page import plain_metrics
from detection.tasks.base import DetectionTask
from detection.tasks.faster_rcnn import FasterRCNNTask
from detection.tasks.schedules import Cosine
from detection.tasks.ssd import SSDTask
from detection.types import Detections, ListBatch, PaddedBatch, Target

make_sgd = partial(torch.optim.SGD, lr=0.001)
make_fpn = partial(
    build_faster_rcnn_fpn,
    channels=8,
    dense_channels=16,
    anchor_sizes=(8, 16, 32, 64),
    canonical_size=32,
    post_nms_top=(20, 10),
)


def image(number: int, with_objects: bool = True) -> tuple[Detections, Target]:
    """One object, found almost exactly, and a false positive with a lower score."""
    box = torch.tensor([[10.0, 12, 40, 50]])[: int(with_objects)]
    target = Target(
        boxes=box,
        labels=torch.zeros(len(box), dtype=torch.int64),
        difficult=torch.zeros(len(box), dtype=torch.bool),
        image_id=str(number),
        size=(64, 64),
    )
    found = torch.cat([box + 1, torch.tensor([[50.0, 50, 60, 60]])])
    scores = torch.tensor([0.9, 0.2])[-len(found) :]
    return Detections(boxes=found, scores=scores, labels=torch.zeros(len(found), dtype=torch.int64)), target


@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("with_objects", [True, False])
@pytest.mark.parametrize("kind", [VOCMeanAP, COCOMeanAP])
def test_a_vector_over_classes_stays_one(
    kind: type[ImageMetric], num_classes: int, with_objects: bool
) -> None:
    detections, targets = zip(*(image(number, with_objects) for number in range(3)), strict=True)
    metric = copy.deepcopy(kind(num_classes))
    step = metric(list(detections), list(targets))
    for result in (step, metric.compute(), metric.compute()):  # the last one is remembered
        assert result["ap"].shape == (num_classes,)
        assert result["map"].shape == ()
        assert torch.isnan(result["ap"][int(with_objects) :]).all()
        assert torch.isnan(result["map"]) == (not with_objects)
        assert not with_objects or torch.equal(result["ap"][0], result["map"])
    if kind is COCOMeanAP:
        expected = coco_ap(list(detections), list(targets), num_classes)
        torch.testing.assert_close(metric.compute(), expected, equal_nan=True)


def ssd_batch(with_objects: bool) -> PaddedBatch:
    _, target = image(0, with_objects)
    images = torch.randint(256, (1, 3, 64, 64), dtype=torch.uint8)
    boxes, labels, difficult = (target[name].unsqueeze(0) for name in ("boxes", "labels", "difficult"))
    return PaddedBatch(images, boxes, labels, difficult, torch.tensor([[64, 64]]), ["0"])


def faster_rcnn_batch(with_objects: bool) -> ListBatch:
    return ListBatch([torch.randint(256, (3, 64, 64), dtype=torch.uint8)], [image(0, with_objects)[1]])


def make_task(kind: str, names: list[str]) -> DetectionTask:
    torch.manual_seed(0)
    if kind == "ssd":
        network = partial(build_ssd, size=64)
        return SSDTask(TinyBackbone(), network, names, make_sgd, Cosine(), coco_ap=True)
    return FasterRCNNTask(TinyBackbone(), make_fpn, names, make_sgd, Cosine(), coco_ap=True)


@pytest.mark.parametrize("kind", ["ssd", "faster_rcnn"])
@pytest.mark.parametrize("with_objects", [True, False])
@pytest.mark.parametrize("names", [["cat"], ["cat", "dog", "owl"]], ids=["one", "three"])
def test_a_training_validates_and_tests(
    kind: str, names: list[str], with_objects: bool, tmp_path: Path
) -> None:
    make_batch = ssd_batch if kind == "ssd" else faster_rcnn_batch
    train, rest = make_batch(True), make_batch(with_objects)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        callbacks=[RunSummary(str(tmp_path))],
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        default_root_dir=tmp_path,
    )
    task = make_task(kind, names)
    trainer.fit(task, *(DataLoader([batch], batch_size=None) for batch in (train, rest)))  # type: ignore[arg-type]
    assert {f"val/ap/{name}" for name in names} <= trainer.callback_metrics.keys()
    trainer.test(task, DataLoader([rest], batch_size=None), verbose=False)  # type: ignore[arg-type]
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert {f"test/ap/{name}" for name in names} | {"test/coco_map"} <= figures.keys()
    assert (figures["test/map"] is not None) == (figures["test/coco_map"] is not None) == with_objects
    assert figures["test/ap/cat"] == figures["test/map"]


@pytest.mark.parametrize("with_objects", [True, False])
def test_every_figure_of_a_report(with_objects: bool) -> None:
    detections, targets = zip(*(image(number, with_objects) for number in range(4)), strict=True)
    threshold = None if with_objects else 0.1  # with nothing to find none is the best
    figures = plain_metrics(analyse(detections, targets, 1, threshold), ["cat"])
    json.dumps(figures, allow_nan=False)
    assert figures["classes"]["cat"]["ap_07"] == figures["voc"]["map_07"] == (1.0 if with_objects else None)
    if with_objects:
        assert figures["confusion"] == [[4, 0], [0, 0]], "the best threshold is above the false positives"
        assert figures["best_f1"]["f1"] == 1
    assert figures["errors"]["background"]["count"] == (0 if with_objects else 4)


@pytest.mark.parametrize("topk_per_class", [False, True])
def test_an_exported_program_finds_what_the_network_finds(topk_per_class: bool) -> None:
    network = partial(build_ssd, size=64)
    task = SSDTask(
        TinyBackbone(),
        network,
        ["cat"],
        make_sgd,
        Cosine(),
        topk_per_class=topk_per_class,
    ).eval()
    task.describe(model={}, data={"size": 64})
    images = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        outputs = build_program(task, IN_TORCH, "uint8").module(images)
        expected = task.select(task(images), (64, 64))
    for row, wanted in enumerate(expected):
        found = detections_of({name: value.numpy() for name, value in outputs.items()}, row)
        assert len(wanted["scores"]) > 0
        torch.testing.assert_close(found["scores"], wanted["scores"], atol=1e-5, rtol=0)
        torch.testing.assert_close(found["boxes"], wanted["boxes"], atol=1e-2, rtol=0)
