"""The page of the commands' own keys, against the configurations that Hydra reads."""

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from detection import settings
from detection.cli.help import keys_of
from detection.settings import Settings, key_of

CONF = Path(__file__).parent.parent / "conf"
COMMANDS = [
    *(settings.Train, settings.Check, settings.Benchmark, settings.Evaluate),
    *(settings.Predict, settings.Export, settings.Convert, settings.Serve, settings.Share),
]


def written(kind: type[Settings]) -> dict[str, Any]:
    """The keys of a command as its file has them, above those of the file that it extends."""
    keys: dict[str, Any] = {}
    for name in (
        ("train", kind.__name__.lower()) if issubclass(kind, settings.Train) else [kind.__name__.lower()]
    ):
        keys |= yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8"))
    return keys


@pytest.mark.parametrize("kind", COMMANDS)
def test_hydra_reads_the_defaults_of_the_page(kind: type[Settings]) -> None:
    keys = written(kind)
    for field in fields(kind):
        value = keys[key_of(field.name)]
        if field.default is MISSING:
            assert value == "???" or "${" in value or field.name == "name", field.name
        else:
            assert (tuple(value) if isinstance(value, list) else value) == field.default, field.name


@pytest.mark.parametrize("kind", COMMANDS)
def test_no_key_of_a_command_is_missing_on_the_page(kind: type[Settings]) -> None:
    groups = {path.name for path in CONF.iterdir() if path.is_dir()}
    own = set(written(kind)) - groups - {"defaults", "model_name"}
    assert own == {key_of(field.name) for field in fields(kind)}


@pytest.mark.parametrize("kind", COMMANDS)
def test_help_explains_each_key_in_the_width_of_a_terminal(kind: type[Settings]) -> None:
    lines = keys_of(kind.__name__).splitlines()
    assert max(map(len, lines)) <= 79
    heads = {line.split()[0] for line in ["  " + lines[0], *lines[1:]] if not line.startswith(" " * 4)}
    inherited = (
        {field.name for field in fields(settings.Train)} if issubclass(kind, settings.Train) else set()
    )
    wanted = {key_of(field.name) for field in fields(kind)}
    assert wanted - (inherited if kind is not settings.Train else set()) <= heads <= wanted


def test_a_key_that_python_keeps_for_itself() -> None:
    keys = {**written(settings.Convert), "from": "voc", "to": "coco", "root": "a", "out": "b"}
    assert settings.Convert.of(keys).from_ == "voc"


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (settings.Check, {"fix": True}, "fix=true needs a folder"),
        (settings.Check, {"output": "copy"}, "output=copy is for the corrected copy: add fix=true"),
        (settings.Check, {"fix": True, "output": "/"}, "output=/ exists already"),
        (settings.Predict, {"device": "gpu"}, "device=gpu: choose auto, cpu, cuda"),
        (settings.Serve, {"device": "gpu"}, "device=gpu: choose auto, cpu, cuda"),
        (settings.Export, {"int8": True, "format": "torch_export"}, "does not go with format=torch_export"),
    ],
)
def test_what_does_not_go_together_is_refused(
    kind: type[Settings], values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        kind.of({**written(kind), **values})


@pytest.mark.parametrize("kind", COMMANDS)
def test_both_places_on_the_net_are_named_together(kind: type[Settings]) -> None:
    page = kind.__doc__ or ""
    assert page.count("hf://") == page.count("wandb://")
