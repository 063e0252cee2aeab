"""What pages of the documentation show, for tests that run it."""

import re
from pathlib import Path
from typing import Any

_DOCS = Path(__file__).parent.parent / "docs"


def block(page: str, words: str) -> str:
    """The one code block of a page, such as ``how-to/plugins.md``, in which these words stand."""
    blocks = re.findall(r"```\w+\n(.+?)```", (_DOCS / page).read_text(), flags=re.DOTALL)
    (found,) = [text for text in blocks if words in text]
    return str(found)


def names_of(page: str, words: str) -> dict[str, Any]:
    """What such a block of Python defines."""
    names: dict[str, Any] = {"__name__": "my_package"}
    exec(block(page, words), names)
    return names
