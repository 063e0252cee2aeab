"""Two evaluations side by side."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from detection.metrics.analysis import Analysis
from detection.report.comparison import Evaluated, write_comparison
from detection.report.report import Subject
from detection.types import Detections, Target
from tests.browser import opened, started_browser, sticking_out
from tests.html_tables import assert_rows_fit_heads

Make = Callable[..., tuple[Subject, Analysis]]


def half_blind(detections: list[Detections]) -> list[Detections]:
    """Nothing is found in every second image."""
    return [
        Detections(boxes=d["boxes"][:0], scores=d["scores"][:0], labels=d["labels"][:0]) if i % 2 else d
        for i, d in enumerate(detections)
    ]


@pytest.fixture
def both(
    make_subject: Make, small_evaluation: tuple[list[Detections], list[Target]], tmp_path: Path
) -> tuple[Evaluated, Evaluated]:
    detections, targets = small_evaluation
    a = make_subject(half_blind(detections), targets, with_coco=False, threshold=0.4)
    b = make_subject(detections, targets, with_coco=False, threshold=0.4)
    return Evaluated(*a, tmp_path / "a/report.html"), Evaluated(*b, tmp_path / "b/report.html")


def test_what_got_better_and_what_got_worse(both: tuple[Evaluated, Evaluated], tmp_path: Path) -> None:
    a, b = both
    write_comparison(tmp_path / "comparison.html", a, b, num_images=2)
    page = (tmp_path / "comparison.html").read_text()
    change = b.analysis.images.f1 - a.analysis.images.f1
    counts = [int((change > 0).sum()), int((change < 0).sum()), int((change == 0).sum())]
    assert counts[0] > 0
    better, worse, same = counts
    assert f"{better} images got better from a to b, {worse} got worse, and {same} stayed the same" in page
    gain = b.analysis.voc.map_07 - a.analysis.voc.map_07
    assert f"<td>{gain:+.3f}</td>" in page
    assert page.count("data:image/jpeg") == 2 * (min(better, 2) + min(worse, 2))
    assert 'href="a/report.html"' in page
    assert not re.search(r"https?://|@import|url\(", page)
    assert_rows_fit_heads(page, tables=2)


def test_equal_evaluations_have_no_changes(both: tuple[Evaluated, Evaluated], tmp_path: Path) -> None:
    write_comparison(tmp_path / "comparison.html", both[1], both[1], num_images=2)
    page = (tmp_path / "comparison.html").read_text()
    assert "0 images got better from a to b, 0 got worse, and 12 stayed the same" in page
    assert "data:image/jpeg" not in page


def test_others_are_refused(both: tuple[Evaluated, Evaluated], tmp_path: Path) -> None:
    a, b = both
    others = Evaluated(b.subject._replace(class_names=["x", "y", "z"]), b.analysis, b.report)
    with pytest.raises(ValueError, match="know different classes"):
        write_comparison(tmp_path / "comparison.html", a, others, 2)
    others = Evaluated(b.subject._replace(targets=b.subject.targets[::-1]), b.analysis, b.report)
    with pytest.raises(ValueError, match="evaluated on different images"):
        write_comparison(tmp_path / "comparison.html", a, others, 2)


def test_the_page_is_whole_on_every_screen(both: tuple[Evaluated, Evaluated], tmp_path: Path) -> None:
    write_comparison(tmp_path / "comparison.html", *both, num_images=2)
    with started_browser() as browser:
        for width in (390, 1200):
            page, wrong = opened(browser, tmp_path / "comparison.html", width)
            assert wrong == []
            assert page.evaluate("document.documentElement.scrollWidth") == width, "no scrolling sideways"
            assert sticking_out(page) == []
            page.close()
