"""What a checkpoint says is data: descriptions that want to call, read or exhaust something are refused."""

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

import detection.registry as registry
from detection.checkpoints.description import DATA_KEYS, DescriptionError, check_description
from detection.checkpoints.init_from import make_task
from detection.checkpoints.loading import load_task, read_checkpoint
from detection.cli.compose import checked_config, inference_config, model_config
from detection.train import train
from tests.checkpoints.test_security import WAYS

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
Spoil = Callable[[dict[str, Any]], None]


def config(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=["run_dir=/nowhere", "name=test", *overrides])
    return checked_config(cfg)


def described(*overrides: str) -> dict[str, Any]:
    settings = config(*overrides)
    return {
        "format": 2,
        "model": model_config(settings, ["cat", "dog"], None),
        "data": inference_config(settings["data"]),
    }


@pytest.fixture(scope="module")
def good() -> dict[str, Any]:
    return described("experiment=quickstart")


CALL = {"_target_": "canary.touch", "_args_": ["executed"]}


def put(*path: str) -> Callable[[Any], Spoil]:
    def at(value: Any) -> Spoil:
        def spoil(content: dict[str, Any]) -> None:
            place = content
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = value

        return spoil

    return at


def cyclic(content: dict[str, Any]) -> None:
    content["model"]["network"]["anchor_sizes"] = endless = []  # type: ignore[var-annotated]
    endless.append(endless)


def doubled(content: dict[str, Any]) -> None:
    value: list[Any] = [1]
    for _ in range(18):
        value = [value, value]
    content["model"]["network"]["anchor_sizes"] = value


def deep(content: dict[str, Any]) -> None:
    value: list[Any] = []
    for _ in range(200):
        value = [value]
    content["model"]["network"]["anchor_sizes"] = value


target = put("model", "backbone", "_target_")
extra, network = put("model", "backbone", "x"), put("model", "network")
names = put("model", "class_names")
MALICIOUS: dict[str, Spoil] = {
    "a tuple hides a call": put("model", "network", "x")((CALL,)),
    "a call in a list in a dict": extra({"a": [{"b": CALL}]}),
    "a call as a part": put("model", "backbone")(CALL),
    "a call as the task": put("model")(CALL),
    "arguments by position": put("model", "backbone", "_args_")(["/etc/passwd"]),
    "recursion switched off": put("model", "backbone", "_recursive_")(False),
    "conversion": put("model", "backbone", "_convert_")("object"),
    "a backbone called later": put("model", "backbone", "_partial_")(True),
    "a network called now": put("model", "network", "_partial_")(False),
    "partial as a word": put("model", "network", "_partial_")("true"),
    "the environment": extra("${oc.env:HOME}"),
    "the environment among the classes": names(["${oc.env:HOME}"]),
    "a module behind a trusted one": target("detection.models.zoo.os.system"),
    "dunders": target("detection.models.backbones.__builtins__.eval"),
    "functools.partial": target("functools.partial"),
    "eval": target("builtins.eval"),
    "sympy": target("sympy.sympify"),
    "torch.hub": target("torch.hub.load_state_dict_from_url"),
    "our own download": target("detection.models.backbones.weights.download"),
    "our own writer": target("detection.data.shapes.write_shapes"),
    "the registry itself": target("detection.registry.load_plugins"),
    "a base class": target("torch.optim.Optimizer"),
    "a name with a space": target("detection.models.backbones.TinyBackbone "),
    "a name in another case": target("detection.models.backbones.tinybackbone"),
    "a name in other letters": target("detection.models.backbones.Tiny\u0412ackbone"),
    "a name of full width": target("\uff44etection.models.backbones.TinyBackbone"),
    "no name": target(None),
    "a list of names": target(["os.system"]),
    "a part in the place of another": target("torch.optim.SGD"),
    "a key that is no text": put("model", "backbone")({1: 2, "_target_": "x"}),
    "a key with dots": put("model", "backbone", "a.b")(1),
    "a cycle": cyclic,
    "a tree that is small on disk": doubled,
    "very deep": deep,
    "a huge text": extra("x" * 10**6),
    "a huge list": put("model", "network", "anchor_sizes")([1] * 10**5),
    "a huge integer": put("model", "network", "anchor_sizes")([10**400]),
    "not a number": put("model", "nms_threshold")(float("nan")),
    "infinite": put("model", "nms_threshold")(float("inf")),
    "a billion detections": put("model", "max_detections")(10**9),
    "a huge input": put("data", "size")(10**6),
    "no input": put("data", "size")(-1),
    "an input of text": put("data", "size")("128"),
    "weights to fetch": put("model", "backbone", "weights")("https://example.com/x.pth"),
    "weights by another name": put("model", "backbone", "url")("https://example.com/x.pth"),
    "weights of the network": put("model", "network", "weights")("DEFAULT"),
    "a path in the transform": put("data", "eval_transform", "path")("/etc/passwd"),
    "an optimizer's odd argument": put("model", "optimizer", "params")(["x"]),
    "an optimizer's odd value": put("model", "optimizer", "betas")("ab"),
    "bytes": extra(b"x"),
    "a set": extra({1}),
    "another input function": put("data", "collate")("os.system"),
    "a training transform": put("data", "eval_transform", "_target_")("detection.data.transforms.A.Lambda"),
    "where the data lies": put("data", "root")("/etc"),
    "another data module": put("data", "_target_")("detection.data.download.download_voc"),
    "a class that is no text": names([1, 2]),
    "a class that is a call": names([CALL]),
    "classes that are a word": names("cat"),
    "a class that moves the cursor": names(["cat\x1b[2J", "dog"]),
    "a class that turns the text": names(["cat\u202e", "dog"]),
    "no model": put("model")(None),
    "a format of text": put("format")("2"),
    "a format that is true": put("format")(True),
    "a format before the first": put("format")(0),
}


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module that leaves a trace when it is imported or called."""
    (tmp_path / "canary.py").write_text("touch = lambda name: open(name, 'w')\nopen('imported', 'w')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def saved(content: dict[str, Any], path: Path, **more: Any) -> Path:
    torch.save({"state_dict": {}, "hyper_parameters": content, **more}, path)
    return path


@pytest.mark.parametrize("case", MALICIOUS)
def test_a_malicious_description_is_refused(canary: Path, good: dict[str, Any], case: str) -> None:
    content = copy.deepcopy(good)
    MALICIOUS[case](content)
    before = set(sys.modules)
    path = saved(content, canary / "evil.ckpt")
    for way in (read_checkpoint, load_task):
        with pytest.raises(ValueError, match=r"^\S*evil\.ckpt ") as refusal:
            way(path)
        assert len(str(refusal.value)) < 1200
        assert str(refusal.value).isprintable()
    assert not {"canary"} & (set(sys.modules) - before)
    assert sorted(file.name for file in canary.iterdir()) == ["canary.py", "evil.ckpt"]


@pytest.mark.parametrize("way", [way for way in WAYS if way != "model.backbone.weights="])
def test_every_way_in_refuses_a_malicious_description(canary: Path, good: dict[str, Any], way: str) -> None:
    content = copy.deepcopy(good)
    content["model"]["network"]["x"] = (CALL,)
    with pytest.raises(ValueError, match=r"evil\.ckpt cannot be opened safely: model\.network\.x: a tuple"):
        WAYS[way](saved(content, canary / "evil.ckpt"))
    assert not (canary / "imported").exists()


HUGE = {
    "channels": {"channels": 4096, "dense_channels": 4096},
    "anchors": {"anchor_ratios": [1.0] * 100},
    "pooling": {"pooled_size": 64, "dense_channels": 4096},
}


@pytest.mark.parametrize("case", HUGE)
def test_a_network_that_the_weights_are_not_of_takes_no_memory(tmp_path: Path, case: str) -> None:
    content = described("experiment=quickstart_faster_rcnn")
    content["model"]["network"] |= HUGE[case]
    with pytest.raises(ValueError, match="are of another network"):
        load_task(saved(content, tmp_path / "huge.ckpt"))


STATES: dict[str, Any] = {
    "a repeated number": {"a": torch.zeros(1).expand(10**12)},
    "sparse": {"a": torch.zeros(3).to_sparse()},
    "text": {"a": "x"},
    "nan": {"a": torch.tensor([1.0, float("nan")])},
    "infinite": {"a": torch.tensor([1.0, float("inf")], dtype=torch.bfloat16)},
    "a key that is no text": {1: torch.zeros(1)},
    "a list": [torch.zeros(1)],
    "nothing": None,
}


@pytest.mark.parametrize("case", STATES)
def test_odd_weights_are_refused(tmp_path: Path, good: dict[str, Any], case: str) -> None:
    path = tmp_path / "odd.ckpt"
    torch.save({"state_dict": STATES[case], "hyper_parameters": good}, path)
    with pytest.raises(ValueError, match=r"odd\.ckpt (cannot be|has no weights)"):
        load_task(path)


def test_a_newer_format_asks_for_an_update(tmp_path: Path, good: dict[str, Any]) -> None:
    path = saved({**good, "format": 99}, tmp_path / "new.ckpt")
    with pytest.raises(ValueError, match=r"new\.ckpt was written by a newer version .* format 99.*--upgrade"):
        read_checkpoint(path)


EXPERIMENTS = [f"experiment={path.stem}" for path in sorted((CONF / "experiment").glob("*.yaml"))]
CHOICES = [
    *EXPERIMENTS,
    *(f"optimizer={path.stem}" for path in sorted((CONF / "optimizer").glob("*.yaml"))),
    *(f"scheduler={path.stem}" for path in sorted((CONF / "scheduler").glob("*.yaml"))),
    *(f"model={path.stem}" for path in sorted((CONF / "model").glob("*.yaml"))),
    *(f"model/backbone={path.stem}" for path in sorted((CONF / "model/backbone").glob("*.yaml"))),
    *(f"data/transform={path.stem}" for path in sorted((CONF / "data/transform").glob("*.yaml"))),
]


@pytest.mark.parametrize("choice", CHOICES)
def test_what_every_recipe_describes_can_be_opened(choice: str) -> None:
    content = described(choice, "data.root=/somewhere")
    assert check_description(content) == content
    del content["format"]  # as 0.1 wrote it
    assert check_description(content) == content
    assert tuple(content["data"]) == DATA_KEYS


def test_older_names_are_known(good: dict[str, Any]) -> None:
    content = copy.deepcopy(good)
    content["model"]["backbone"]["_target_"] = "detection.models.backbones.tiny.TinyBackbone"
    content["model"]["optimizer"]["_target_"] = "torch.optim.adamw.AdamW"
    assert check_description(content) == good


@pytest.mark.parametrize("name", sorted({*registry.BUILT_IN, *registry.MOVED}))
def test_every_name_leads_to_a_constructor(name: str) -> None:
    if name.rpartition(".")[2] == "Muon" and not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has none")
    assert callable(registry.constructor(name))


PLUGIN = """
from detection.models.backbones import Backbone, TinyBackbone
from detection.registry import register

@register
class MyBackbone(TinyBackbone):
    pass

class NotRegistered(TinyBackbone):
    pass

class Unfinished(Backbone):
    def __init__(self, weights=None, freeze_batchnorm=False, frozen_blocks=0):
        super().__init__(freeze_batchnorm, frozen_blocks)
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_parts.py").write_text(PLUGIN)
    (tmp_path / "my_facade.py").write_text("from my_parts import MyBackbone, NotRegistered, Unfinished\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_users", {})
    return "experiment=quickstart"


@pytest.mark.parametrize("name", ["my_parts.MyBackbone", "my_facade.MyBackbone"])
def test_a_class_of_the_user_trains_and_opens_again(
    tmp_path: Path, plugin: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(plugin, "plugins=[my_facade]", f"model.backbone._target_={name}")
    model = model_config(settings, ["cat"], None)
    task, _ = make_task(model, settings)
    task.describe(model=model, data=inference_config(settings["data"]))
    path = tmp_path / "mine.ckpt"
    torch.save({"state_dict": task.state_dict(), "hyper_parameters": dict(task.hparams)}, path)

    assert type(load_task(path).network.backbone).__name__ == "MyBackbone"
    monkeypatch.setattr(registry, "_users", {})  # a command without the plugin
    with pytest.raises(ValueError, match=r"would call '\w+\.MyBackbone'.*register.*plugins=\[my_package\]"):
        load_task(path)


def test_a_training_that_could_not_be_opened_again_is_refused(plugin: str) -> None:
    settings = config(plugin, "plugins=[my_facade]", "model.backbone._target_=my_facade.NotRegistered")
    with pytest.raises(ValueError, match=r"could not be opened: model\.backbone would call 'my_facade\.Not"):
        make_task(model_config(settings, ["cat"], None), settings)


def test_that_is_told_before_the_data_is_prepared(plugin: str, tmp_path: Path) -> None:
    words = (plugin, "plugins=[my_facade]", "model.backbone._target_=my_facade.NotRegistered", "trainer=cpu")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [f"run_dir={tmp_path}", "name=test", f"data.root={tmp_path}/set", *words])
    with pytest.raises(SystemExit, match=r"could not be opened: model\.backbone would call 'my_facade\.Not"):
        train(cfg)
    assert not (tmp_path / "set").exists()


def test_a_class_that_lacks_what_it_must_have_is_told_at_once(plugin: str) -> None:
    with pytest.raises(
        SystemExit, match=r"model\.backbone: my_facade\.Unfinished lacks blocks, forward: the"
    ):
        config(plugin, "plugins=[my_facade]", "model.backbone._target_=my_facade.Unfinished")


def test_a_plugin_that_is_not_there_is_named(plugin: str) -> None:
    with pytest.raises(SystemExit, match="plugins: no_such_package cannot be imported"):
        config(plugin, "plugins=[no_such_package]")


def test_weights_are_never_fetched_or_read(good: dict[str, Any]) -> None:
    content = described("experiment=quickstart", "model/backbone=mobilenet_v2")
    del content["model"]["backbone"]["weights"]  # whose default is to fetch
    assert registry.without_weights(content["model"])["backbone"]["weights"] is None
    content["model"]["backbone"]["weights"] = "/etc/passwd"  # history
    assert registry.without_weights(content["model"])["backbone"]["weights"] is None


def test_a_description_of_another_kind_of_text_is_refused(good: dict[str, Any]) -> None:
    class Text(str):
        pass

    content = copy.deepcopy(good)
    content["model"]["backbone"]["_target_"] = Text("detection.models.backbones.TinyBackbone")
    with pytest.raises(DescriptionError, match="a Text, where"):
        check_description(content)


def test_joiners_are_a_part_of_words(good: dict[str, Any]) -> None:
    content = copy.deepcopy(good)
    content["model"]["class_names"] = ["می‌خواهم", "क्‍ष"]
    assert check_description(content) == content
