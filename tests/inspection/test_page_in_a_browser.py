"""The page of a check as a browser shows it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import opened, started_browser, sticking_out
from tests.inspection.test_fix import plant
from tests.inspection.test_page import page_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.inspection.conftest import VOCFolder


@pytest.fixture
def browser() -> "Iterator[Browser]":
    with started_browser() as browser:
        yield browser


def test_the_page_is_whole_on_every_screen(browser: "Browser", folder: "VOCFolder", tmp_path: Path) -> None:
    plant(folder)
    folder.add_object("train_00040", "a_class_of_a_very_long_name_" * 5, (5, 5, 40, 40))
    page_of(folder.inspect(), tmp_path / "report.html")
    for width in (390, 1280):
        page, wrong = opened(browser, tmp_path / "report.html", width)
        assert wrong == []
        assert page.evaluate("document.documentElement.scrollWidth") == width, "no scrolling sideways"
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert sticking_out(page) == []
        words = (
            "[...document.querySelectorAll('body *')].filter(e => !e.children.length && e.textContent.trim())"
        )
        sizes = page.evaluate(f"{words}.map(e => parseFloat(getComputedStyle(e).fontSize))")
        assert min(sizes) >= 10
        page.close()
