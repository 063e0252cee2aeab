"""The words of a command line, before Hydra reads them."""

from pathlib import Path

import pytest

from detection.cli.words import plain_words, tell_readings
from tests.every import for_every

# The command, the words that were typed, and those that Hydra reads.
READ = [
    ("train", ["data.root", "=", "/a"], ["data.root=/a"]),
    ("train", ["data.root=", "/a"], ["data.root=/a"]),
    ("train", ["data.root", "=/a"], ["data.root=/a"]),
    ("train", ["optimizer.lr = 0.1"], ["optimizer.lr=0.1"]),
    ("train", ["data.classes=[traffic", "light,", "dog]"], ["data.classes=[traffic light, dog]"]),
    ("predict", ["source=odd[.jpg", "ckpt=a.ckpt"], ["source=odd[.jpg", "ckpt=a.ckpt"]),
    ("train", ["--optimizer.lr=0.1"], ["optimizer.lr=0.1"]),
    ("train", ["\u2013optimizer.lr=0.1"], ["optimizer.lr=0.1"]),
    ("train", ["--batch-size", "8", "--amp", "-b", "4"], ["batch_size=8", "amp=true", "b=4"]),
    ("train", ["--lr-steps", "16", "22", "seed=1"], ["lr_steps=[16,22]", "seed=1"]),
    ("train", ["trainer.max_epochs=\u201c10\u201d"], ["trainer.max_epochs=10"]),
    ("train", ["model.backbone.weights=None"], ["model.backbone.weights=null"]),
    ("train", ["data.size=(300,500)"], ["data.size=[300,500]"]),
    ("train", ["model.backbone=resnet50"], ["model/backbone=resnet50"]),
    ("train", ["model.backbone=resnet5"], ["model/backbone=resnet5"]),  # which Hydra refuses, not Lightning
    ("train", ["trainer.precision=fp16"], ["trainer.precision=16-mixed"]),
    ("train", ["callbacks=ema"], ["callbacks=[default,ema]"]),
    ("train", ["callbacks=[ema, early_stopping]"], ["callbacks=[default,ema,early_stopping]"]),
    ("train", ["callbacks=['ema']", "logger=null"], ["callbacks=[default,ema]", "logger=[]"]),
    ("train", ["seed=1", "-m", "optimizer.lr=1,2"], ["seed=1", "optimizer.lr=1,2", "-m"]),
    ("train", ["--cfg", "job", "seed=1", "--resolve"], ["seed=1", "--cfg", "job", "--resolve"]),
    ("train", ["--info", "seed=1"], ["seed=1", "--info"]),
    ("predict", ["best.ckpt", "photo.jpg"], ["ckpt=best.ckpt", "source=photo.jpg"]),
    ("predict", ["ckpt=best.ckpt", "0", "device=1"], ["ckpt=best.ckpt", "source=0", "device=cuda:1"]),
    ("evaluate", ["best.ckpt"], ["ckpt=best.ckpt"]),
    ("export", ["torchvision/ssd300_vgg16"], ["ckpt=torchvision/ssd300_vgg16"]),
    ("train", ["seed=1", "nonsense", "-h"], ["--help"]),
    ("predict", ["help"], ["--help"]),
]


@for_every(READ)
def test_words_of_another_form(case: tuple[str, list[str], list[str]]) -> None:
    verb, words, expected = case
    assert plain_words(words, verb) == expected


@for_every(
    [
        [
            "data.root=my/set",
            "+trainer.limit_test_batches=10",
            "~callbacks.best",
            "name=a b",
            "classes=[a,b]",
        ],
        ["model/backbone=resnet50", "model.backbone.weights=null", "model.backbone={a:1}", "source=--a=b"],
        ["optimizer.lr=choice(1,2)", "data.size=[300, 500]", "data.root=''"],
        [
            "callbacks=[default,ema]",
            "callbacks=[mine,ema]",
            "callbacks=ema,wise_ft",
            "callbacks=[]",
            "logger=wandb",
        ],
    ]
)
def test_words_of_hydras_form_stay(words: list[str]) -> None:
    assert plain_words(words, "train") == words


@for_every(
    [
        ("train", ["lr:0.1"], "lr=0.1"),
        ("train", ["quickstart"], "experiment=quickstart"),
        ("train", ["debug"], "debug= and one of fast, overfit, profile"),
        ("train", ["name=my", "run"], "'name=my run'"),
        ("train", ["SOLVER.BASE_LR", "0.1"], "SOLVER.BASE_LR=0.1"),
        ("train", ["best.ckpt"], "settings are KEY=VALUE"),
        ("train", ["tests"], "data=auto data.root=tests"),
        ("predict", ["a.ckpt", "a.jpg", "b.jpg"], "'source=photos/*.jpg'"),
        ("convert", ["voc"], "from=voc to=coco"),
        ("train", ["--cfg", "configs/ssd.py"], "--cfg job"),
        ("train", ["--config-name"], "it needs a value"),
        ("train", ["init_from=", "seed=1"], "init_from=: nothing stands behind the equals sign"),
        ("export", ["ckpt= "], "give a value, or leave ckpt out"),
    ]
)
def test_words_without_a_reading(case: tuple[str, list[str], str]) -> None:
    verb, words, message = case
    with pytest.raises(SystemExit) as stop:
        plain_words(words, verb)
    told = str(stop.value)
    assert message in told
    assert "\n" not in told


def test_a_path_with_spaces_is_told_to_be_quoted(tmp_path: Path) -> None:
    (tmp_path / "my photos").mkdir()
    with pytest.raises(SystemExit, match="is put in quotes"):
        plain_words([f"source={tmp_path}/my", "photos"], "predict")


def test_a_reading_is_told_once_with_what_was_typed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detection.cli.words._readings", {})  # what other tests have left
    plain_words(["--optimizer.lr", "0.1", "model.backbone.weights", "=", "None", "seed=1"], "train")
    assert capsys.readouterr().err == ""  # a refusal may follow
    tell_readings()
    tell_readings()
    assert capsys.readouterr().err.splitlines() == [
        "model.backbone.weights = None is read as model.backbone.weights=null",
        "--optimizer.lr 0.1 is read as optimizer.lr=0.1",
    ]


def test_the_version_is_the_projects(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        plain_words(["--version"], "train")
    assert capsys.readouterr().out.startswith("lightning-detection 0.")


@pytest.mark.parametrize(
    ("words", "sweeps"),
    [
        (["sweep=lr_grid"], True),
        (["sweep=optuna", "--cfg", "job"], True),
        (["sweep=null"], False),
        (["sweep=lr_grid", "hydra.mode=RUN"], False),  # one of its runs
    ],
)
def test_a_file_of_a_sweep_makes_several_runs(words: list[str], sweeps: bool) -> None:
    assert ("hydra.mode=MULTIRUN" in plain_words(words, "train")) == sweeps
