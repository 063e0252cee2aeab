"""Tables of configuration keys, made from where the keys are defined when the documentation is built.

``{command-keys} Predict`` shows the fields of a command's class in ``detection/settings/``.
``{config-group} data`` shows each file of a group of ``conf``: the arguments of the constructors that it
names by ``_target_``, from their signatures and docstrings, with the values that the files give.
``{recipes} finetune`` shows the files of ``conf/experiment`` whose names begin like that.
"""

import re
from collections.abc import Iterator

from docutils import nodes
from key_tables import Row, command_rows, group_files, recipe_files
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class _Generated(SphinxDirective):
    """A directive whose content is Markdown that is made at build time."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Parse what was made as if it stood in the page."""
        text = "\n".join(self.lines(self.arguments[0]))
        return self.parse_text_to_nodes(text, allow_section_headings=True)

    def lines(self, name: str) -> Iterator[str]:
        """The Markdown."""
        raise NotImplementedError


class CommandKeys(_Generated):
    """The keys of a command."""

    def lines(self, name: str) -> Iterator[str]:
        """One table."""
        yield from _table(command_rows(name))


class ConfigGroup(_Generated):
    """The files of a group."""

    def lines(self, name: str) -> Iterator[str]:
        """A section for each file."""
        for file in group_files(name):
            yield from ("", f"### `{name}={file.name}`", "", _escaped(file.told), "")
            for part in file.parts:
                where = f", at `{part.path}`" if part.path else ""
                yield from (f"`{part.constructor}`{where}:", "")
                yield from (*_table(part.rows), "")
            if file.sets:
                yield from ("It sets:", "", "```yaml", *file.sets, "```", "")


class Recipes(_Generated):
    """The recipes whose names begin alike."""

    def lines(self, name: str) -> Iterator[str]:
        """A section for each, with the whole file."""
        for recipe, content in recipe_files(name):
            yield from ("", f"### `experiment={recipe}`", "", "```yaml", content.rstrip(), "```", "")


def _table(rows: list[Row]) -> Iterator[str]:
    yield from ("| key | value | meaning |", "| --- | --- | --- |")
    for row in rows:
        kind = f" *({_escaped(row.type)})*" if row.type else ""
        cells = [f"`{row.key}`", _code(row.value), _escaped(row.meaning) + kind]
        yield "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _escaped(text: str) -> str:
    """Text of a docstring as Markdown: only what stands between backticks is code."""
    text = re.sub(r":\w+:`~?([^`]*)`", r"`\1`", text.replace("``", "`"))
    parts = text.split("`")
    parts[::2] = [re.sub(r"([\\*_<>\[\]{}#$])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("command-keys", CommandKeys)
    app.add_directive("config-group", ConfigGroup)
    app.add_directive("recipes", Recipes)
    return {"parallel_read_safe": True}
