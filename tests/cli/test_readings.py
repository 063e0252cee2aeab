"""Words that Hydra refuses: what they mean, or what to type instead."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, MissingConfigException

from detection.cli.readings import read_again
from detection.cli.words import apart, plain_words
from detection.system.processes import CONF
from tests.every import for_every


def read(verb: str, *words: str) -> list[str]:
    """The words with which the command starts in the end."""
    understood = plain_words(words, verb)
    while True:
        settings, flags = apart(understood)
        try:
            with initialize_config_dir(str(CONF), version_base="1.3"):
                if "-m" not in flags:
                    compose(verb, overrides=settings)
            return understood
        except (HydraException, ValueError) as error:
            before, understood = understood, read_again(understood, error, verb)
            assert understood != before


@for_every(
    [
        (
            "train",
            ["max_epochs=10.0", "batch=8", "--imgsz", "512", "-j", "2", "device=0,1", "data.classes=cat,dog"],
            ["trainer.max_epochs=10.0", "data.batch_size=8", "data.size=512", "data.num_workers=2",
             "trainer.accelerator=gpu", "trainer.strategy=ddp", "trainer.devices=[0,1]",
             "data.classes=[cat,dog]"],
        ),
        (
            "train",
            ["optimizer=SGD", "model=fasterrcnn", "backbone=ResNet-50", "resume=True", "Data.Root=/a"],
            ["optimizer=sgd", "model=faster_rcnn", "model/backbone=resnet50", "ckpt=last", "data.root=/a"],
        ),
        (
            "train",
            ["data=coco128.yaml", "logger=csv,wandb", "+optimizer.lr=0.1", "device=cpu"],
            ["data=yolo", "data.root=coco128.yaml", "logger=[csv,wandb]", "optimizer.lr=0.1",
             "trainer.accelerator=cpu"],
        ),
        (
            "train",
            ["trainer.limit_val_batches=2", "model.network.anchor_sizes=[30,60]"],
            ["+trainer.limit_val_batches=2", "+model.network.anchor_sizes=[30,60]"],
        ),
        (
            "predict",
            ["model=a.ckpt", "b.jpg", "conf=0.3", "classes=dog,cat"],
            ["ckpt=a.ckpt", "source=b.jpg", "threshold=0.3", "classes=[dog,cat]"],
        ),
        ("evaluate", ["weights=a.ckpt", "batch=4"], ["ckpt=a.ckpt", "data.eval_batch_size=4"]),
        ("convert", ["input=a", "output=b"], ["root=a", "out=b"]),
    ]
)  # fmt: skip
def test_what_can_mean_one_thing_only_is_read(case: tuple[str, list[str], list[str]]) -> None:
    verb, words, expected = case
    assert read(verb, *words) == expected


def told(verb: str, words: list[str], error: Exception | None = None) -> list[str]:
    """What the user is told of words that have no reading."""
    with pytest.raises(SystemExit) as stop:
        read_again(words, error or HydraException(), verb)
    return str(stop.value).splitlines()


@for_every(
    [
        (
            "train",
            {
                "data.batchsize=4": "data.batchsize: no such key; did you mean data.batch_size or ",
                "trainer.epochs=4": "did you mean trainer.max_epochs?",
                "SOLVER.BASE_LR=1": "did you mean optimizer.lr?",
                "MODEL.WEIGHTS=a.pt": "init_from=... starts from a trained detector",
                "experiments=quickstart": "did you mean experiment?",
                "data.global_batch_size=8": "no such key; it is data.batch_size now",
                "iou=0.5": "model.nms_threshold=... is the overlap of suppression",
                "source=a": "it belongs to python -m detection.predict",
                "mosaic=1.0": "augmentation is set by data.train_transform",
                "optimizer.lr=1e-3,3e-3": "these are several runs, one for each value: add -m",
                "name=${nowhere}": "there is no key nowhere to refer to",
                "~nothing": "there is no nothing to leave out",
            },
        ),
        ("predict", {"iou=0.5": "leave this out", "model=ssd": "the checkpoint describes its network"}),
        ("evaluate", {"imgsz=640": "the checkpoint decides it"}),
        ("check", {"device=0": "the set is read on the CPU"}),
        ("train", {"name=a!b": """'name="a!b"'""", "trainer=5": "choose one of cpu, ddp"}),
    ]
)
def test_what_can_mean_several_things_is_explained(case: tuple[str, dict[str, str]]) -> None:
    verb, messages = case
    lines = told(verb, list(messages))
    assert len(lines) == len(messages)
    for line, message in zip(lines, messages.values(), strict=True):
        assert message in line


@for_every(
    [
        ("experiment=ssd_300_vgg16", "did you mean ssd_300_vgg16_atrous_voc or ssd_300_vgg16_torchvision?"),
        ("model=ssd300_vgg16", "experiment=ssd_300_vgg16_torchvision?"),
        ("model=fasterrcnn_resnet50_fpn", "did you mean experiment=faster_rcnn_fpn_resnet50_torchvision?"),
        ("model=resnet50", "no such model; did you mean model/backbone=resnet50?"),
        ("model/backbone=vit", "no such model/backbone; choose one of mobilenet_v2, "),
        ("callbacks=[default,emma]", "did you mean ema?"),
        ("model=best.ckpt", "init_from=best.ckpt starts from these weights"),
        ("data=README.md", "data=auto data.root=."),
        ("model=", "choose one of faster_rcnn"),
    ]
)
def test_the_choices_of_a_group_are_told(case: tuple[str, str]) -> None:
    word, message = case
    (line,) = told("train", [word, "seed=1"], MissingConfigException("", word.replace("=", "/"), None))
    assert message in line


def test_hydras_own_words_are_the_last_resort() -> None:
    error = HydraException("Cannot find primary config 'foo'.\n\nConfig search path: ...")
    assert told("train", ["seed=1", "--config-name", "foo"], error) == [
        "Cannot find primary config 'foo'; --help lists what can be set."
    ]


def test_a_users_own_folder_of_configurations_is_looked_into(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text("# @package _global_\nmine: {depth: 3}\n")
    words = ["experiment=mine", "mine.deppth=4", "--config-dir", str(tmp_path)]
    assert told("train", words) == ["mine.deppth: no such key; did you mean mine.depth?"]
    missing = MissingConfigException("", "experiment/min", ["mine", "quickstart"])
    assert told("train", ["experiment=min"], missing)[0].endswith("did you mean mine?")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of configuration files of one's own."""
    folder = tmp_path / "conf"
    (folder / "data").mkdir(parents=True)
    (folder / "data/csv.yaml").write_text("defaults: [_common, _self_]\n_target_: my.CSV\nroot: ???\n")
    return folder


@pytest.mark.parametrize("form", ["--config-dir={}", "--config-dir {}", "hydra.searchpath=[file://{}]"])
def test_choices_of_ones_own_are_right_beside_wrong_ones(form: str, own: Path) -> None:
    words = ["data=csv", "scheduler=cosin", *form.format(own).split()]
    with pytest.raises(SystemExit) as told:
        read_again(words, MissingConfigException("", "scheduler/cosin", ["cosine"]), "train")
    assert str(told.value) == "scheduler=cosin: no such scheduler; did you mean cosine?"
    keys = ["data=csv", "model=faster_rcnn_fpn", "model.network.channels=64", "optimizer.lrr=1"]
    with pytest.raises(SystemExit) as told:
        read_again([*keys, *form.format(own).split()], HydraException("Could not override"), "train")
    assert str(told.value).startswith("optimizer.lrr: no such key; did you mean optimizer.lr ")
    assert "\n" not in str(told.value), "the others are right"


def test_files_of_ones_own_ask_for_their_folder(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own.parent)
    with pytest.raises(SystemExit, match=r"^data=csv: .* --config-dir conf$"):
        read_again(["data=csv"], MissingConfigException("", "data/csv", []), "train")
    monkeypatch.chdir(CONF.parent)
    for value in ("_common", "a**b"):  # of which the first is a part of others, and the second no name at all
        with pytest.raises(SystemExit, match=r": no such data; "):
            read_again([f"data={value}"], MissingConfigException("", f"data/{value}", []), "train")
