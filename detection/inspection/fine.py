"""What was looked at and found to be fine, in words."""

from collections.abc import Iterable

CHECKS: dict[str, tuple[str, ...]] = {
    "Every split lists images, and each once.": (
        "missing-list",
        "empty-split",
        "incomplete-copy",
        "listed-twice",
    ),
    "The set itself says what to validate on.": ("set-apart",),
    "Every image has an annotation that can be read, and every annotation its image.": (
        "missing-annotation",
        "broken-annotation",
        "missing-image",
        "unknown-image",
        "unlisted-annotation",
        "unannotated-images",
        "filename-mismatch",
    ),
    "Every image can be decoded to its last pixel.": ("unreadable-image", "truncated-image"),
    "Every image has the size that its annotation is for.": (
        "image-of-another-size",
        "box-of-another-size",
        "size-mismatch",
        "missing-size",
    ),
    "Every object has a class and four finite numbers for a box.": (
        "missing-tag",
        "bad-coordinate",
        "duplicate-id",
    ),
    "No box is empty.": ("empty-box", "known-empty-box"),
    "No box reaches past its image.": ("box-outside", "box-past-border"),
    "No box has a side below min_side.": ("small-box",),
    "No object is annotated twice.": ("duplicate-box",),
    "Every object is of a known class.": ("unknown-class", "misspelt-class", "bad-class-name"),
    "No two classes have nearly the same name.": ("similar-class-names",),
    "Every split has objects of every class.": ("class-missing-in-split", "nothing-to-learn"),
    "No image is trained on and evaluated on.": ("in-two-splits", "duplicate-image-across-splits"),
    "No two images of a split have the same pixels.": ("duplicate-image",),
    "All images are upright RGB of 8 bits.": ("not-rgb", "deep-image", "exif-orientation"),
    "Every image has an object.": ("no-objects",),
}
"""Sentences that hold where nothing of these kinds was found."""


def what_is_fine(found: Iterable[str], has_near_across: bool, has_near_within: bool) -> list[str]:
    """Says what is right.

    Args:
        found: the kinds of all findings.
        has_near_across: there are near-duplicates of images of train in other splits.
        has_near_within: there are near-duplicates within a split.
    """
    kinds = set(found)
    sentences = [sentence for sentence, of in CHECKS.items() if not kinds.intersection(of)]
    if not has_near_across:
        sentences.append("No near-duplicates across splits.")
    if not has_near_within:
        sentences.append("No near-duplicates within a split.")
    return sentences
