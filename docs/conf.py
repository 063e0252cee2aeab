"""The documentation: ``make docs`` builds it into ``docs/_build/html``."""

import shutil
import sys
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "lightning-detection"
author = "the authors of lightning-detection"
release = version = version_of("lightning-detection")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "configuration_keys",
]
exclude_patterns = ["_build", "images/README.md"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks are shown with the outputs that were committed
suppress_warnings = [
    "mystnb.unknown_mime_type",  # widgets of progress bars, beside which there is text
    "misc.highlighting_failure",  # shell commands in notebooks
]

html_theme = "furo"
html_title = f"lightning-detection {version}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = False
copybutton_line_continuation_character = "\\"

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
default_role = "code"  # single backticks in docstrings
# What other projects document, and aliases of types, which show by their own names.
nitpick_ignore_regex = [
    ("py:.*", r"(?!detection\.).*"),
    ("py:.*", r"detection\.(bounds|data|metrics|tasks)\..*"),
    ("py:.*", r".*\._\w+"),
    ("py:.*", r"detection\.models\.roi_head\.\w+Body"),
]

# Notebooks live in notebooks/ and can be reached from within the documentation's folder only.
for notebook in sorted((HERE.parent / "notebooks").glob("*.ipynb")):
    shutil.copyfile(notebook, HERE / "tutorials" / notebook.name)
