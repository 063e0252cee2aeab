"""What a run is told when it goes on with other settings, and what is refused."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from detection.checkpoints.config_before import digest_of_settings
from detection.checkpoints.init_from import first_weights, make_task
from detection.checkpoints.notes import evaluation_precision
from detection.checkpoints.resume import changes_since, keep_anchors, read_origin
from detection.checkpoints.runs import find_weights
from detection.cli.compose import checked_config, describe_lr, inference_config, model_config
from detection.registry import build
from detection.tasks.base import DetectionTask
from detection.train import train

CONF = Path(__file__).parents[2] / "conf"
TRAINING = {
    "precision": "32-true", "accumulate_grad_batches": 1, "max_epochs": 3, "max_steps": None,
    "images_per_step": 16, "train_images": 32, "val_images": 8,
}  # fmt: skip


@cache
def settings(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return checked_config(
            compose("train", overrides=["experiment=quickstart", "name=test", "run_dir=/nowhere", *overrides])
        )


@cache
def weights() -> dict[str, Any]:
    task: DetectionTask = build(model_config(settings(), ["cat"], None))
    return task.state_dict()


def written(folder: Path, epochs: int = 3, name: str = "last", **changes: Any) -> Path:
    """A checkpoint of so many epochs of four steps, of the quickstart, in a run's folder."""
    progress = {"current": {"ready": epochs, "started": epochs, "processed": epochs, "completed": epochs - 1}}
    batches = {"current": dict.fromkeys(("ready", "started", "processed", "completed"), 4)}
    fit_loop = {"epoch_progress": progress, "epoch_loop.batch_progress": {**batches, "is_last_batch": True}}
    described = {
        "model": model_config(settings(), ["cat"], None),
        "data": inference_config(settings()["data"]),
        "training": TRAINING,
    }
    checkpoint = {
        "global_step": 4 * epochs, "hyper_parameters": described, "loops": {"fit_loop": fit_loop},
        "optimizer_states": [{}], "state_dict": weights(), **changes,
    }  # fmt: skip
    path = folder / "checkpoints" / f"{name}.ckpt"
    path.parent.mkdir(exist_ok=True)
    torch.save({key: value for key, value in checkpoint.items() if value is not None}, path)
    return path


def told(path: Path, *overrides: str, training: Mapping[str, Any] = TRAINING) -> str:
    config = {**settings("trainer.max_epochs=6", *overrides), "ckpt": str(path)}
    origin = read_origin(config)
    assert origin is not None
    assert origin.path == path
    model, _ = keep_anchors(model_config(config, ["cat"], 16), origin)
    return changes_since(origin, config, model, training)


@pytest.fixture(params=["intact", "missing", "garbage", "a list", "binary"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A run's checkpoint, whose config.yaml may be broken."""
    content = {"garbage": b"a: [1", "a list": b"- 1\n- 2\n", "binary": b"\xff\xfe\x00\x9f"}
    if request.param == "intact":
        OmegaConf.save(OmegaConf.create(settings("trainer.max_epochs=3")), tmp_path / "config.yaml")
    elif request.param != "missing":
        (tmp_path / "config.yaml").write_bytes(content[request.param])
    return written(tmp_path)


def test_changes_are_known_from_the_checkpoint_alone(run: Path) -> None:
    now = {**TRAINING, "max_epochs": 6, "images_per_step": 8, "train_images": 40, "precision": "bf16-mixed"}
    lines = told(run, "optimizer.lr=0.0005", "scheduler.warmup_steps=7", training=now)
    for change in (
        "optimizer.lr: 0.003 -> 0.0005", "scheduler.warmup_steps: 100 -> 7", "trainer.max_epochs: 3 -> 6",
        "images per step: 16 -> 8", "training images: 32 -> 40", "trainer.precision: 32-true -> bf16-mixed",
    ):  # fmt: skip
        assert change in lines
    assert lines.count("optimizer.lr: ") == 1


def test_a_rate_that_follows_the_batch_is_told_as_it_is_used(tmp_path: Path) -> None:
    lines = told(written(tmp_path), "optimizer.scale_lr=true")
    assert "learning rate: 0.003 -> 0.0015" in lines
    assert "optimizer.lr" not in lines, "that is what is typed: 0.003"
    config = settings("optimizer.scale_lr=true")
    assert describe_lr(config, 16) == ("AdamW at lr 0.0015 = 0.003 x 16 / 32 images (optimizer.scale_lr)")
    assert describe_lr(settings(), 16) == "AdamW at lr 0.003"


def test_callbacks_and_optimizers_are_told_in_words(tmp_path: Path) -> None:
    OmegaConf.save(OmegaConf.create(settings("trainer.max_epochs=6")), tmp_path / "config.yaml")
    lines = told(written(tmp_path), "callbacks=[default,ema]", "optimizer=sgd", "optimizer.lr=0.003",
                 training={**TRAINING, "max_epochs": 3})  # fmt: skip
    changed = "callbacks.ema: off -> on; optimizer: AdamW -> SGD; optimizer.weight_decay: 0.05 -> 0.0005"
    assert f"Changed since: {changed}. This is used from now on." in lines
    assert "To have it as it was" not in lines, "a decay alone would make neither the old run nor the new one"


@pytest.mark.parametrize(
    ("word", "follows"),
    [("scheduler=step", "scheduler."), ("optimizer=sgd", "optimizer."), ("seed=7", "data.seed")],
)
def test_what_follows_from_what_was_typed_has_no_advice(
    word: str, follows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    OmegaConf.save(OmegaConf.create(settings("data.num_workers=0")), tmp_path / "config.yaml")
    monkeypatch.setattr("sys.argv", ["train.py", "ckpt=run", word])
    changed, _, advice = told(written(tmp_path), word, "data.num_workers=3").partition(
        " To have it as it was"
    )
    assert follows in changed
    assert follows not in advice
    assert "data.num_workers=0" in advice, "which nobody typed"


def test_a_checkpoint_is_compared_with_its_own_settings(tmp_path: Path) -> None:
    """Not with those of the part of its run that came last."""
    own, later = settings("data.num_workers=0"), settings("data.num_workers=3", "data.batch_size=2")
    OmegaConf.save(OmegaConf.create(later), tmp_path / "config.yaml")
    described = {
        "model": model_config(own, ["cat"], None),
        "data": inference_config(own["data"]),
        "training": TRAINING | {"settings": digest_of_settings(own)},
    }
    path = written(tmp_path, name="best", hyper_parameters=described)
    now = TRAINING | {"settings": digest_of_settings(later), "max_epochs": 6}
    lines = told(path, "data.num_workers=0", training=now)
    assert "Changed since: trainer.max_epochs: 3 -> 6. This" in lines
    assert "from now on. To have it as it was, add: trainer.max_epochs=3" in lines
    OmegaConf.save(OmegaConf.create(own), tmp_path / "config.yaml")
    assert "data.num_workers: 0 -> 1;" in told(path, "data.num_workers=1", training=now)


def test_without_changes_nothing_is_told(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert "Changed" not in told(path)


def test_a_run_that_was_moved_has_not_changed(tmp_path: Path) -> None:
    before = settings("trainer.max_epochs=6", "run_dir=/before")
    assert "/before/" in str(before)  # folders of callbacks and loggers
    OmegaConf.save(OmegaConf.create(before), tmp_path / "config.yaml")
    told_now = told(written(tmp_path), training={**TRAINING, "max_epochs": 3})
    assert "/before" not in told_now
    assert "Changed" not in told_now


def test_the_words_of_the_command_line_are_no_setting(tmp_path: Path) -> None:
    before = settings("trainer.max_epochs=6", "+logger.wandb.overrides=[seed]", "+logger.wandb.sweep_dir=a")
    OmegaConf.save(OmegaConf.create(before), tmp_path / "config.yaml")
    same = {**TRAINING, "max_epochs": 3}
    now = ("+logger.wandb.overrides=[seed,ckpt]", "+logger.wandb.sweep_dir=b")
    assert "Changed" not in told(written(tmp_path), *now, training=same)


def test_a_checkpoint_of_0_1_is_not_compared_where_it_says_nothing(tmp_path: Path) -> None:
    described = {
        "model": model_config(settings(), ["cat"], None),
        "data": inference_config(settings()["data"]),
    }
    assert "Changed" not in told(written(tmp_path, hyper_parameters=described))


def test_what_is_frozen_may_change(tmp_path: Path) -> None:
    told(written(tmp_path), "model.backbone.frozen_blocks=2", "model.backbone.freeze_batchnorm=true")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.max_epochs=2"], r"has 3 epochs of training, and trainer\.max_epochs=2 asks for fewer"),
        (["+trainer.max_steps=5"], r"has 12 steps of training, and trainer\.max_steps=5 asks for fewer"),
        (["find=lr"], "leave ckpt out; .* init_from="),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_way(
    tmp_path: Path, overrides: list[str], message: str
) -> None:
    path = written(tmp_path)
    with pytest.raises(ValueError, match=message):
        told(path, *overrides)


def test_another_network_is_told_before_data_and_weights_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "set").mkdir()  # without images, and without the words that chose the model
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "weights"))
    words = [f"run_dir={tmp_path}", "name=test", "data=auto", f"data.root={tmp_path}/set", "trainer=cpu"]
    words += [f"ckpt={written(tmp_path)}", "trainer.max_epochs=5"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", words)
    with pytest.raises(SystemExit, match=r"last.ckpt holds another network than the one configured \(backb"):
        train(cfg)
    assert not (tmp_path / "weights").exists()


def test_first_weights_are_not_looked_for() -> None:
    config = {
        **settings("model/backbone=mobilenet_v2", "model.backbone.weights=/nowhere.pth", "data.size=300")
    }
    with pytest.raises(ValueError, match="no weights file"):
        first_weights(config)
    config |= {"ckpt": "last.ckpt"}
    model = model_config(config, ["cat"], None)
    assert first_weights(config) is None
    task, told_of_weights = make_task(model, config)
    assert isinstance(task, DetectionTask)
    assert told_of_weights == ""
    assert model["backbone"]["weights"] == "/nowhere.pth", "which the description of the run still says"
    with pytest.raises(ValueError, match="give init_from too"):
        make_task(model, config | {"init_reuse": {"cat": "dog"}})


@pytest.mark.parametrize("part", ["optimizer_states", "loops"])
def test_weights_alone_cannot_go_on(tmp_path: Path, part: str) -> None:
    lacking: dict[str, Any] = {part: None}
    path = written(tmp_path, **lacking)
    with pytest.raises(ValueError, match=f"holds weights, but .* init_from={path}"):
        told(path)


def test_nothing_left_to_train_is_said(tmp_path: Path) -> None:
    assert "All 3 epochs are done: nothing is left to train" in told(
        written(tmp_path), "trainer.max_epochs=3"
    )


@pytest.mark.parametrize("mistake", [{"processed": "x"}, {"completed": 10**12}])
def test_odd_counts_of_epochs_are_refused(tmp_path: Path, mistake: dict[str, Any]) -> None:
    path = written(tmp_path)
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"].update(mistake)
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match="does not say how far its training has come"):
        told(path)


@pytest.mark.parametrize(
    ("name", "of_the_first", "of_a_later"),
    [
        ("SLURM_RESTART_COUNT", "0", "1"),
        ("TORCHELASTIC_RESTART_COUNT", "0", "1"),
        ("RUN_STARTED", "2026-11-29_12-00-00", "run"),  # the folder that they have agreed on
    ],
)
def test_a_job_that_is_started_again_resumes_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, of_the_first: str, of_a_later: str
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    config = {"ckpt": None, "find": None, "run_dir": str(folder)}
    monkeypatch.setenv(name, of_a_later)
    assert read_origin(config) is None, "it had not come to a step"
    path = written(folder)
    origin = read_origin(config)
    assert origin is not None
    assert origin.path == path
    monkeypatch.setenv(name, of_the_first)
    assert read_origin(config) is None


def test_the_best_of_another_run_is_refused(tmp_path: Path) -> None:
    def scored(figure: float, **state: Any) -> dict[str, Any]:
        return {"watching": {"best_k_models": {"/once/checkpoints/best.ckpt": torch.tensor(figure)}, **state}}

    there = f"callbacks.best.dirpath={tmp_path / 'checkpoints'}"
    path = written(tmp_path, callbacks=scored(0.37))
    assert "Resuming" in told(path, there), "where there is no best, it begins anew"
    best = written(tmp_path, name="best", epochs=2, callbacks=scored(0.37))
    assert "Resuming" in told(path, there)
    assert "Resuming" in told(best, there)
    written(tmp_path, callbacks=scored(0.37, best_metrics={"val/loss": 1.5}))
    written(tmp_path, name="best", callbacks=scored(0.04, metrics_before={"val/loss": 1.5}))
    assert "Resuming" in told(path, there), "a kill has come before the last one was written"
    written(tmp_path, name="best", callbacks=scored(0.04, metrics_before={"val/loss": 1.4}))
    with pytest.raises(
        ValueError, match=f"^{best} is not the one that {path} knows as the best .*, with 0.37"
    ):
        told(path, there)


def test_epochs_after_an_earlier_checkpoint_are_given_up_aloud(tmp_path: Path) -> None:
    best = written(tmp_path, epochs=2, name="best")
    assert "trained again" not in told(best)
    written(tmp_path, epochs=5)
    assert "The 12 steps that" in told(best)
    (tmp_path / "checkpoints/last.ckpt").write_bytes(b"broken")
    assert "trained again" not in told(best)


def test_init_from_a_run_is_its_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "runs/test/one"
    folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for source in (str(folder), "last", "best"):
        with pytest.raises(FileNotFoundError, match=f"init_from={source}"):
            find_weights(source, "test")
    last = written(folder)
    assert find_weights(str(folder), "test") == str(last)
    best = written(folder, name="best")
    assert find_weights(str(folder), "test") == find_weights(str(folder / "checkpoints"), "test") == str(best)
    assert find_weights("last", "test") == str(last.relative_to(tmp_path))
    assert find_weights("torchvision/ssd300_vgg16", "test") == "torchvision/ssd300_vgg16"


@pytest.mark.parametrize(
    ("trained", "trainer", "given", "precision", "line"),
    [
        ("bf16-mixed", "32-true", (), "bf16-mixed", "as it was trained"),
        ("bf16-mixed", "32-true", ("trainer.precision=32-true",), "32-true", "Trained in bf16-mixed, eval"),
        ("32-true", "bf16-mixed", ("trainer.precision=bf16",), "bf16-mixed", "Trained in 32-true, eval"),
        (32, "32-true", (), "32-true", ""),
        ("bf16", "bf16-mixed", ("trainer.precision=bf16-mixed",), "bf16-mixed", ""),
        ("16-mixed", "32-true", (), "32-true", "which a CPU cannot do"),
        (None, "bf16-mixed", ("trainer.precision=bf16-mixed",), "bf16-mixed", ""),
    ],
)
def test_evaluated_as_it_was_trained(
    trained: str | int | None, trainer: str, given: tuple[str, ...], precision: str, line: str
) -> None:
    described = {} if trained is None else {"training": {"precision": trained}}
    config = {"precision": trainer, "accelerator": "cpu"}
    used, said = evaluation_precision(config, described, ["data=coco", *given])
    assert used == precision
    assert line in said
    assert bool(line) == bool(said)


@pytest.mark.parametrize("part", ["state_dict", "current_model_state"])
def test_weights_of_another_kind_do_not_go_on(tmp_path: Path, part: str) -> None:
    key = next(iter(weights()))
    spoilt: dict[str, Any] = {part: {**weights(), key: weights()[key].to(torch.int8)}}
    with pytest.raises(ValueError, match=rf"are of another network: {key}: \S+ \S+ \S+ \S+ of int8"):
        told(written(tmp_path, **spoilt))
    half: dict[str, Any] = {part: {key: value.half() for key, value in weights().items()}}
    assert ("holds weights in float16" in told(written(tmp_path, **half))) == (part == "state_dict")


def test_the_best_is_named_where_the_last_is_damaged(tmp_path: Path) -> None:
    config = {"ckpt": str(tmp_path / "last.ckpt"), "run_dir": str(tmp_path), "find": None}
    (tmp_path / "last.ckpt").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"last\.ckpt cannot be read as a checkpoint: [^;]*$"):
        read_origin(config)
    (tmp_path / "best.ckpt").touch()
    with pytest.raises(ValueError, match=rf"beside it, which resumes with ckpt={tmp_path}/best.ckpt$"):
        read_origin(config)
    with pytest.raises(ValueError, match=r"best\.ckpt cannot be read as a checkpoint: [^;]*$"):
        read_origin({**config, "ckpt": str(tmp_path / "best.ckpt")})
