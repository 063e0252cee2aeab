"""What a training says before its first step."""

from pathlib import Path

import pytest

from detection.cli.run_lines import _test
from tests.data.test_nothing import coco

BEST = {"best": {"monitor": "val/map"}}


@pytest.mark.parametrize(
    ("crowds", "callbacks", "which"),
    [
        (0, BEST, "the best checkpoint by val/map"),
        (1, BEST, "the last checkpoint, for val holds nothing to find, so that none is best by val/map"),
        (1, {"best": {"monitor": "val/loss"}}, "the best checkpoint by val/loss"),
        (0, {"last": {}}, "the last checkpoint"),
    ],
)
def test_which_checkpoint_is_tested(
    tmp_path: Path, crowds: int, callbacks: dict[str, dict[str, str]], which: str
) -> None:
    told = _test({"callbacks": callbacks}, coco(tmp_path, 0, crowds))
    assert told.startswith(f"{which}, on ")
