"""A set with rare classes, for `benchmarks/ablations/rare_classes.yaml`: a part of VOC 2007.

    python -m benchmarks.training.rare_set ~/datasets rare

``~/datasets`` has VOC 2007. ``train`` keeps 1,000 images, in which the five classes that fewest images have
are in 20 each; ``val`` keeps 300 images with one of these classes and 100 without. The five are called
``rare_cow`` and so on, so that a start that knows cows has to learn them.
"""

import random
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from detection.data.formats.records import ImageRecord
from detection.data.formats.voc_folder import read_voc
from detection.data.voc import VOC_CLASSES
from detection.data.writers.sets import write_voc_set

NUM_RARE, IMAGES_OF_EACH, NUM_TRAIN = 5, 20, 1000
NUM_VAL_RARE, NUM_VAL_OTHERS = 300, 100


def rarest(records: Iterable[ImageRecord], number: int) -> list[str]:
    """The classes that the fewest images have, the rarest first.

    Args:
        records: the images.
        number: of classes.
    """
    images = Counter(name for record in records for name in _shown(record))
    return [name for name, _ in sorted(images.items(), key=lambda each: (each[1], each[0]))[:number]]


def thinned(
    records: Sequence[ImageRecord], rare: Sequence[str], of_each: int, total: int
) -> list[ImageRecord]:
    """Draw images so that each rare class is in so many of them, and fill up with images without any.

    Args:
        records: in the order of their draw.
        rare: the classes.
        of_each: images of each of them.
        total: images in all.

    Raises:
        ValueError: there are not so many.
    """
    wanted, chosen = Counter(dict.fromkeys(rare, of_each)), []
    for record in records:
        shown = _shown(record) & set(rare)
        if shown and all(wanted[name] for name in shown):
            wanted -= Counter(shown)
            chosen.append(record)
    others = [record for record in records if _shown(record).isdisjoint(rare)]
    if wanted or len(chosen) + len(others) < total:
        raise ValueError(f"these are too few images: {dict(wanted)} are still wanted of the rare classes")
    return chosen + others[: total - len(chosen)]


def main(root: str, out: str) -> None:
    """Write the set.

    Args:
        root: what holds ``VOCdevkit``.
        out: a folder that does not exist.
    """
    draw = random.Random(0)
    train, val = (read_voc(root, [(2007, split)]).records for split in ("train", "val"))
    for records in (train, val):
        draw.shuffle(records)
    rare = rarest(train, NUM_RARE)
    with_rare = [record for record in val if not _shown(record).isdisjoint(rare)]
    without = [record for record in val if _shown(record).isdisjoint(rare)]
    sets = {
        "train": thinned(train, rare, IMAGES_OF_EACH, NUM_TRAIN),
        "val": with_rare[:NUM_VAL_RARE] + without[:NUM_VAL_OTHERS],
    }
    names = {name: f"rare_{name}" if name in rare else name for name in VOC_CLASSES}
    sets = {split: [_renamed(record, names) for record in records] for split, records in sets.items()}
    write_voc_set(Path(out), sets, list(names.values()), link=True)
    print(f"{out}: {', '.join(names[name] for name in rare)}")


def _shown(record: ImageRecord) -> set[str]:
    return {item.name for item in record.objects}


def _renamed(record: ImageRecord, names: dict[str, str]) -> ImageRecord:
    return record._replace(objects=tuple(item._replace(name=names[item.name]) for item in record.objects))


if __name__ == "__main__":
    main(*sys.argv[1:])
