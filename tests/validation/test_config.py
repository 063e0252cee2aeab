"""The configuration checker, on a small module written to disk and on the real Trainer and optimizer."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from detection.validation.configuration import check_config

MODULE = """
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from nowhere import Mystery


class Transform:
    def __init__(self, size: tuple[int, int], ratios: list[tuple[float, ...]] = [(1.0, 2.0)]): ...


class DataModule:
    def __init__(
        self,
        root: str | Path,
        batch_size: int = 32,
        lr: float = 0.001,
        splits: Sequence[str] = ("train",),
        shuffle: bool = True,
        mode: Literal["fast", "exact"] = "fast",
        limit: int = None,
        transform: Transform | None = None,
        extra=None,
    ): ...

    @classmethod
    def tiny(cls, root: str): ...


def sampler(count: int, *rest: int, seed: int = 0, **options: Any): ...


def guarded(path: str, mystery: Mystery): ...


VALUE = 3
"""


@pytest.fixture(autouse=True)
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package ``house`` with a module ``rooms`` that nobody has imported."""
    package = tmp_path / "house"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "rooms.py").write_text(MODULE)
    (package / "broken.py").write_text("import a_package_that_is_not_there\n")
    (package / "failing.py").write_text("raise RuntimeError('no such operator')\n")
    monkeypatch.syspath_prepend(tmp_path)


def node(target: str = "DataModule", /, **arguments: Any) -> dict[str, Any]:
    return {"_target_": f"house.rooms.{target}", **arguments}


def test_valid_config_has_no_errors() -> None:
    config = {
        "seed": 1,
        "data": node(
            root="/data",
            batch_size=8,
            lr=1,
            splits=["train", "val"],
            mode="exact",
            limit=None,
            transform=node("Transform", size=[300, 300], ratios=[[1, 2.0], [0.5]]),
            extra={"anything": [1, "goes"]},
            _convert_="all",
        ),
        "others": [node("DataModule.tiny", root="x"), node("sampler", _args_=[1, 2, 3], seed=4, color="red")],
    }
    assert check_config(config) == []


def test_unknown_key_has_a_suggestion() -> None:
    assert check_config({"data": node(root="/data", batchsize=8)}) == [
        "data.batchsize: DataModule has no argument 'batchsize'; did you mean 'batch_size'?"
    ]
    assert check_config({"data": node(root="/data", xyz=8)}) == ["data.xyz: DataModule has no argument 'xyz'"]


def test_missing_argument() -> None:
    assert check_config({"data": node()}) == ["data.root: missing, DataModule needs it"]
    assert check_config({"data": node(_partial_=True)}) == []
    assert check_config({"data": node(_args_=["/data"])}) == []


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("batch_size", "abc", "abc: give a whole number"),
        ("batch_size", "12", "'12': give a whole number"),
        ("batch_size", 1.5, "1.5: give a whole number"),
        ("batch_size", True, "true: give a whole number"),
        ("batch_size", None, "null: give a whole number"),
        ("lr", "fast", "fast: give a number"),
        ("lr", True, "true: give a number"),
        ("shuffle", 1, "1: give true or false"),
        ("splits", "train", "train: give a list of words, such as [a,b]"),
        ("splits", [1], "[1]: give a list of words, such as [a,b]"),
        ("mode", "slow", "slow: give one of fast, exact"),
    ],
)
def test_wrong_value(key: str, value: Any, expected: str) -> None:
    errors = check_config({"data": node(root="/data", **{key: value})})
    assert errors == [f"data.{key}={expected}"]


def test_values_inside_containers() -> None:
    (error,) = check_config({"t": node("Transform", size=[300, "300"])})
    assert error == "t.size=[300,'300']: give a list of 2 whole numbers, such as [1,2]"
    (error,) = check_config({"t": node("Transform", size=[300, 300, 3])})
    assert error.startswith("t.size=[300,300,3]: give a list of 2 whole numbers")


def test_values_that_yaml_cannot_write_are_not_judged() -> None:
    """A Transform instance is asked for: nothing to say about None, a nested node or another value."""
    nested = node("Transform", size=[1, 2])
    assert check_config({"data": node(root="/data", transform=nested)}) == []
    assert check_config({"data": node(root="/data", transform=None)}) == []
    assert check_config({"data": node(root="/data", transform="cpu")}) == []
    assert check_config({"data": node(root=Path("/data"), extra=object())}) == []


def test_all_errors_are_reported_in_order() -> None:
    config = {
        "data": node(
            batch_size="abc",
            transform=node("Transform", size=[1], scale=2),
            shufle=False,
        ),
        "callbacks": {"list": [node("sampler"), node("Transform", size="big")]},
        "plain": {"deep": {"_target_": "house.rooms.Sampler"}},
    }
    assert check_config(config) == [
        "data.batch_size=abc: give a whole number",
        "data.transform.size=[1]: give a list of 2 whole numbers, such as [1,2]",
        "data.transform.scale: Transform has no argument 'scale'",
        "data.shufle: DataModule has no argument 'shufle'; did you mean 'shuffle'?",
        "data.root: missing, DataModule needs it",
        "callbacks.list.0.count: missing, sampler needs it",
        "callbacks.list.1.size=big: give a list of 2 whole numbers, such as [1,2]",
        "plain.deep: cannot import 'house.rooms.Sampler': "
        "house.rooms has no 'Sampler'; did you mean 'sampler'?",
    ]


def test_positional_arguments() -> None:
    assert check_config({"t": node("Transform", _args_=["a"])}) == [
        "t._args_.0=a: give a list of 2 whole numbers, such as [1,2]"
    ]
    assert check_config({"t": node("Transform", _args_=[[1, 2], [], 3])}) == [
        "t._args_: Transform takes 2 positional arguments, got 3"
    ]
    assert check_config({"t": node("Transform", _args_=[[1, 2]], size=[1, 2])}) == [
        "t.size: given twice, by name and in _args_"
    ]
    assert check_config({"t": node("Transform", _args_=[node("Transform", sise=[1, 2])])}) == [
        "t._args_.0.sise: Transform has no argument 'sise'; did you mean 'size'?",
        "t._args_.0.size: missing, Transform needs it",
    ]


def test_below_recursive_false_the_owner_completes_the_call() -> None:
    child = node("Transform", ratio=[])
    assert check_config({"data": node(root="/data", transform=child, _recursive_=False)}) == [
        "data.transform.ratio: Transform has no argument 'ratio'; did you mean 'ratios'?"
    ]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("house.rooms.DataModul", "house.rooms has no 'DataModul'; did you mean 'DataModule'?"),
        ("house.room.DataModule", "house has no 'room'; did you mean 'rooms'?"),
        ("house.rooms.DataModule.tinny", "house.rooms.DataModule has no 'tinny'; did you mean 'tiny'?"),
        ("nohouse.rooms", "No module named 'nohouse'"),
        ("house.broken.Thing", "No module named 'a_package_that_is_not_there'"),
        ("house.failing.Thing", "no such operator"),
        ("house.rooms.VALUE", "it is not a class or a function"),
        ("house.rooms", "it is not a class or a function"),
        ("detection.callbacks.wandb.WandbRun", "it is detection.loggers.wandb.WandbRun now"),
    ],
)
def test_target_that_cannot_be_imported(target: str, message: str) -> None:
    assert check_config({"data": {"_target_": target, "key": 1}}) == [
        f"data: cannot import '{target}': {message}"
    ]
    assert check_config({"_target_": target}) == [f"config: cannot import '{target}': {message}"]


def test_a_lack_of_memory_is_no_mistake_in_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_module(name: str) -> None:
        raise ImportError("libtorch_cpu.so: failed to map segment from shared object")

    monkeypatch.setattr("importlib.import_module", import_module)
    with pytest.raises(
        SystemExit, match=r"^There is not enough memory to import house\.new\.A .*'ulimit -v'\?$"
    ):
        check_config({"data": {"_target_": "house.new.A"}, "model": {"_target_": "house.new.B"}})


def test_children_of_a_broken_target_are_checked() -> None:
    errors = check_config({"data": {"_target_": "house.rooms.Nothing", "t": node("Transform")}})
    assert errors[1:] == ["data.t.size: missing, Transform needs it"]


def test_annotation_for_type_checkers_only() -> None:
    assert check_config({"g": node("guarded", path=3, mystery=4, other=5)}) == [
        "g.other: guarded has no argument 'other'"
    ]


def test_target_without_a_signature() -> None:
    assert check_config({"d": {"_target_": "builtins.dict", "a": 1}}) == []


def test_trainer_node() -> None:
    trainer = {
        "_target_": "pytorch_lightning.Trainer",
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": 3,
        "precision": "bf16-mixed",
        "logger": [],
        "gradient_clip_val": 1.0,
        "default_root_dir": "/runs",
        "callbacks": [
            {"_target_": "pytorch_lightning.callbacks.LearningRateMonitor", "logging_interval": "step"}
        ],
    }
    assert check_config({"trainer": trainer}) == []
    trainer |= {"max_epoch": 3, "max_epochs": "many", "precision": "half", "fast_dev_run": "no"}
    errors = check_config({"trainer": trainer})
    assert [re.split("[=:]", error)[0] for error in errors] == [
        "trainer.max_epochs",
        "trainer.precision",
        "trainer.max_epoch",
        "trainer.fast_dev_run",
    ]
    assert errors[0] == "trainer.max_epochs=many: give a whole number or null"
    assert errors[2] == "trainer.max_epoch: Trainer has no argument 'max_epoch'; did you mean 'max_epochs'?"


def test_optimizer_node() -> None:
    optimizer = {
        "_target_": "torch.optim.SGD",
        "_partial_": True,
        "lr": 1e-3,
        "momentum": 0.9,
        "weight_decay": 0,
    }
    assert check_config({"optimizer": optimizer}) == []
    assert check_config({"optimizer": {**optimizer, "_partial_": False}}) == [
        "optimizer.params: missing, SGD needs it"
    ]
    errors = check_config({"optimizer": {**optimizer, "lr": "abc", "momentun": 0.9}})
    assert errors[0] == "optimizer.lr=abc: give a number"
    assert errors[1] == "optimizer.momentun: SGD has no argument 'momentun'; did you mean 'momentum'?"


def test_import_does_not_load_torch() -> None:
    code = "import sys, detection.validation.configuration; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
