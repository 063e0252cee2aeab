"""Pages as a browser shows them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@contextmanager
def started_browser() -> "Iterator[Browser]":
    """A Chromium; without one, the test is skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    with playwright.sync_playwright() as session:
        try:
            # As root, Chromium starts without its sandbox only; the page is our own.
            started = session.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no browser here (apt install chromium): {str(error).splitlines()[0]}")
        yield started
        started.close()


def opened(browser: "Browser", report: Path, width: int, scheme: str = "light") -> tuple["Page", list[str]]:
    """The page, and everything that it should not have done."""
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("request", lambda request: wrong.append(request.url))
    page.goto(report.as_uri())
    return page, [entry[:80] for entry in wrong if not entry.startswith(("data:", report.as_uri()))]


def sticking_out(page: "Page") -> list[str]:
    """What is wider than its card."""
    found: list[str] = page.evaluate(
        """[...document.querySelectorAll("section :is(table, img, p, .empty)")].filter(item => {
        if (item.closest(".wide")) return false;  // which scrolls by itself
        const card = item.closest("section"), padding = parseFloat(getComputedStyle(card).paddingRight);
        return item.getBoundingClientRect().right > card.getBoundingClientRect().right - padding + 1;
    }).map(item => item.outerHTML.slice(0, 60))"""
    )
    return found
