"""Where labels go: never over each other, always inside the image, and out of the way of objects."""

import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure

from detection.drawing.labels import make_label, place_labels


def overlap(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@pytest.mark.parametrize("seed", range(40))
def test_labels_never_overlap_and_stay_inside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(60, 900, 2).tolist()
    number = int(rng.integers(1, 60))
    corners = rng.uniform(-20, (width, height), (number, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0, (width, height), (number, 2))], axis=1)
    boxes[rng.random(number) < 0.3] = boxes[0]  # many of the same box
    sizes = [(min(int(w), width), 14) for w in rng.integers(10, 160, number)]
    places = place_labels(boxes, sizes, (height, width))
    rectangles = [(p[0], p[1], p[0] + w, p[1] + h) for p, (w, h) in zip(places, sizes, strict=True) if p]
    assert rectangles, "the first label always finds room"
    for i, one in enumerate(rectangles):
        assert one[0] >= 0
        assert one[1] >= 0
        assert one[2] <= width
        assert one[3] <= height
        assert not any(overlap(one, other) for other in rectangles[:i])


def test_labels_of_a_few_boxes_are_all_there() -> None:
    box = [50.0, 60, 150, 160]
    places = place_labels(np.array([box] * 6), [(60, 12)] * 6, (300, 300))
    assert None not in places
    assert len(set(places)) == 6


@pytest.mark.parametrize(
    ("box", "place"),
    [
        ([50, 60, 150, 160], (50, 48)),  # on top of the box
        ([0, 0, 300, 280], (0, 280)),  # no room above: below
        ([0, 0, 300, 300], (0, 288)),  # neither: inside, away from the head
        ([280, 60, 300, 160], (240, 48)),  # at the right border: moved to the left
    ],
)
def test_a_label_hides_no_more_than_it_must(box: list[float], place: tuple[int, int]) -> None:
    assert place_labels(np.array([box], dtype=float), [(60, 12)], (300, 300)) == [place]


def test_a_label_does_not_hide_a_small_object_above_its_box() -> None:
    boxes = np.array([[50.0, 60, 150, 160], [50, 46, 110, 58]])
    first, second = place_labels(boxes, [(60, 12)] * 2, (300, 300))
    assert first is not None
    assert second is not None
    assert not overlap((*first, first[0] + 60, first[1] + 12), (50, 46, 110, 58))


def test_a_text_is_one_line_that_fits() -> None:
    for text in (
        "cat 0.98",
        "a class of a very long name " * 9,
        "two\nlines",
        "Straße 0.5",
        "猫 0.9",
        "кот",
        "$x_1$",
    ):
        for room in (30, 60, 4000):
            label = make_label(text, 14, room)
            assert label.size[0] <= room
            assert label.text.isprintable()
    assert make_label("cat 0.98", 14, 4000).text == "cat 0.98"
    assert make_label("cat 0.98", 14, 4000).font.size > make_label("cat 0.98", 14, 50).font.size


def test_letters_that_no_label_font_has_are_looked_for_in_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    from detection.drawing import labels

    has = {
        labels._FONT: frozenset(map(ord, "cat ")),
        labels._FONT.with_name("DejaVuSerif.ttf"): frozenset({0x732B}),
    }
    monkeypatch.setattr(labels, "_system_fonts", lambda: tuple(has)[1:])
    monkeypatch.setattr(labels, "_letters_of", lambda path: has[path])
    labels._font_file.cache_clear()
    try:
        assert labels._font_file(frozenset(map(ord, "cat"))) == labels._FONT
        assert labels._font_file(frozenset({0x732B})).name == "DejaVuSerif.ttf"
        assert labels._font_file(frozenset({0x1F600})) == labels._FONT, "drawn as boxes, but drawn"
    finally:
        labels._font_file.cache_clear()


def test_figures_name_the_letters_that_no_font_has_once(capsys: pytest.CaptureFixture[str]) -> None:
    from detection.drawing import labels, page

    def draw(figure: Figure, theme: page.Theme) -> None:
        ax = figure.subplots()
        ax.bar(["cat", "\U0001f9ff"], [1, 2])

    labels._font_file.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pictures = [page.render(draw, (2, 2), page.LIGHT) for _ in range(2)]
    assert pictures[0] == pictures[1]
    assert capsys.readouterr().err.count("'\U0001f9ff', which is drawn as boxes: install") == 1


def test_figures_take_a_font_of_the_system_where_it_has_the_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    from detection.drawing import labels

    other = labels._FONT.with_name("DejaVuSerif.ttf")
    has = {labels._FONT: frozenset(map(ord, "cat")), other: frozenset(map(ord, "猫"))}
    monkeypatch.setattr(labels, "_system_fonts", lambda: (other,))
    monkeypatch.setattr(labels, "_letters_of", lambda path: has[path])
    labels._font_file.cache_clear()
    try:
        assert labels.family_for("cat") == ["DejaVu Sans"]
        assert labels.family_for("a猫") == ["DejaVu Sans", "DejaVu Serif"]
    finally:
        labels._font_file.cache_clear()
