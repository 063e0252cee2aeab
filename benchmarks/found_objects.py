"""Detections and objects of a set as large as VOC 2007 test, made up."""

import numpy as np

from detection.metrics.tables import DetectionTable, GroundTruthTable

NUM_CLASSES = 20
NUM_IMAGES = 4952


def tables(per_image: int, seed: int = 0) -> tuple[DetectionTable, GroundTruthTable]:
    """``per_image`` detections in each image: some near an object, with high scores, the rest anywhere."""
    random = np.random.default_rng(seed)
    counts = random.geometric(1 / 3.02, NUM_IMAGES)
    gt_images = np.repeat(np.arange(NUM_IMAGES), counts)
    gt_boxes = _boxes(random, len(gt_images))
    gt = GroundTruthTable(
        gt_images,
        random.integers(0, NUM_CLASSES, len(gt_images)),
        gt_boxes,
        random.random(len(gt_images)) < 0.2,
    )
    images = np.repeat(np.arange(NUM_IMAGES), per_image)
    first = np.cumsum(counts) - counts
    target = first[images] + random.integers(0, 2**31, len(images)) % counts[images]
    near = random.random(len(images)) < 0.08
    boxes = _boxes(random, len(images))
    boxes[near] = gt_boxes[target[near]] + random.normal(0, 8, (int(near.sum()), 4)).astype(np.float32)
    labels = np.where(near, gt.labels[target], random.integers(0, NUM_CLASSES, len(images)))
    scores = np.where(near, random.beta(4, 2, len(images)), random.beta(1, 12, len(images)))
    # As detectors give them: the best of each image first.
    order = np.lexsort((-scores, images))
    found = DetectionTable(images, labels, scores.astype(np.float32), boxes)
    return found._replace(
        labels=found.labels[order], scores=found.scores[order], boxes=found.boxes[order]
    ), gt


def _boxes(random: np.random.Generator, count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    sides = random.uniform(30, 250, (count, 2))
    corners = random.random((count, 2)) * (np.array([500, 375]) - sides)
    return np.concatenate((corners, corners + sides), axis=1).astype(np.float32)
