"""Whether the rows of a page's tables fit their heads."""

from html.parser import HTMLParser


class _Rows(HTMLParser):
    """The number of cells of each row of each table."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append(0)
        elif tag in ("td", "th"):
            self.tables[-1][-1] += int(dict(attrs).get("colspan") or 1)


def cells(page: str) -> list[list[int]]:
    """The number of cells of each row, by table, those of the head first; tables lie in no table."""
    rows = _Rows()
    rows.feed(page)
    return rows.tables


def assert_rows_fit_heads(page: str, tables: int) -> None:
    """Each row has as many cells as the head of its table, and at least so many tables have rows."""
    counts = cells(page)
    assert all(len(set(rows)) == 1 for rows in counts), counts
    assert sum(len(rows) > 1 for rows in counts) >= tables, counts
