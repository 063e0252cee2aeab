"""A page as one HTML file that needs nothing else, neither files nor a network."""

import base64
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined


class Photo(NamedTuple):
    """An image with its boxes drawn, and what is to be said about it."""

    jpeg: bytes | None
    """None where it cannot be shown: its name stands in an empty box."""
    name: str
    note: str
    alt: str
    """What it shows, for readers who do not see it."""


def render_template(template: Path, filters: dict[str, Callable[[Any], str]], **content: Any) -> str:
    """Write a page as HTML.

    Args:
        template: what extends ``base.html.jinja``.
        filters: of the template, by name.
        content: what the template knows, by name; names of classes and files may hold anything.
    """
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader([template.parent, folder]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"png": _as_address("image/png"), "jpeg": _as_address("image/jpeg"), **filters}
    return environment.get_template(template.name).render(
        **content,
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        style=(folder / "page.css").read_text(encoding="utf-8"),
        script=(folder / "page.js").read_text(encoding="utf-8"),
    )


def _as_address(kind: str) -> Callable[[bytes], str]:
    return lambda data: f"data:{kind};base64,{base64.b64encode(data).decode()}"
