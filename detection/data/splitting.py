"""A set that lists no validation (or test) images: which of its images are set apart for them.

Images that look alike stay together, and each class is divided in proportion, as far as possible (iterative
stratification, Sechidis et al., 2011: the rarest class first). The same images and seed give the same split,
on any machine and in whatever order the files are found.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from detection.data.formats.records import ImageRecord, SplitName
from detection.data.likeness import DIFFERING, group_alike, look_at

_SPARE = 0.01  # of all images: so many more than its share a split may have, for the sake of its classes


@dataclass(frozen=True)
class SetApart:
    """Which images of a set are in which split."""

    seed: int
    fractions: dict[SplitName, float]
    """Of the images, by split: ``val``, ``test`` or both."""
    images: dict[SplitName, list[str]]
    """Paths relative to the set's root, sorted; by split: ``train`` and those of the fractions."""

    def described(self) -> dict[str, Any]:
        """Plain values, for a checkpoint and for ``split.json``."""
        return {"seed": self.seed, "fractions": self.fractions, "images": self.images}

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> Self:
        """What `described` has given."""
        return cls(described["seed"], dict(described["fractions"]), dict(described["images"]))


def name_in(folder: Path, image: Path) -> str:
    """The name of an image wherever its set lies: its path from the set's folder."""
    return Path(os.path.relpath(image, folder)).as_posix()


def divide(
    records: Mapping[str, ImageRecord], fractions: Mapping[SplitName, float], seed: int, folder: Path
) -> tuple[dict[SplitName, list[str]], bool]:
    """Divides images among training and the splits that are set apart.

    Args:
        records: the images, by their names in the folder; more than there are fractions.
        fractions: of the images, by split; what is left is for ``train``.
        seed: of the draw.
        folder: that of the set.

    Returns:
        Names by split, and whether images that look alike are together: not where too many do.
    """
    # Of objects that count: COCO's crowd regions are read for an evaluation alone, which has the same split.
    classes = {
        name: {item.name for item in record.objects if not item.difficult} for name, record in records.items()
    }
    looks = look_at([*records.values()], folder)
    for differing in DIFFERING:
        images = split_images(classes, group_alike([*records], looks, differing), fractions, seed)
        if _in_proportion(images, fractions):
            return images, True
    return split_images(classes, [[name] for name in records], fractions, seed), False


def split_images(
    classes: Mapping[str, Iterable[str]],
    groups: Iterable[Sequence[str]],
    fractions: Mapping[SplitName, float],
    seed: int,
) -> dict[SplitName, list[str]]:
    """Divides images among training and the splits that are set apart.

    Args:
        classes: those of each image, by its name.
        groups: names of images that stay together; every image is in one group.
        fractions: of the images, by split; what is left is for ``train``.
        seed: of the order in which groups are dealt out.

    Returns:
        Names by split, sorted. No split is empty, if there are as many groups as splits.
    """
    shares: dict[SplitName, float] = {"train": 1 - sum(fractions.values()), **fractions}
    dealt = sorted(groups, key=lambda group: (-len(group), _draw(seed, min(group))))
    # Background is a class as well, of the images without objects.
    counts = [Counter(name for image in group for name in set(classes[image]) or {""}) for group in dealt]
    totals = Counter(name for count in counts for name in count.elements())
    room = {split: share * sum(map(len, dealt)) for split, share in shares.items()}
    spare = max(0.5, _SPARE * sum(map(len, dealt)))
    wanted = {
        split: {name: share * total for name, total in totals.items()} for split, share in shares.items()
    }
    places: dict[int, SplitName] = {}
    learned: set[str] = set()
    for rarest in sorted(totals, key=lambda name: (totals[name], name)):
        for number, group in enumerate(dealt):
            if number in places or rarest not in counts[number]:
                continue
            # What a split lacks of the class, and of images: else training would get all rare classes.
            lacking = {
                split: wanted[split][rarest] + room[split] / (shares[split] * len(classes))
                for split in shares
            }
            # A group that fits nowhere goes where it is too large by least.
            fitting = [name for name in shares if room[name] >= len(group) - spare]
            among = fitting or [max(shares, key=lambda name: room[name])]
            split = max(among, key=lambda name: lacking[name]) if rarest in learned else "train"
            places[number] = split
            learned |= counts[number].keys() if split == "train" else set()
            room[split] -= len(group)
            for name, count in counts[number].items():
                wanted[split][name] -= count
    _fill_empty(places, counts, shares)
    return {
        split: sorted(
            image for number, group in enumerate(dealt) if places[number] == split for image in group
        )
        for split in shares
    }


def _fill_empty(
    places: dict[int, SplitName], counts: Sequence[Counter[str]], shares: Iterable[SplitName]
) -> None:
    """Gives each empty split the group whose classes training has most of beside it."""
    for split in shares:
        held = [number for number, place in places.items() if place == "train"]
        if split in places.values() or len(held) < 2:
            continue
        left = Counter(name for number in held for name in counts[number].elements())
        spare = max(held, key=lambda n: min(left[name] - count for name, count in counts[n].items()))
        places[spare] = split


def _in_proportion(images: Mapping[SplitName, Sequence[str]], fractions: Mapping[SplitName, float]) -> bool:
    """Whether each split that is set apart has about its share of the images: from half of it to twice."""
    total = sum(map(len, images.values()))
    return all(
        images[split] and 0.5 * share * total - 1 <= len(images[split]) <= 2 * share * total + 1
        for split, share in fractions.items()
    )


def keep_known(known: SetApart, groups: Iterable[Sequence[str]]) -> dict[SplitName, list[str]]:
    """Divides images of which most were divided before: those stay where they were.

    New images are for training, but those that look like an image of another split go there.

    Args:
        known: the split of before.
        groups: names of images that look alike; every image is in one group.

    Returns:
        Names by split, sorted, of images that are there.
    """
    before = {image: split for split, images in known.images.items() for image in images}
    images: dict[SplitName, list[str]] = {split: [] for split in known.images}
    for group in groups:
        places = {before[image] for image in group if image in before}
        place = places.pop() if len(places) == 1 else "train"
        for image in group:
            images[before.get(image, place)].append(image)
    return {split: sorted(names) for split, names in images.items()}


def _draw(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}\n{name}".encode("utf-8", "surrogateescape")).hexdigest()
