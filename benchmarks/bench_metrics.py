"""Rows 10 and 11: average precision of a set as large as VOC 2007 test, 100 detections per image."""

import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks import metric_peers as peers
from benchmarks.found_objects import NUM_CLASSES, NUM_IMAGES, tables
from benchmarks.harness import Benchmark, Result, counted, timed
from detection.metrics.coco_ap import coco_ap
from detection.metrics.voc_ap import voc_ap
from detection.types import Detections, Target


def voc() -> Iterator[Result]:
    """Row 10."""
    found, gt = tables(100)
    ours = partial(voc_ap, found, gt, NUM_CLASSES)
    np.testing.assert_array_equal(ours().ap_area, peers.classic_voc_ap(found, gt, NUM_CLASSES))
    work = "VOC AP, 4,952 images x 100 detections; against"
    classic = partial(peers.classic_voc_ap, found, gt, NUM_CLASSES)
    engine = partial(peers.faster_coco_eval_ap, found, gt, NUM_CLASSES, NUM_IMAGES)
    predictions, targets = peers.as_images(found, gt, NUM_IMAGES)
    torchmetrics = partial(peers.torchmetrics_ap, predictions, targets, iou_thresholds=[0.5])
    yield timed("10", f"{work} the classic loop", ours, classic, 0.05, rounds=5)
    yield timed("10", f"{work} faster-coco-eval", ours, engine, 0.03, rounds=3)
    yield timed("10", f"{work} torchmetrics", ours, torchmetrics, 0.005, rounds=2, warm=False)
    yield counted("10", "its most memory on top of the tables", _peak(ours) / 1e6, 100, "MB")


def coco() -> Iterator[Result]:
    """Row 11."""
    predictions, targets = peers.as_images(*tables(100), NUM_IMAGES)
    found = [Detections(boxes=x["boxes"], scores=x["scores"], labels=x["labels"]) for x in predictions]
    existing = [
        Target(
            boxes=x["boxes"],
            labels=x["labels"],
            difficult=torch.zeros(len(x["labels"]), dtype=torch.bool),
            image_id=str(i),
            size=(375, 500),
        )
        for i, x in enumerate(targets)
    ]
    ours, theirs = (
        partial(coco_ap, found, existing, NUM_CLASSES),
        partial(peers.torchmetrics_ap, predictions, targets),
    )
    results: list[Any] = []
    yield timed(
        "11",
        "COCO AP, same data; against torchmetrics, default with per-class",
        _keeping(ours, results),
        _keeping(theirs, results),
        0.02,
        rounds=2,
        warm=False,
    )
    for name in ("map", "map_50", "map_75", "map_small", "map_medium", "map_large"):
        a, b = float(results[0][name]), float(results[1][name])
        assert abs(a - b) < 1e-4 or (np.isnan(a) and b == -1), (name, a, b)


def _keeping(run: Callable[[], Any], results: list[Any]) -> Callable[[], None]:
    return lambda: results.append(run())


def _peak(run: Callable[[], Any]) -> int:
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


ROWS: dict[str, Benchmark] = {"10": voc, "11": coco}
