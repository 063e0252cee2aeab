"""The index of a split, and the reading of very many files."""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import pytest

from detection.data.formats import index


@pytest.mark.parametrize("method", ["fork", "spawn"])  # Linux; macOS and Windows
def test_many_files_are_read_by_several_processes_in_their_order(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(index, "_MANY", 2)
    pool = partial(ProcessPoolExecutor, mp_context=get_context(method))
    monkeypatch.setattr(index, "ProcessPoolExecutor", pool)
    assert list(index.read_many(len, ["a", "bb", "", "dddd"])) == [1, 2, 0, 4]
