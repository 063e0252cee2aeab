"""Exported files, read back and scored by other evaluators."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detection.metrics.analysis import analyse
from detection.report.exports import coco_image_ids, write_coco_results, write_devkit_results
from detection.types import Detections, Target

CLASSES = ["a", "b c", "d"]
Evaluation = tuple[list[Detections], list[Target]]


def devkit_ap(results: Path, label: int, targets: list[Target]) -> tuple[float, float]:
    """The devkit's procedure on its own file: ``(11 points, area)``."""
    objects: dict[str, list[dict[str, Any]]] = {}
    for target in targets:
        # As in the annotation files: the first and the last pixel, counted from 1.
        boxes = [[x1 + 1, y1 + 1, x2, y2] for x1, y1, x2, y2 in target["boxes"].tolist()]
        objects[target["image_id"].split("/")[-1]] = [
            {"box": box, "difficult": difficult, "found": False}
            for box, difficult, own in zip(
                boxes, target["difficult"].tolist(), target["labels"].tolist(), strict=True
            )
            if own == label
        ]
    num_gt = sum(not item["difficult"] for items in objects.values() for item in items)
    lines = [line.split(" ") for line in results.read_text().splitlines()]
    lines.sort(key=lambda line: -float(line[1]))
    true_positives = misses = 0
    precision, recall = [], []
    for image_id, _, *corners in lines:
        x1, y1, x2, y2 = map(float, corners)
        best, best_item = 0.0, None
        for item in objects[image_id]:
            a1, b1, a2, b2 = item["box"]
            wide, high = min(x2, a2) - max(x1, a1) + 1, min(y2, b2) - max(y1, b1) + 1
            if wide > 0 and high > 0:
                union = (x2 - x1 + 1) * (y2 - y1 + 1) + (a2 - a1 + 1) * (b2 - b1 + 1) - wide * high
                if wide * high / union > best:
                    best, best_item = wide * high / union, item
        if best_item is not None and best >= 0.5:
            if best_item["difficult"]:
                continue
            true_positives, misses = (
                (true_positives, misses + 1) if best_item["found"] else (true_positives + 1, misses)
            )
            best_item["found"] = True
        else:
            misses += 1
        precision.append(true_positives / (true_positives + misses))
        recall.append(true_positives / num_gt)
    points = np.mean(
        [
            max([p for p, r in zip(precision, recall, strict=True) if r >= level], default=0)
            for level in np.arange(11) * 0.1
        ]
    )
    steps = np.diff([0.0, *recall])
    return float(points), float(sum(step * max(precision[i:]) for i, step in enumerate(steps)))


def test_the_devkit_finds_the_same_average_precision(small_evaluation: Evaluation, tmp_path: Path) -> None:
    detections, targets = small_evaluation
    write_devkit_results(tmp_path / "voc", detections, targets, CLASSES)
    voc = analyse(detections, targets, 3).voc
    for label in (0, 1):
        points, area = devkit_ap(tmp_path / f"voc/comp4_det_test_{CLASSES[label]}.txt", label, targets)
        assert points == pytest.approx(voc.ap_07[label], abs=1e-9)
        assert area == pytest.approx(voc.ap_area[label], abs=1e-9)
        assert 0.1 < area < 1


def test_every_class_has_a_file_and_corners_count_from_one(
    tmp_path: Path, small_evaluation: Evaluation
) -> None:
    detections, targets = small_evaluation
    write_devkit_results(tmp_path, [detections[1]], [targets[1]], ["a", "b", "c", "empty"])
    assert (tmp_path / "comp4_det_test_empty.txt").read_text() == ""
    best = int(detections[1]["labels"][0])
    image_id, score, *corners = (
        (tmp_path / f"comp4_det_test_{'abc'[best]}.txt").read_text().split("\n")[0].split(" ")
    )
    assert image_id == "000006"
    assert float(score) == detections[1]["scores"][0].item()
    x1, y1, x2, y2 = detections[1]["boxes"][0].tolist()
    assert [float(value) for value in corners] == [x1 + 1, y1 + 1, x2, y2]


def test_images_that_the_devkit_would_mix_up_keep_their_folders(
    tmp_path: Path, small_evaluation: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    detections, targets = small_evaluation
    twin = {**targets[1], "image_id": "VOC2012/" + Path(targets[0]["image_id"]).name}
    write_devkit_results(tmp_path, detections[:2], [targets[0], twin], CLASSES)  # type: ignore[list-item]
    assert "Images of different folders have one name" in capsys.readouterr().out
    ids = {line.split()[0] for path in tmp_path.iterdir() for line in path.read_text().splitlines()}
    assert ids == {"VOC2012/000005"}


def test_a_class_that_is_no_file_name_has_a_file_nevertheless(tmp_path: Path) -> None:
    write_devkit_results(tmp_path / "voc", [], [], ["../a", "Bowl/Basin", "..", "cat", "Cat"])
    assert {path.name.removeprefix("comp4_det_test_") for path in tmp_path.rglob("*.txt")} == {
        "%2E%2E%2Fa.txt", "Bowl%2FBasin.txt", "%2E%2E.txt", "cat.txt", "Cat_2.txt",
    }  # fmt: skip


def test_pycocotools_finds_the_same_average_precision(small_evaluation: Evaluation, tmp_path: Path) -> None:
    detections, targets = small_evaluation
    assert any(target["difficult"].any() for target in targets), "regions to ignore among them"
    write_coco_results(tmp_path, detections, targets, CLASSES, {}, ["a.jpg"] * len(targets))
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO(str(tmp_path / "ground_truth.json"))
        evaluation = COCOeval(gt, gt.loadRes(str(tmp_path / "results.json")), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    ours = analyse(detections, targets, 3).coco
    assert ours is not None
    for name, expected in zip(("map", "map_50", "map_75", "map_small"), evaluation.stats[:4], strict=True):
        assert ours[name] == pytest.approx(expected, abs=1e-6), name
    assert ours["map"] > 0.1


def test_ids_say_which_image_and_which_class(small_evaluation: Evaluation, tmp_path: Path) -> None:
    detections, targets = small_evaluation
    files = [f"{number}.jpg" for number in range(len(targets))]
    write_coco_results(tmp_path, detections, targets, CLASSES, {}, files)
    document = json.loads((tmp_path / "ground_truth.json").read_text())
    assert document["categories"] == [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)]
    assert document["images"][0] == {"id": 5, "file_name": "0.jpg", "height": 60, "width": 80}
    first = json.loads((tmp_path / "results.json").read_text())[0]
    assert first["image_id"] == 6
    assert first["category_id"] == int(detections[1]["labels"][0]) + 1
    x1, y1, x2, y2 = detections[1]["boxes"][0].tolist()
    assert first["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1])


def test_categories_have_the_numbers_of_the_set(small_evaluation: Evaluation, tmp_path: Path) -> None:
    detections, targets = small_evaluation
    files = ["a.jpg"] * len(targets)
    ids = {name.upper(): 90 - 7 * number for number, name in enumerate(CLASSES)} | {"another": 1}
    write_coco_results(tmp_path, detections, targets, CLASSES, ids, files)
    document = json.loads((tmp_path / "ground_truth.json").read_text())
    assert document["categories"] == [{"id": ids[name.upper()], "name": name} for name in CLASSES]
    labels = [label for target in targets for label in target["labels"].tolist()]
    expected = [90 - 7 * label for label in labels]
    assert [item["category_id"] for item in document["annotations"]] == expected
    found = [90 - 7 * label for each in detections for label in each["labels"].tolist()]
    assert [item["category_id"] for item in json.loads((tmp_path / "results.json").read_text())] == found
    write_coco_results(
        tmp_path, detections, targets, CLASSES, {CLASSES[0]: 7}, files
    )  # the set has no others
    document = json.loads((tmp_path / "ground_truth.json").read_text())
    assert [category["id"] for category in document["categories"]] == list(range(7, len(CLASSES) + 7))


def test_images_without_numbers_are_counted() -> None:
    assert coco_image_ids(["VOC2007/000012", "VOC2007/000007"]) == [12, 7]
    assert coco_image_ids(["139", "285"]) == [139, 285]
    assert coco_image_ids(["VOC2012/2008_000001", "VOC2007/000007"]) == [1, 2]
    assert coco_image_ids(["a/000001", "b/000001"]) == [1, 2]
