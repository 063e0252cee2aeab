"""The most unusual images of a dataset: what it holds most and least of."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from detection.data.formats.judging import by
from detection.inspection.images import InspectedImage
from detection.system.wording import counted

SHOWN = 3  # images of each rule


class Example(NamedTuple):
    """An image that is shown for a rule."""

    image: InspectedImage
    objects: tuple[int, ...]
    """The numbers of the objects that it is shown for."""
    note: str


class Unusual(NamedTuple):
    """A rule, and the images that it finds."""

    rule: str
    """In words that people read."""
    examples: list[Example]


class _Measured(NamedTuple):
    """What a rule measures in one image: the larger, the more unusual."""

    value: float
    example: Example


_Measure = Callable[[InspectedImage], _Measured | None]


def find_unusual(images: Sequence[InspectedImage]) -> tuple[list[Unusual], list[str]]:
    """Applies all rules to the images that can be decoded.

    Args:
        images: of all splits; each file counts once.

    Returns:
        What each rule finds, and the rules by which all images are alike.
    """
    unique = {image.record.path: image for image in reversed(images) if image.facts is not None}
    decoded = list(unique.values())[::-1]
    found, alike = [], []
    for rule, measure in _RULES.items():
        measured = [value for image in decoded if (value := measure(image)) is not None]
        if not measured:
            continue
        values = [item.value for item in measured]
        if min(values) == max(values):
            alike.append(rule)
            continue
        measured.sort(key=lambda item: -item.value)
        found.append(Unusual(rule, [item.example for item in measured[:SHOWN]]))
    return found, alike


def _most_objects(image: InspectedImage) -> _Measured:
    count = len(image.record.objects)
    return _Measured(count, Example(image, (), counted(count, "object")))


def _elongated(image: InspectedImage) -> _Measured:
    height, width = image.record.size
    return _Measured(
        max(height / width, width / height), Example(image, (), f"{by(image.record.size)} pixels")
    )


def _pixels(sign: int) -> _Measure:
    def measure(image: InspectedImage) -> _Measured:
        height, width = image.record.size
        return _Measured(sign * height * width, Example(image, (), f"{by(image.record.size)} pixels"))

    return measure


def _light(sign: int) -> _Measure:
    def measure(image: InspectedImage) -> _Measured | None:
        if image.facts is None:
            return None
        mean = float(image.facts.look.mean())
        return _Measured(sign * mean, Example(image, (), f"mean {mean:.0f} of 255"))

    return measure


def _object_share(sign: int) -> _Measure:
    def measure(image: InspectedImage) -> _Measured | None:
        height, width = image.record.size
        shares = [
            (sign * (x2 - x1) * (y2 - y1) / (height * width), item.number)
            for item in image.record.objects
            for x1, y1, x2, y2 in [item.box]
        ]
        if not shares:
            return None
        value, number = max(shares)
        note = f"{image.record.name_of(number)} takes {abs(value):.2%} of its image"
        return _Measured(value, Example(image, (number,), note))

    return measure


def _elongated_object(image: InspectedImage) -> _Measured | None:
    ratios = list(_ratios(image))
    if not ratios:
        return None
    value, number, size = max(ratios)
    note = f"{image.record.name_of(number)} has {size} pixels"
    return _Measured(value, Example(image, (number,), note))


def _ratios(image: InspectedImage) -> Iterator[tuple[float, int, str]]:
    for item in image.record.objects:
        x1, y1, x2, y2 = item.box
        width, height = x2 - x1, y2 - y1
        yield max(width / height, height / width), item.number, f"{width:.4g}x{height:.4g}"


_RULES: dict[str, _Measure] = {
    "the most objects": _most_objects,
    "the smallest object, by its share of the image's area": _object_share(-1),
    "the largest object, by its share of the image's area": _object_share(1),
    "the most elongated object, by the longer side over the shorter": _elongated_object,
    "the most elongated image, by the longer side over the shorter": _elongated,
    "the largest image, by pixels": _pixels(1),
    "the smallest image, by pixels": _pixels(-1),
    "the darkest image, by the mean of its pixels": _light(-1),
    "the brightest image, by the mean of its pixels": _light(1),
}
