"""The page of a check: what is wrong with pictures of it, what the dataset holds, and what was fine.

It is bounded, for any number of images: so many photos of each kind, pair and rule (see the constants), each
320 pixels wide. All kinds together make some 270 photos, 6 MB.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.progress import track

from detection.data.formats.findings import Finding
from detection.drawing.page import Photo, render_both, render_template
from detection.inspection.coverage import Coverage
from detection.inspection.duplicates import MAX_COMPARED, SIMILAR, TRAIN, NearDuplicates, Twins
from detection.inspection.figure import make_pictures
from detection.inspection.images import InspectedImage
from detection.inspection.inspect import Inspection, below
from detection.inspection.pictures import IN_QUESTION, OTHER, nothing_to_show, short, show, show_findings
from detection.inspection.statistics import Statistics, range_label
from detection.inspection.unusual import find_unusual

CHECKS: dict[str, tuple[str, ...]] = {
    "Every split lists images, and each once.": (
        "missing-list",
        "missing-split",
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
        "shared-labels",
        "unlisted-annotation",
        "unlisted-by-voc",
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
    "No image has a name that no list can hold.": ("bad-file-name",),
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


MAX_PHOTOS = 6
"""Photos of each kind of error and warning."""
MAX_NOTES = 3
"""Photos of each kind of note."""
MAX_LINES = 10
"""Findings of each kind that are of no image."""
MAX_PAIRS = 8
"""Near-duplicates across splits, and as many within."""
MAX_CLASSES = 500
"""Rows of the table of classes: of more, those with the most objects to train on."""
RARE = 20
"""A class with fewer objects to train on is called rare."""


class Wrong(NamedTuple):
    """One kind of finding."""

    kind: str
    severity: str
    number: int
    photos: list[Photo]
    lines: list[str]
    """Of findings that are of no single image."""
    more: int
    """Findings that are in no photo and no line."""


class ClassRow(NamedTuple):
    """One class."""

    name: str
    counts: list[tuple[int, int]]
    """Objects and images, of each split."""
    share: float
    """Its objects to train on, of those of the most frequent class."""
    rare: bool


class Pair(NamedTuple):
    """Two images side by side."""

    photos: tuple[Photo, Photo]
    note: str


def write_page(
    path: Path,
    inspection: Inspection,
    statistics: Statistics,
    coverage: Coverage,
    near: NearDuplicates,
    model: str,
    advice: Sequence[str],
) -> None:
    """Write the page.

    Args:
        path: HTML file to write.
        inspection: what was found.
        statistics: counts and shapes.
        coverage: overlaps with the anchors.
        near: images that look almost the same.
        model: the network's name.
        advice: commands to continue with, each a line.
    """
    rows = _class_rows(inspection, statistics)
    unusual, alike = find_unusual(inspection.images)
    page = render_template(
        Path(__file__).with_name("dataset.html.jinja"),
        {"range": lambda ends: range_label(*ends)},
        inspection=inspection,
        statistics=statistics,
        coverage=coverage,
        model=model,
        advice=advice,
        wrong=list(_what_is_wrong(inspection)),
        fine=what_is_fine((item.kind for item in inspection.findings), bool(near.across), bool(near.within)),
        rows=rows[:MAX_CLASSES],
        rare=[row.name for row in reversed(rows) if row.rare],
        pictures={
            picture.name: render_both(picture) for picture in make_pictures(statistics, coverage, model)
        },
        near=near,
        across=_pairs(near.across),
        within=_pairs(near.within),
        unusual=[
            (item.rule, [show(e.image.read, f"{e.image.split}: {e.note}", e.objects) for e in item.examples])
            for item in track(unusual, "Drawing the page", disable=not unusual)
        ],
        alike=alike,
        colours={"in_question": IN_QUESTION, "other": OTHER},
        bounds={"similar": SIMILAR, "compared": MAX_COMPARED, "rare": RARE, "classes": MAX_CLASSES},
    )
    path.write_text(page, encoding="utf-8", errors="replace")


def _what_is_wrong(inspection: Inspection) -> Iterator[Wrong]:
    """The kinds of findings in their order, errors first."""
    places: dict[tuple[str, str], InspectedImage] = {}
    for image in inspection.images:
        for file in (image.read.source, str(image.read.path)):
            places.setdefault((below(inspection.root, file), image.read.image_id), image)
    for kind, number in Counter(item.kind for item in inspection.findings).items():
        findings = [item for item in inspection.findings if item.kind == kind]
        bound = MAX_NOTES if findings[0].severity == "note" else MAX_PHOTOS
        # One photo shows all that is wrong in its image.
        of_images: dict[tuple[str, str], list[Finding]] = {}
        for item in findings:
            if item.image:
                of_images.setdefault((item.file, item.image), []).append(item)
        shown = dict(list(of_images.items())[:bound])
        photos = [
            show_findings(places[place].read, group) if place in places else nothing_to_show(*_name(group[0]))
            for place, group in shown.items()
        ]
        lines = [short(item.sentence) for item in findings if not item.image][:MAX_LINES]
        more = number - sum(len(group) for group in shown.values()) - len(lines)
        yield Wrong(kind, findings[0].severity, number, photos, lines, more)


def _name(finding: Finding) -> tuple[str, str]:
    return finding.place.rpartition("/")[2], finding.message


def _class_rows(inspection: Inspection, statistics: Statistics) -> list[ClassRow]:
    """Those with the most objects to train on first."""
    most = max(statistics.objects[TRAIN].values(), default=0) or 1
    objects, images = statistics.objects, statistics.images_with
    rows = [
        ClassRow(
            name,
            [(objects[split][name], images[split][name]) for split in inspection.splits],
            objects[TRAIN][name] / most,
            objects[TRAIN][name] < RARE,
        )
        for name in inspection.classes
    ]
    return sorted(rows, key=lambda row: -row.share)


def _pairs(twins: Sequence[Twins]) -> list[Pair]:
    return [
        Pair(
            (show(pair.first.read, pair.first.split), show(pair.second.read, pair.second.split)),
            f"correlation {pair.similarity:.4f}",
        )
        for pair in twins[:MAX_PAIRS]
    ]
