"""Any value anywhere in the configuration: it is right, or refused by a line that begins with its key."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from detection.cli.compose import model_config
from detection.validation.configuration import check_config
from detection.validation.suggestions import suggest_keys

CONF = Path(__file__).parents[2] / "conf"
FUZZ = settings(max_examples=30, derandomize=True, deadline=None, database=None)

values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6),
        st.sampled_from(["", "null", "nan", "-1", "1e-3", "${x}", "../..", "raise", "skip", "torch.nn"]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@cache
def configuration(experiment: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=[f"experiment={experiment}", "run_dir=/nowhere", "name=test"])
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    model = model_config(config, class_names=[], batch_size=None)
    return {**config, "model": model, "optimizer": model["optimizer"]}


def leaves(node: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(node, dict):
        return [path]
    return [leaf for key, child in node.items() for leaf in leaves(child, (*path, key))] + (
        [path] if path else []
    )


@pytest.mark.parametrize("experiment", ["quickstart", "quickstart_faster_rcnn"])
def test_a_right_configuration_has_no_mistakes(experiment: str) -> None:
    assert check_config(configuration(experiment)) == []


@given(data=st.data(), value=values, experiment=st.sampled_from(["quickstart", "quickstart_faster_rcnn"]))
@FUZZ
def test_a_wrong_value_is_named_by_its_key(data: st.DataObject, value: Any, experiment: str) -> None:
    config = copy.deepcopy(configuration(experiment))
    path = data.draw(st.sampled_from(leaves(config)))
    node = config
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    for mistake in check_config(config):
        changes_the_rules = path[-1].startswith("_") or isinstance(value, dict)
        # The optimizer is the model's, too.
        key = ".".join(path).removeprefix("model.")
        assert changes_the_rules or mistake.removeprefix("model.").startswith(key), mistake


@pytest.mark.parametrize("experiment", ["quickstart", "quickstart_faster_rcnn"])
def test_a_word_in_the_place_of_a_number_is_always_refused(experiment: str) -> None:
    config = configuration(experiment)
    numbers = [
        path
        for path in leaves(config)
        if isinstance(value_at(config, path), bool | int | float)
        and "_target_" in value_at(config, path[:-1])  # the others are read where these refer to them
        and not path[-1].startswith("_")
    ]
    assert len(numbers) > 40
    accepted = []
    for path in numbers:
        wrong = copy.deepcopy(config)
        value_at(wrong, path[:-1])[path[-1]] = "spam"
        if not any(mistake.startswith(".".join(path)) for mistake in check_config(wrong)):
            accepted.append(".".join(path))
    assert accepted == ["trainer.devices"], "which may be a word, such as 0,1"


def value_at(config: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        config = config[key]
    return config


def test_a_part_that_is_missing_is_named() -> None:
    config = copy.deepcopy(configuration("quickstart"))
    config["model"]["scheduler"] = None
    (mistake,) = check_config(config)
    assert mistake == "model.scheduler=null: give a part with a _target_ (Schedule)"


@given(key=st.text(max_size=20))
@FUZZ
def test_an_unknown_key_is_refused_whatever_it_is(key: str) -> None:
    config = copy.deepcopy(configuration("quickstart"))
    if key in config["data"]:
        return
    config["data"][key] = 1
    assert any(mistake.startswith(f"data.{key}") for mistake in check_config(config))
    assert len(suggest_keys(f"data.{key}", config)) <= 3
