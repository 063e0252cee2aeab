"""Every command says of a checkpoint of 0.1 that its boxes may be one pixel off."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

import detection.predict
from detection.checkpoints.init_from import take_weights
from detection.checkpoints.loading import load_task
from detection.checkpoints.notes import notes
from detection.checkpoints.resume import changes_since, keep_anchors, read_origin
from detection.cli.compose import CONF, checked_config, inference_config, model_config
from detection.cli.hydra_versions import instantiate
from detection.settings import Export, Predict

# The modules: their names are those of the functions for programs.
EVALUATE, EXPORT = import_module("detection.evaluate"), import_module("detection.export")
OFF = "with edges one pixel off"


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return checked_config(
            compose("train", overrides=["experiment=quickstart", "run_dir=/nowhere", "name=a"])
        )


@pytest.fixture(scope="module")
def checkpoints(config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same detector as 0.1 wrote it, without a format, and as it is written now."""
    folder = tmp_path_factory.mktemp("checkpoints")
    model = model_config(config, ["circle", "star"], None)
    task = instantiate(model)
    task.describe(model=model, data=inference_config(config["data"]))
    described = dict(task.hparams)
    progress = {"started": 1, "processed": 1}
    loop = {"epoch_progress": {"current": progress}, "epoch_loop.batch_progress": {"is_last_batch": True}}
    training = {"optimizer_states": [{}], "loops": {"fit_loop": loop}, "global_step": 1}
    weights = {"state_dict": task.state_dict(), **training}
    paths = {"now": folder / "now.ckpt", "old": folder / "old.ckpt"}
    torch.save({**weights, "hyper_parameters": dict(described)}, paths["now"])
    del described["format"]
    torch.save({**weights, "hyper_parameters": described}, paths["old"])
    return paths


def test_the_line_is_plain_and_names_the_way() -> None:
    old = {"format": 1, "weights": ["float32"]}
    line = notes(old, "my.ckpt")
    assert line.startswith("Note: my.ckpt is of version 0.1")
    assert OFF in line
    assert "init_from=my.ckpt" in line
    assert "\n" not in line
    assert "init_from" not in notes(old, "my.ckpt", resumes=True)
    assert notes({**old, "format": 2}, "my.ckpt") == ""
    both = notes({**old, "weights": ["bfloat16", "float32"]}, "my.ckpt").splitlines()
    assert both[0] == line
    assert both[1].startswith("Note: my.ckpt holds weights in bfloat16, which are read into float32")


@pytest.mark.parametrize("age", ["old", "now"])
def test_a_training_that_goes_on_from_it_says_so(
    checkpoints: dict[str, Path], config: dict[str, Any], age: str
) -> None:
    path = checkpoints[age]
    task = load_task(path)
    model = task.hparams["model"]
    lines = take_weights(task, model, load_task(path), str(path))
    assert (OFF in lines) == (age == "old")
    resumed = {**config, "ckpt": str(path), "run_dir": str(path.parent)}
    origin = read_origin(resumed)
    assert origin is not None
    lines = changes_since(origin, resumed, keep_anchors(model, origin)[0], training={})
    assert (OFF in lines) == (age == "old")


class _FarEnoughError(BaseException):
    """What comes after the line is not wanted."""


def _stop(*args: object, **kwargs: object) -> None:
    raise _FarEnoughError


@pytest.mark.parametrize("age", ["old", "now"])
@pytest.mark.parametrize("command", ["evaluate", "export", "predict"])
def test_commands_say_so(
    checkpoints: dict[str, Path],
    age: str,
    command: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    ckpt = str(checkpoints[age])
    if command == "evaluate":
        asked: Any = {"ckpt": ckpt, "run_dir": str(tmp_path), "data": {}, "trainer": {"precision": 32}}
        monkeypatch.setattr(EVALUATE, "checked_config", lambda cfg, _: cfg)
        monkeypatch.setattr(EVALUATE, "_refuse_mistakes", lambda *_: None)
        monkeypatch.setattr(EVALUATE, "inputs_of", _stop)
        with pytest.raises(_FarEnoughError):
            EVALUATE.evaluate(asked)
    elif command == "export":
        monkeypatch.setattr(EXPORT, "_scenes", _stop)
        with pytest.raises(_FarEnoughError):
            EXPORT.export(Export(ckpt, output=str(tmp_path / "a.onnx")), None)
    else:
        detection.predict._job(Predict(ckpt, "a.jpg", str(tmp_path), device="cpu"))
    assert capsys.readouterr().out.count(OFF) == (age == "old")
