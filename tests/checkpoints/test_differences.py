"""What a run that resumes is compared with, and what to type where they differ."""

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from detection.checkpoints.differences import changed_keys, check_same_network
from detection.cli.quoting import quote_words


def test_changes_are_listed_by_key() -> None:
    then = {"optimizer": {"lr": 0.1, "momentum": 0.9}, "seed": 1, "gone": 2}
    now = {"optimizer": {"lr": 0.2, "momentum": 0.9}, "seed": 1, "new": [3]}
    changes = changed_keys(then, now)
    assert [*map(str, changes)] == ["gone: 2 -> (none)", "new: (none) -> [3]", "optimizer.lr: 0.1 -> 0.2"]
    assert [change.is_of_one_side for change in changes] == [True, True, False]


@pytest.mark.parametrize(
    ("then", "now", "lines"),
    [
        ({}, {"ema": {"_target_": "a.EMA", "decay": 0.9}}, ["ema: off -> on"]),
        ({"ema": {"_target_": "a.EMA", "decay": 0.9}}, {}, ["ema: on -> off"]),
        ({"ema": {"_target_": "a.EMA"}}, {"ema": None}, ["ema: on -> off"]),
        ({"w": "x.pt"}, {"w": {"_target_": "a.W"}}, ["w: x.pt -> on"]),
        (
            {"opt": {"_target_": "torch.optim.SGD", "lr": 0.1, "momentum": 0.9}},
            {"opt": {"_target_": "torch.optim.AdamW", "lr": 0.2, "betas": [0.9, 0.999]}},
            ["opt: SGD -> AdamW", "opt.lr: 0.1 -> 0.2"],
        ),
        (
            {"csv": {"_target_": "detection.callbacks.csv_history.CSVHistory", "save_dir": "a"}},
            {"csv": {"_target_": "detection.loggers.csv_history.CSVHistory", "save_dir": "a"}},
            [],
        ),
        ({"a": None}, {"a": {"b": {"c": 1, "d": None}}}, ["a.b.c: (none) -> 1", "a.b.d: (none) -> null"]),
        (
            {"plugins": [{"_target_": "a.IO", "fast": True}, {"_target_": "a.X"}]},
            {"plugins": [{"_target_": "a.IO", "fast": False}]},
            ["plugins.0.fast: true -> false", "plugins.1: on -> off"],
        ),
        ({"clip": None, "roots": ["a"]}, {"clip": 10, "roots": ["a", "b"]},
         ["clip: null -> 10", "roots: ['a'] -> ['a', 'b']"]),
    ],
)  # fmt: skip
def test_changes_of_parts_are_told_in_words(then: Any, now: Any, lines: list[str]) -> None:
    assert [*map(str, changed_keys(then, now))] == lines


def test_another_network_is_refused_and_another_schedule_is_not() -> None:
    then = {"_target_": "SSD", "class_names": ["a"], "backbone": {"strides": 8, "weights": "x"}, "topk": 1}
    now = {**then, "backbone": {"strides": 8, "weights": None}, "topk": 2}
    check_same_network(then, now, Path("a.ckpt"))
    with pytest.raises(ValueError, match=r"a\.ckpt holds another network .*backbone\.strides: 8 -> 16"):
        check_same_network(then, {**now, "backbone": {"strides": 16}}, Path("a.ckpt"))


NETWORK = {"_target_": "SSD", "network": {"_target_": "build", "anchors": 4}, "class_names": ["a"]}


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({"anchors": 6}, "To resume, add model.network.anchors=4;"),
        ({"anchors": 4, "neck": "fpn"}, "To resume, leave out model.network.neck;"),
        ({"neck": "fpn"}, r"To resume, add \+model.network.anchors=4 and leave out model.network.neck;"),
        ({"_target_": "build_other"}, "To resume, give the overrides that the run was started with;"),
    ],
)
def test_what_to_type_for_the_network_that_there_was(now: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        check_same_network(NETWORK, {**NETWORK, "network": {"_target_": "build", **now}}, Path("a.ckpt"))


@pytest.mark.parametrize(
    ("started", "typed", "told"),
    [
        ([], ["model=faster_rcnn", "seed=1"], "To resume, leave out model=faster_rcnn;"),
        (
            ["experiment=small", "+model.network.neck=fpn", "seed=1"],
            ["experiment=other"],
            r"leave out experiment=other and add experiment=small \+model.network.neck=fpn;",
        ),
        (["data.size=[64,96]", "data.root=a b"], [], r"To resume, add 'data.size=\[64,96\]';"),
        (["model=ssd"], ["model=ssd"], "give the overrides that the run was started with"),
    ],
)
def test_another_kind_of_network_by_the_words_of_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[str], typed: list[str], told: str
) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra/overrides.yaml").write_text(yaml.safe_dump(started))
    monkeypatch.setattr("sys.argv", ["train.py", *typed])
    other = NETWORK | {"network": {"_target_": "build_other"}}
    with pytest.raises(ValueError, match=told):
        check_same_network(NETWORK, other, tmp_path / "checkpoints/best.ckpt")


def test_classes_and_sizes_come_from_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    of_two = {**NETWORK, "class_names": ["cat", "dog"], "network": {"_target_": "build", "size": [64, 96]}}
    of_three = {**of_two, "class_names": ["bird", "cat", "dog"]}
    with pytest.raises(ValueError, match=r"add 'data.classes=\[cat,dog\]' data.other_classes=skip;"):
        check_same_network(of_two, of_three, Path("a.ckpt"))
    with pytest.raises(ValueError, match=r"add 'data.classes=\[bird,cat,dog\]';"):
        check_same_network(of_three, of_two, Path("a.ckpt"))
    odd = {**NETWORK, "class_names": ["cup, glass", "person (adult)", "true", "straße"]}
    with pytest.raises(ValueError, match="To resume") as told:
        check_same_network(
            odd, of_two | {"class_names": ["cat"], "network": NETWORK["network"]}, Path("a.ckpt")
        )
    (typed,) = (
        word for word in shlex.split(str(told.value).split(";")[-2]) if word.startswith("data.classes=")
    )
    monkeypatch.setattr("sys.argv", ["train.py", typed])
    quote_words()
    assert OverridesParser.create().parse_override(sys.argv[1]).value() == odd["class_names"]
    larger = {**of_two, "network": {"_target_": "build", "size": 300}}
    with pytest.raises(ValueError, match=r"add 'data.size=\[64,96\]';"):
        check_same_network(of_two, larger, Path("a.ckpt"))
