"""The page as a browser shows it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from detection.metrics.analysis import Analysis
from detection.report.report import Subject, write_report
from tests.browser import opened, started_browser, sticking_out

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Make = Callable[..., tuple[Subject, Analysis]]


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with started_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def report(make_subject: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    names = ["dining table", "cat", "dog", *(f"class {i}" for i in range(17))]
    write_report(folder, *make_subject(class_names=names), num_images=2)
    return folder / "report.html"


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_whole_on_every_screen(browser: "Browser", report: Path, width: int, scheme: str) -> None:
    page, wrong = opened(browser, report, width, scheme)
    assert wrong == []
    assert page.evaluate("document.documentElement.scrollWidth") == width, "no scrolling sideways"
    assert page.evaluate("[...document.images].length") > 3 + 4
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert sticking_out(page) == []
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(245, 246, 248)") == (scheme == "light")
    page.close()


def test_dark_pages_show_dark_figures(browser: "Browser", report: Path) -> None:
    sources = set()
    for scheme in ("light", "dark"):
        page, _ = opened(browser, report, 800, scheme)
        sources.add(page.evaluate("document.querySelector('picture img').currentSrc"))
        page.close()
    assert len(sources) == 2


def test_a_press_on_a_heading_sorts(browser: "Browser", report: Path) -> None:
    page, _ = opened(browser, report, 1200)

    def column(number: int) -> list[str]:
        rows = "[...document.querySelectorAll('#classes tbody tr')]"
        values: list[str] = page.evaluate(f"{rows}.map(row => row.cells[{number}].dataset.value)")
        return values

    def press(number: int) -> str | None:
        heading = page.locator("#classes thead th").nth(number)
        heading.get_by_role("button").click()
        return heading.get_attribute("aria-sort")

    unsorted = column(0)
    assert press(1) == "descending"
    numbers = [float(value) for value in column(1) if value]
    assert numbers == sorted(numbers, reverse=True)
    assert column(1) == [value for value in column(1) if value] + [value for value in column(1) if not value]
    assert len(numbers) < 20, "a class without objects stays at the end"
    assert press(1) == "ascending"
    assert [float(value) for value in column(1) if value] == sorted(numbers)
    assert column(1)[-1] == ""
    assert press(0) == "ascending"
    assert column(0) == sorted(unsorted, key=str.casefold)
    assert page.locator("#classes thead th[aria-sort]").count() == 1
    page.close()


def visible(page: "Page") -> list[str]:
    """What the visible images of the gallery are filtered by."""
    figures = "[...document.querySelectorAll('#gallery figure')].filter(figure => figure.offsetParent)"
    found: list[str] = page.evaluate(f"{figures}.map(figure => figure.dataset.errors)")
    return found


def status(page: "Page") -> str:
    return page.locator("#filters [role=status]").inner_text()


def test_the_gallery_is_filtered_by_class_and_kind_of_error(browser: "Browser", report: Path) -> None:
    page, wrong = opened(browser, report, 1200)
    everything = visible(page)
    assert status(page) == f"{len(everything)} of {len(everything)} images"
    label = everything[-1].split()[0].partition(":")[2]
    page.locator("select[name=label]").select_option(label)
    of_class = visible(page)
    assert of_class
    assert of_class == [
        errors for errors in everything if f":{label}" in {e[e.index(":") :] for e in errors.split()}
    ]
    page.locator("select[name=kind]").select_option("found")
    assert all(f"found:{label}" in errors.split() for errors in visible(page))
    assert status(page).startswith(f"{len(visible(page))} of ")
    page.get_by_role("button", name="show all").click()
    page.wait_for_function(
        f"[...document.querySelectorAll('#gallery figure:not([hidden])')].length == {len(everything)}"
    )
    page.locator("select[name=order]").select_option("best")
    f1 = page.evaluate("[...document.querySelectorAll('#gallery figure')].map(f => +f.dataset.f1)")
    assert f1 == sorted(f1, reverse=True)
    assert wrong == []
    page.close()


def test_a_cell_of_the_confusion_matrix_shows_its_images(browser: "Browser", report: Path) -> None:
    page, _ = opened(browser, report, 390)
    cells = page.locator("#matrix button")
    for number in range(0, cells.count(), 3):
        cell = cells.nth(number)
        key = cell.get_attribute("data-cell")
        cell.click()
        figures = "[...document.querySelectorAll('#gallery figure:not([hidden])')]"
        tokens = page.evaluate(f"{figures}.map(figure => figure.dataset.cells.split(' '))")
        assert all(key in of_image for of_image in tokens)
        assert (cell.get_attribute("title") or "?") in status(page)
        assert cell.get_attribute("aria-pressed") == "true"
        names = (cell.get_attribute("data-images") or "").split(", ")
        assert names
        assert all(name.startswith(("VOC2007/", *"123456789")) for name in names)
    page.close()


def test_the_confusion_matrix_is_walked_with_the_keyboard(browser: "Browser", report: Path) -> None:
    page, _ = opened(browser, report, 1200)
    assert page.locator("#matrix button[tabindex='0']").count() == 1, "one stop of the Tab key"
    page.locator("#matrix button[tabindex='0']").focus()
    focused = "document.activeElement.dataset.cell"
    first = page.evaluate(focused)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    second = page.evaluate(focused)
    assert second != first
    page.keyboard.press("Enter")
    assert page.locator("#matrix button[aria-pressed=true]").get_attribute("data-cell") == second
    page.close()
