"""Detections and objects of a set as large as VOC 2007 test, made up."""

import numpy as np

from detection.metrics.tables import DetectionTable, GroundTruthTable

NUM_CLASSES = 20
NUM_IMAGES = 4952


def tables(
    per_image: int, images: int = NUM_IMAGES, classes: int = NUM_CLASSES, objects: float = 3.02
) -> tuple[DetectionTable, GroundTruthTable]:
    """Detections in each image: some near an object, with high scores, the rest anywhere.

    Args:
        per_image: detections.
        images: how many.
        classes: of detections and objects.
        objects: of an image, in the mean.
    """
    random = np.random.default_rng(0)
    counts = random.geometric(1 / objects, images)
    gt_images = np.repeat(np.arange(images), counts)
    gt_boxes = _boxes(random, len(gt_images))
    gt = GroundTruthTable(
        gt_images,
        random.integers(0, classes, len(gt_images)),
        gt_boxes,
        random.random(len(gt_images)) < 0.2,
    )
    of_image = np.repeat(np.arange(images), per_image)
    first = np.cumsum(counts) - counts
    target = first[of_image] + random.integers(0, 2**31, len(of_image)) % counts[of_image]
    near = random.random(len(of_image)) < 0.08
    boxes = _boxes(random, len(of_image))
    boxes[near] = gt_boxes[target[near]] + random.normal(0, 8, (int(near.sum()), 4)).astype(np.float32)
    labels = np.where(near, gt.labels[target], random.integers(0, classes, len(of_image)))
    scores = np.where(near, random.beta(4, 2, len(of_image)), random.beta(1, 12, len(of_image)))
    # As detectors give them: the best of each image first.
    order = np.lexsort((-scores, of_image))
    found = DetectionTable(of_image, labels, scores.astype(np.float32), boxes)
    return found._replace(
        labels=found.labels[order], scores=found.scores[order], boxes=found.boxes[order]
    ), gt


def _boxes(random: np.random.Generator, count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    sides = random.uniform(30, 250, (count, 2))
    corners = random.random((count, 2)) * (np.array([500, 375]) - sides)
    return np.concatenate((corners, corners + sides), axis=1).astype(np.float32)
