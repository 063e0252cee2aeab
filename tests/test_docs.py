"""The tables of keys in the documentation say what the code says (``docs/_ext``)."""

from pathlib import Path
from typing import Annotated, Literal

import key_tables
import pytest
from annotated_types import Interval

from detection import settings
from detection.cli.other_tools import groups
from detection.settings import Settings

PAGES = Path(__file__).parent.parent / "docs/reference"


class Documented:
    """Something.

    Args:
        size: in pixels; a line
            of two.
        kind (str, optional): ``a`` or ``b``.

    Raises:
        ValueError: never.
    """


def test_arguments_are_read_from_a_docstring() -> None:
    assert key_tables.documented(Documented) == {
        "size": "in pixels; a line of two.",
        "kind": "``a`` or ``b``.",
    }


def test_types_are_told_in_words() -> None:
    bounded = Annotated[int, Interval(ge=1, le=4096)] | None
    assert key_tables.type_in_words(bounded) == "int, 1 to 4,096 | null"
    assert key_tables.type_in_words(list[Literal["raise", "skip"]]) == "list of (raise | skip)"


@pytest.mark.parametrize("kind", [kind for kind in vars(settings).values() if isinstance(kind, type)])
def test_every_command_is_on_the_page(kind: type) -> None:
    if issubclass(kind, Settings) and kind is not Settings:
        assert f"{{command-keys}} {kind.__name__}\n" in (PAGES / "commands.md").read_text()
        assert all(row.meaning for row in key_tables.command_rows(kind.__name__))


@pytest.mark.parametrize("group", sorted({*groups()} - {"experiment", "hydra", "hydra/sweeper"}))
def test_every_group_is_on_the_page(group: str) -> None:
    assert f"{{config-group}} {group}\n" in (PAGES / "configuration.md").read_text()


@pytest.mark.parametrize("group", ["data", "data/transform", "model", "model/backbone", "scheduler"])
def test_every_key_of_ours_has_a_meaning(group: str) -> None:
    rows = [row for file in key_tables.group_files(group) for part in file.parts for row in part.rows]
    assert len(rows) > 4
    assert [row.key for row in rows if not row.meaning] == []


def test_every_recipe_is_on_the_page() -> None:
    page = (PAGES / "recipes.md").read_text()
    beginnings = [line.split()[1] for line in page.splitlines() if line.startswith("```{recipes}")]
    names = {path.stem for path in (key_tables.CONF / "experiment").glob("*.yaml")}
    shown = {name for beginning in beginnings for name, _ in key_tables.recipe_files(beginning)}
    assert shown == names, f"the name of a recipe begins with one of {beginnings}; add a section or rename it"
