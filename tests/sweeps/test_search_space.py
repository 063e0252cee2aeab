"""Hydra's override grammar as Optuna's distributions."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from detection.sweeps.optuna_sweeper import search_space


def parsed(*overrides: str) -> tuple[dict[str, BaseDistribution], list[str]]:
    return search_space(OverridesParser.create().parse_overrides(list(overrides)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("interval(1e-4,1e-2)", FloatDistribution(1e-4, 1e-2)),
        ("tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("interval(1,2)", FloatDistribution(1.0, 2.0)),
        ("int(interval(1,8))", IntDistribution(1, 8)),
        ("tag(log,int(interval(1,8)))", IntDistribution(1, 8, log=True)),
        ("range(1,9,2)", IntDistribution(1, 7, step=2)),
        ("range(0.5,2.0,0.5)", FloatDistribution(0.5, 1.5, step=0.5)),
        ("choice(resnet18,resnet50)", CategoricalDistribution(["resnet18", "resnet50"])),
        ("1e-3,[1,2]", CategoricalDistribution(["0.001", "[1,2]"])),
    ],
)
def test_every_sweep_of_the_grammar_is_a_distribution(text: str, expected: BaseDistribution) -> None:
    space, fixed = parsed(f"key={text}")
    assert space == {"key": expected}
    assert fixed == []


def test_the_rest_is_the_same_in_every_trial_and_the_last_word_counts() -> None:
    space, fixed = parsed("a=interval(0,1)", "b=1", "c=2,3", "a=5", "b=choice(6,7)", "+d=x", "~e")
    assert list(space) == ["b", "c"]
    assert fixed == ["a=5", "+d=x", "~e"]
