"""Tables of detections and objects, and the overlaps between their rows."""

import numpy as np
import pytest
import torch

from detection.data.formats.voc import from_voc_corners
from detection.metrics.tables import DetectionTable, GroundTruthTable, best_overlaps, make_tables, paired_iou
from detection.types import Detections, Target


def found(*boxes: tuple[float, float, float, float]) -> Detections:
    count = len(boxes)
    return Detections(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.linspace(0.9, 0.1, count),
        labels=torch.arange(count),
    )


def target(image_id: str, *boxes: tuple[float, float, float, float]) -> Target:
    return Target(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.arange(len(boxes)),
        difficult=torch.zeros(len(boxes), dtype=torch.bool),
        image_id=image_id,
        size=(50, 60),
    )


def test_images_are_numbered_in_order_and_may_be_empty() -> None:
    box = (0.0, 0.0, 9.0, 9.0)
    dets, gts = make_tables(
        [found(), found(box, box), found(box)], [target("a", box), target("b"), target("c", box)]
    )
    assert sorted(zip(dets.images.tolist(), dets.labels.tolist(), strict=True)) == [(1, 0), (1, 1), (2, 0)]
    assert sorted(gts.images.tolist()) == [0, 2]
    assert gts.boxes.shape == (2, 4)


def test_the_order_of_rows_depends_on_the_ids_alone() -> None:
    ids = [f"VOC2007/{number:06d}" for number in range(20)]
    labels = []
    for order in (list(range(20)), list(range(19, -1, -1))):
        dets, gts = make_tables(
            [found((float(i), 0, 30, 9)) for i in order],
            [target(ids[i], (float(i), 0, 30, 9)) for i in order],
        )
        assert [order[image] for image in dets.images] == dets.boxes[:, 0].tolist()
        assert dets.boxes[:, 0].tolist() == gts.boxes[:, 0].tolist()
        labels.append(dets.boxes[:, 0].tolist())
    assert labels[0] == labels[1]


def test_a_dataset_without_images_gives_empty_tables() -> None:
    dets, gts = make_tables([], [])
    assert dets.boxes.shape == gts.boxes.shape == (0, 4)
    assert dets.labels.dtype == gts.labels.dtype == np.int64
    assert gts.difficult.dtype == np.bool_


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="1 detections for 2 targets"):
        make_tables([found()], [target("a"), target("b")])


def test_iou_is_that_of_areas_between_continuous_edges() -> None:
    a = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10], [5, 5, 5, 9], [0, 0, 12, 12]])
    b = np.array([[0, 0, 5, 10], [9, 9, 19, 19], [10, 0, 20, 10], [5, 5, 5, 9], [4.25, 0, 16.25, 12]])
    np.testing.assert_allclose(paired_iou(a, b), [0.5, 1 / 199, 0.0, 0.0, 7.75 / 16.25])


def test_iou_of_vocs_corners_is_the_devkits() -> None:
    """The devkit counts pixels: a side is ``xmax - xmin + 1``."""
    rng = np.random.default_rng(0)
    first = rng.integers(1, 60, (2, 5000, 2))
    corners = np.concatenate([first, first + rng.integers(0, 40, (2, 5000, 2))], axis=2)
    width, height = (
        np.minimum(*corners[:, :, axis + 2]) - np.maximum(*corners[:, :, axis]) + 1 for axis in (0, 1)
    )
    overlap = np.where((width > 0) & (height > 0), width * height, 0)
    areas = (corners[..., 2] - corners[..., 0] + 1) * (corners[..., 3] - corners[..., 1] + 1)
    a, b = (np.array([from_voc_corners(row) for row in rows.tolist()]) for rows in corners)
    np.testing.assert_allclose(paired_iou(a, b), overlap / (areas.sum(axis=0) - overlap), atol=1e-12, rtol=0)
    assert 0.1 < (overlap > 0).mean() < 0.9


@pytest.mark.parametrize("same_class", [True, False])
def test_the_best_overlap_is_that_of_a_loop_over_all_pairs(same_class: bool) -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        num_dets, num_gts = int(rng.integers(0, 12)), int(rng.integers(0, 12))
        corner, gt_corner = rng.integers(0, 6, (num_dets, 2)), rng.integers(0, 6, (num_gts, 2))
        dets = DetectionTable(
            rng.integers(0, 3, num_dets),
            rng.integers(0, 2, num_dets),
            rng.random(num_dets),
            np.concatenate([corner, corner + rng.integers(1, 6, (num_dets, 2))], axis=1),
        )
        gts = GroundTruthTable(
            rng.integers(0, 3, num_gts),
            rng.integers(0, 2, num_gts),
            np.concatenate([gt_corner, gt_corner + rng.integers(1, 6, (num_gts, 2))], axis=1),
            np.zeros(num_gts, dtype=bool),
        )
        result = best_overlaps(dets, gts, same_class)
        for row in range(num_dets):
            best, best_gt = 0.0, -1
            for gt in range(num_gts):
                in_image = gts.images[gt] == dets.images[row]
                compared = (gts.labels[gt] == dets.labels[row]) == same_class
                iou = float(paired_iou(dets.boxes[row : row + 1], gts.boxes[gt : gt + 1])[0])
                if in_image and compared and iou > best:
                    best, best_gt = iou, gt
            assert result.iou[row] == best
            assert result.gt[row] == best_gt
