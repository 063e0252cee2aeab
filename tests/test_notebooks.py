"""The notebooks run from top to bottom, and hold the outputs of a run."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"
NAMES = ["ssd_voc", "faster_rcnn_voc", "own_data"]


def read(name: str) -> Any:
    text = (FOLDER / f"{name}.ipynb").read_text()
    return nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_there_and_small(name: str) -> None:
    cells = [cell for cell in read(name).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert all(output.output_type != "error" for output in outputs)
    pictures = [output for output in outputs if {"image/png", "image/jpeg"} & output.get("data", {}).keys()]
    assert len(pictures) >= 2
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 600_000


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_runs_from_top_to_bottom(name: str) -> None:
    NotebookClient(read(name), timeout=900, resources={"metadata": {"path": str(FOLDER)}}).execute()
