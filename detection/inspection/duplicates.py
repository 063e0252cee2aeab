"""Images that occur more than once, and images that look almost the same."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detection.data.formats.findings import Finding
from detection.inspection.images import InspectedImage

TRAIN = "train"


def find_repeats(images: Sequence[InspectedImage]) -> list[Finding]:
    """Finds images that are trained on and evaluated on, and images with the same pixels.

    Args:
        images: of all splits, in their order. ``val`` and ``test`` may share images with each other.
    """
    return [*_in_two_splits(images), *_same_pixels(images)]


def _in_two_splits(images: Sequence[InspectedImage]) -> list[Finding]:
    trained_on = {image.record.path for image in images if image.split == TRAIN}
    findings = []
    for image in images:
        record = image.record
        if image.split != TRAIN and record.path in trained_on:
            message = (
                f"is in train and in {image.split}: a model would be judged by what it has learned. Take it "
                "off one of the lists"
            )
            findings.append(Finding("in-two-splits", record.source, message, record.image_id))
    return findings


def _same_pixels(images: Sequence[InspectedImage]) -> list[Finding]:
    groups: dict[str, list[InspectedImage]] = defaultdict(list)
    for image in images:
        if image.facts is not None:
            groups[image.facts.digest].append(image)
    findings = []
    for first, *others in groups.values():
        seen = {first.record.path}
        for image in others:
            record = image.record
            if record.path in seen:
                continue
            seen.add(record.path)
            message = f"({image.split}) has the same pixels as {first.record.path} ({first.split}): "
            if TRAIN in (first.split, image.split) and first.split != image.split:
                kind = "duplicate-image-across-splits"
                message += "a model would be judged by what it has learned. Remove one of them"
            else:
                kind = "duplicate-image"
                message += "remove one of them, and keep the better boxes"
            findings.append(Finding(kind, record.file, message, record.image_id))
    return findings


SIMILAR = 0.98
"""From this correlation on, of the colours in 10 by 10 fields, two images look almost the same. Of the 12.5
million pairs in PASCAL VOC 2007's trainval 7 reach it, all of one scene; the next, at 0.9798, is not."""
MAX_COMPARED = 50_000
"""Of a split with more images the first so many are compared, which takes seconds."""
_MIN_CONTRAST = 4.0  # of 255, root mean square; empty pages are all alike
_PAIRS_AT_ONCE = 2**24


class Twins(NamedTuple):
    """Two images that look almost the same."""

    first: InspectedImage
    second: InspectedImage
    similarity: float
    """At most 1."""


class NearDuplicates(NamedTuple):
    """For every image that has near-duplicates its nearest, the most similar pairs first."""

    across: list[Twins]
    """An image of train, and one of another split."""
    within: list[Twins]
    """Two images of one split."""


def find_near_duplicates(images: Sequence[InspectedImage]) -> NearDuplicates:
    """Compares the images of train with those of the other splits, and those of each split with each other.

    Args:
        images: of all splits. What cannot be decoded, or shows next to no contrast, is like nothing.
    """
    splits: dict[str, list[InspectedImage]] = {}
    for image in images:
        if image.facts is not None and np.sqrt((_contrast(image.facts.look) ** 2).mean()) >= _MIN_CONTRAST:
            splits.setdefault(image.split, []).append(image)
    splits = {split: group[:MAX_COMPARED] for split, group in splits.items()}
    looks = {split: _comparable(group) for split, group in splits.items()}
    across: list[Twins] = []
    within: list[Twins] = []
    for split, group in splits.items():
        within += _nearest(group, looks[split], group, looks[split], earlier=True)
        if split != TRAIN and TRAIN in splits:
            across += _nearest(group, looks[split], splits[TRAIN], looks[TRAIN], earlier=False)
    # An image of val and test is a pair with each of its likes once.
    return NearDuplicates(_once(across), _once(within))


def _contrast(look: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a very small image has of its own: a sky and another one have their blue in common."""
    pixels = look.astype(np.float32)
    pixels -= pixels.mean(axis=(0, 1))
    return pixels


def _comparable(images: Sequence[InspectedImage]) -> NDArray[np.float32]:
    """``(N, 300)``: rows whose products are correlations."""
    looks = [_contrast(image.facts.look).reshape(-1) for image in images if image.facts is not None]
    rows = np.stack(looks)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def _nearest(
    images: Sequence[InspectedImage],
    looks: NDArray[np.float32],
    others: Sequence[InspectedImage],
    their_looks: NDArray[np.float32],
    earlier: bool,
) -> list[Twins]:
    """The most similar of the others for each image that has one; with ``earlier``, of those before it."""
    found = []
    # The file itself, listed in both, is told elsewhere.
    place = {other.record.path: column for column, other in enumerate(others)}
    step = max(1, _PAIRS_AT_ONCE // len(others))
    for start in range(0, len(images), step):
        end = min(start + step, len(images))
        products = looks[start:end] @ (their_looks[:end] if earlier else their_looks).T
        if earlier:
            products[np.triu(np.ones_like(products, dtype=bool), k=start)] = -1
        else:
            for row, image in enumerate(images[start:end]):
                if image.record.path in place:
                    products[row, place[image.record.path]] = -1
        nearest, similarity = products.argmax(axis=1), products.max(axis=1)
        for row in np.flatnonzero(similarity >= SIMILAR).tolist():
            twins = others[nearest[row]], images[start + row]
            found.append(Twins(*twins, min(float(similarity[row]), 1.0)))
    return found


def _once(pairs: list[Twins]) -> list[Twins]:
    unique = {(pair.first.record.path, pair.second.record.path): pair for pair in pairs}
    return sorted(unique.values(), key=lambda pair: -pair.similarity)
