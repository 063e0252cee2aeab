"""What training uses of a reading: all of it, or what is left without the images that have errors."""

from collections import Counter
from dataclasses import replace
from typing import Literal

from detection.data.formats.findings import Finding
from detection.data.formats.records import AnnotationError, ImageRecord, Reading
from detection.system.wording import are, counted

OnError = Literal["raise", "skip"]
"""What becomes of an image that cannot be used: it stops the run, or it is left out and listed."""

_MAX_REPORTED = 10
# Of a whole set, these say that something is not there.
_MISSING = ("missing-list", "missing-annotation")


def usable_records(
    reading: Reading,
    on_error: OnError = "raise",
    remedy: str = "data.on_error=skip leaves such images out and lists them in the end",
) -> tuple[list[ImageRecord], list[str]]:
    """Refuses a split in which something is wrong, or leaves out the images concerned.

    An image goes as a whole: the rest of it would show an object as background.

    Args:
        reading: the split.
        on_error: ``skip`` leaves images with errors out. Mistakes of the whole set are refused all the same.
        remedy: for images with errors, a sentence.

    Returns:
        The images without errors, and what is wrong with each of the others.

    Raises:
        FileNotFoundError: a folder, a list or all annotations are missing.
        AnnotationError: the split is refused, or no image of it is left.
    """
    errors = [finding for finding in reading.findings if finding.severity == "error"]
    of_the_set = [finding for finding in errors if not finding.image and finding.object is None]
    if of_the_set:
        problem = FileNotFoundError if of_the_set[0].kind in _MISSING else AnnotationError
        raise problem("\n".join(finding.sentence for finding in of_the_set[:_MAX_REPORTED]))
    first: dict[str, Finding] = {}
    for finding in errors:
        first.setdefault(finding.image or f"{finding.file}: {finding.object}", finding)
    records = [record for record in reading.records if record.image_id not in first]
    problems = [finding.sentence for finding in first.values()]
    if problems and on_error == "raise":
        raise AnnotationError(f"{_report(problems, reading.where)}\n{remedy}")
    if problems and not records:
        raise AnnotationError(f"data.on_error=skip leaves no image: {_report(problems, reading.where)}")
    return records, problems


def settle_repeats(reading: Reading, training: bool) -> Reading:
    """Takes an object that is annotated twice once in training, and says how many there are.

    An evaluation keeps them: what is to be found is never changed.
    """
    records = [_without_repeats(record) for record in reading.records]
    count = sum(
        len(before.objects) - len(after.objects)
        for before, after in zip(reading.records, records, strict=True)
    )
    if not count:
        return reading
    what = "each is trained on once" if training else "nothing can find them both, which lowers the metrics"
    notes = [
        *reading.notes,
        f"{counted(count, 'object')} {are(count)} annotated twice, class and box: {what}; remove one of each",
    ]
    return replace(reading, records=records if training else reading.records, notes=notes)


def _without_repeats(record: ImageRecord) -> ImageRecord:
    once = {(item.name, item.box): item for item in reversed(record.objects)}
    return record if len(once) == len(record.objects) else record._replace(objects=tuple(once.values())[::-1])


def say_warnings(reading: Reading) -> list[str]:
    """Says in one line how many things are probably mistakes, and where to see them."""
    warnings = [finding for finding in reading.findings if finding.severity == "warning"]
    if not warnings:
        return []
    counts = ", ".join(f"{count} x {kind}" for kind, count in Counter(w.kind for w in warnings).items())
    first = f"{warnings[0].sentence}.".replace("?.", "?")
    return [f"warnings: {counts}. The first: {first} python -m detection.check lists all"]


def _report(problems: list[str], where: str) -> str:
    """What is wrong in one set; only the first ten sentences are written out."""
    shown = "\n  ".join(problems[:_MAX_REPORTED])
    more = f"\n  ... and {len(problems) - _MAX_REPORTED} more" if len(problems) > _MAX_REPORTED else ""
    return f"{len(problems)} of {where} cannot be used:\n  {shown}{more}"
