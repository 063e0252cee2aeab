"""A metric that nobody logs is refused before the first epoch, and so is the worst in place of the best."""

from typing import Any

import pytest

from detection.cli.monitors import check_best, check_monitors

DURING = ["val/map", "val/loss", "val/ap/cat", "val/ap/dog", "train/loss"]
AT_THE_END = ["test/map", "test/loss", "test/ap/cat", "test/ap/dog"]


def configured(**changes: Any) -> dict[str, Any]:
    callbacks = {
        "best": {"_target_": "a.B", "monitor": "val/map", "mode": "max"},
        "last": {"_target_": "a.B"},
        "stopping": {"monitor": "train/loss", "mode": "min"},
        "pruning": {"monitor": "val/ap/dog"},
    }
    config = {
        "optimized_metric": "val/map",
        "optimized_direction": "maximize",
        "callbacks": callbacks,
        "trainer": {},
    }
    for path, value in changes.items():
        *parents, key = path.split("__")
        node: dict[str, Any] = config
        for parent in parents:
            node = node[parent]
        node[key] = value
    return config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, None),
        ({"optimized_metric": "test/ap/cat"}, None),
        ({"callbacks__best__monitor": "val/ap/cat", "optimized_metric": "val/ap/cat"}, None),
        (
            {"callbacks__best__monitor": "val/AP"},
            r"^callbacks\.best\.monitor=val/AP: there is no such metric; did you mean 'val/map'\? There are "
            r"val/map, val/loss, val/ap/<class>, train/loss\.$",
        ),
        ({"callbacks__stopping__monitor": "mAP50"}, r"^callbacks\.stopping\.monitor=mAP50: there is no"),
        ({"callbacks__pruning__monitor": "test/map"}, r"^callbacks\.pruning\.monitor=test/map: there is no"),
        ({"optimized_metric": "test/maps"}, "optimized_metric=test/maps: .*did you mean 'test/map'"),
        ({"optimized_metric": "val/loss"}, "by val/map; give callbacks.best.monitor=val/loss as"),
        (
            {"callbacks__best__mode": "min"},
            "the best val/map would be the worst; give callbacks",
        ),
        ({"callbacks__stopping__mode": "max"}, "give callbacks.stopping.mode=min"),
        ({"trainer__limit_val_batches": 0}, r"without a validation there is no val/map for callbacks\.best "),
        ({"optimized_direction": "minimize"}, "give optimized_direction=maximize"),
    ],
)
def test_what_is_watched_must_be_there(changes: dict[str, Any], message: str | None) -> None:
    if message is None:
        check_monitors(configured(**changes), DURING, AT_THE_END)
        return
    with pytest.raises(ValueError, match=message):
        check_monitors(configured(**changes), DURING, AT_THE_END)


def test_a_run_without_its_best_checkpoint_is_refused() -> None:
    check_best(configured()["callbacks"])
    with pytest.raises(ValueError, match=r"begin your list with default, as in callbacks=\[default,ema\]\.$"):
        check_best({"ema": {}})
