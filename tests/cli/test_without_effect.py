"""Keys that are read only under a certain value of another key."""

import copy
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig

from detection.cli.compose import checked_config
from detection.cli.without_effect import _READ, _READ_BY, without_effect
from detection.settings import Convert, Evaluate, Export, Predict, Settings, Train
from detection.system.processes import CONF

_OWN: dict[str, type[Settings]] = {
    "train": Train, "predict": Predict, "evaluate": Evaluate, "export": Export, "convert": Convert,
}  # fmt: skip
_NEEDED = {
    "train": ["experiment=quickstart", "run_dir=/nowhere", "name=test"],
    "predict": ["ckpt=a.ckpt", "source=a.jpg", "output=/nowhere"],
    "evaluate": ["ckpt=a.ckpt", "data=shapes", "run_dir=/nowhere"],
    "export": ["ckpt=a.ckpt"],
    "convert": ["from=voc", "to=coco", "root=a", "out=b"],
}


def checked(monkeypatch: pytest.MonkeyPatch, verb: str, *words: str) -> dict[str, Any]:
    needed = [*_NEEDED[verb], *words]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(verb, needed)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    monkeypatch.setattr("detection.cli.compose.typed_overrides", lambda: needed)
    monkeypatch.setattr("detection.cli.compose._verb", lambda: verb)
    return checked_config(cfg, _OWN[verb])


def with_word(config: dict[str, Any], word: str) -> dict[str, Any]:
    """The configuration, with what the word sets in it."""
    *path, last = word.partition("=")[0].split(".")
    config = copy.deepcopy(config)
    inner = config
    for part in path:
        inner = inner.setdefault(part, {})
    inner[last] = word.partition("=")[2]
    return config


@pytest.mark.parametrize(
    ("verb", "word", "needs"),
    [
        ("predict", "overlap=0.3", "tiles=auto"),
        ("evaluate", "overlap=0.3", "tiles=auto"),
        ("export", "split=test", "data=... (auto, coco, voc07 and others)"),
        ("convert", "seed=1", "split=[0.8,0.2]"),
    ],
)
def test_a_key_in_vain_is_refused_with_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, verb: str, word: str, needs: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        checked(monkeypatch, verb, word)
    told = f"{word.lstrip('+')}: it is read with {needs.lstrip('+')} only: leave it out, or give that, too"
    assert str(stop.value).splitlines()[1:] == [told]
    checked(monkeypatch, verb, word, *(["data=auto", "data.root=a"] if verb == "export" else [needs]))


@pytest.mark.parametrize(
    ("config", "word", "in_vain"),
    [
        ({"data": {"sampling": "uniform"}}, "data.sampling_threshold=0.1", True),
        ({"data": {"sampling": "repeat_factor"}}, "data.sampling_threshold=0.1", False),
        ({"data": {"sampling": "class_balanced"}}, "data.sampling_threshold=0.1", True),
        ({"optimizer": {"scale_lr": False}}, "optimizer.base_batch_size=8", True),
        ({"model": {"class_loss": "focal"}}, "model.neg_pos_ratio=5", True),
        ({"model": {"class_loss": "softmax"}}, "model.neg_pos_ratio=5", False),
        ({"save": ["images", "json"]}, "link=true", True),
        ({"save": ["images", "coco"]}, "link=true", False),
        ({"from": "auto"}, "coco_images=train", False),
    ],
)
def test_the_other_key_decides(config: dict[str, Any], word: str, in_vain: bool) -> None:
    assert bool(without_effect(with_word(config, word), [word], "predict")) is in_vain


def test_what_turns_it_off_is_no_mistake() -> None:
    assert without_effect({"save": ["images"], "link": False}, ["link=false"], "predict") == []
    assert without_effect({"data": {"cache": "none"}}, ["data.cache_folder=null"], "train") == []
    for cache, vain in (("none", True), ("disk", False)):
        config = with_word({"data": {"cache": cache}}, word := "data.cache_folder=here")
        assert bool(without_effect(config, [word], "train")) is vain


def test_the_keys_are_those_of_the_commands() -> None:
    for verb, own in _OWN.items():
        assert _READ_BY.get(verb, {}).keys() <= set(own.keys())
    assert not _READ.keys() & {key for keys in _READ_BY.values() for key in keys}
