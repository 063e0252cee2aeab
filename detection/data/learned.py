"""Which images a detector was trained on, in eight characters an image: for its checkpoints.

An image is known by its file's name and length. They stay when a set is moved, divided otherwise or written
in another format, and frames of two cameras hardly have both in common.
"""

import base64
import filecmp
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence

from detection.data.formats.records import SPLITS
from detection.system.wording import counted

WIDTH = 8
"""Characters of an image, 48 bits: of 100,000 images and 5,000 others two are taken for one in 2 of a million
cases."""
_COMPARED = 100
"""Pairs of images of one name and length that are read; where all are the same, the others are, too."""
MOST = 125_000
"""So many images are kept: of more those with the lowest digests, a sample that is drawn by chance."""


def digests_of(paths: Iterable[str]) -> set[str]:
    """What images are known by.

    Args:
        paths: their files.

    Returns:
        Texts of ``WIDTH`` characters, the same wherever the files lie.
    """
    return {_digest_of(path) for path in paths}


def joined(digests: Iterable[str]) -> str:
    """One text for a checkpoint.

    Args:
        digests: as `digests_of` and `parted` give them.
    """
    return "".join(sorted(set(digests))[:MOST])


def parted(text: str) -> set[str]:
    """The digests in a text that `joined` has made."""
    return {text[start : start + WIDTH] for start in range(0, len(text), WIDTH)}


def in_two_splits(images: Mapping[str, Sequence[str]]) -> list[str]:
    """Warn of images that a training both learns from and is judged by, or is both chosen and tested by.

    Args:
        images: their files by split; a test that is made on ``val`` is no split.

    Returns:
        A line for each split concerned.
    """
    files = {split: set(images.get(split, ())) for split in SPLITS}
    known = {_digest_of(path): path for path in sorted(files["train"])}  # each is asked of the disk once
    lines = [
        f"Warning: {both} of the {counted(len(files[split]), 'image')} of {split} are in train, too{copied}: "
        "its metrics say how well these are learned, not what is found in others. "
        "python -m detection.check names them."
        for split in SPLITS[1:]
        for both, copied in [_shared(files["train"], known, files[split])]
        if both
    ]
    if chosen_by := files["val"] & files["test"]:
        lines.append(
            f"Warning: {len(chosen_by)} of the {counted(len(files['test']), 'image')} of test are in val, "
            "too, by which the best checkpoint is chosen: the metrics of the test are a little too good."
        )
    return lines


def _shared(learned: set[str], known: Mapping[str, str], judged: set[str]) -> tuple[int, str]:
    """How many images of a split are those of training, or have copies there; and that these are copies.

    Args:
        learned: files of training.
        known: the same by their digests.
        judged: files of the split.
    """
    both = len(learned & judged)
    alike = [
        (known[digest], path) for path in sorted(judged - learned) if (digest := _digest_of(path)) in known
    ]
    # Numbered images of one camera may have names and lengths in common: some are compared to the last byte.
    copies = sum(_same_bytes(*pair) for pair in alike[:_COMPARED])
    copies = copies if copies < _COMPARED else len(alike)
    return both + copies, f", {copies} as copies" if copies else ""


def _same_bytes(one: str, other: str) -> bool:
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def _digest_of(path: str) -> str:
    try:
        length = os.path.getsize(path)
    except OSError:  # a file that is gone meanwhile is told of when it is wanted
        length = -1
    stem = os.path.splitext(os.path.basename(path))[0]
    known_by = f"{stem}\n{length}".encode("utf-8", "surrogateescape")
    return base64.b64encode(hashlib.blake2b(known_by, digest_size=6).digest()).decode()
