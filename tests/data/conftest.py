"""What tests of data need."""

from pathlib import Path

import pytest

from tests.data.small_set import SmallSet


@pytest.fixture
def small_set(tmp_path: Path) -> SmallSet:
    return SmallSet(tmp_path / "mine")
