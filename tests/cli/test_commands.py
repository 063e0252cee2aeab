"""The commands as functions: in one process, more than once, with what they wrote as the answer."""

import inspect
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import detection
from detection.cli.commands import Run
from detection.data.shapes import write_shapes
from detection.settings import Evaluate, Export, Settings, Share, Train

QUICK = ["trainer.max_epochs=1", "data.size=96", "data.num_train=8", "data.num_val=2", "data.num_test=4"]


def learn(place: Path, *overrides: str) -> Run:
    return detection.train(
        "quickstart",
        trainer="cpu",
        backbone="tiny",
        callbacks=["default"],
        logger=["csv"],
        run_dir=place / "run",
        overrides=[*QUICK, f"data.root={place / 'shapes'}", *overrides],
    )


@pytest.mark.parametrize("first", ["detection.train", "detection.cli.commands", "detection.check"])
def test_the_functions_stay_whatever_is_imported_first(first: str) -> None:
    code = (
        f"import {first}, detection, detection.train, detection.check, detection.evaluate\n"
        "from detection.train import main\n"
        "from detection import train, check\n"
        "print(*(f.__module__ for f in (train, check, detection.train, detection.evaluate)))"
    )
    told = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert set(told.split()) == {"detection.cli.commands"}


@pytest.mark.parametrize(
    ("function", "settings", "others"),
    [
        # A program looks for settings and runs sweeps in loops of its own.
        (detection.train, Train, {"find", "optimized_metric", "optimized_direction"}),
        (detection.evaluate, Evaluate, {"name", "seed"}),
        (detection.export, Export, {"seed"}),
        (detection.share, Share, set()),
    ],
)
def test_every_key_is_a_typed_argument(function: Any, settings: type[Settings], others: set[str]) -> None:
    parameters = inspect.signature(function).parameters
    assert {field.name for field in fields(settings)} - others <= parameters.keys()
    assert all(parameter.annotation is not inspect.Parameter.empty for parameter in parameters.values())


def test_a_training_returns_its_folder_and_metrics_and_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = learn(tmp_path)
    assert run.folder == tmp_path / "run"
    assert 0 <= run.metrics["test/map"] <= 1
    assert detection.load(run.best).class_names == detection.load(run.folder).class_names
    assert detection.load(run.folder).predict(np.zeros((40, 40, 3), np.uint8)).image.shape == (40, 40, 3)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_a_training_ends_with_the_script_that_started_it(tmp_path: Path) -> None:
    code = f"""
import detection
from tests.cli.test_commands import learn
from pathlib import Path
learn(Path({str(tmp_path)!r}), "trainer.max_epochs=10000", "data.num_workers=0")
"""
    script = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    log = tmp_path / "run/metrics.csv"
    wait_until(log.exists)
    (training,) = Path(f"/proc/{script.pid}/task/{script.pid}/children").read_text().split()
    script.kill()
    script.wait()
    wait_until(lambda: not Path(f"/proc/{training}/exe").exists())
    assert (tmp_path / "run/checkpoints/last.ckpt").exists(), "SIGTERM, at a step"


def wait_until(is_so: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_mistake_raises_what_the_command_says(tmp_path: Path) -> None:
    with pytest.raises(detection.CommandError, match=r"^data\.batchsize: no such key; did you mean"):
        learn(tmp_path, "data.batchsize=3")
    with pytest.raises(detection.CommandError, match="no such checkpoint"):
        detection.evaluate(tmp_path / "none.ckpt", run_dir=tmp_path / "evaluated")
    with pytest.raises(TypeError, match=r"give a list, such as \['seed=1'\]"):
        detection.train("quickstart", overrides="seed=1", run_dir=tmp_path / "text")
    number: Any = 5
    for told, call in (
        ("run_dir=5", lambda: detection.train("quickstart", run_dir=number)),
        ("ckpt=5", lambda: detection.evaluate(number)),
        ("overrides=5", lambda: detection.export("best.ckpt", overrides=number)),
        ("output=5", lambda: detection.share("best.ckpt", number)),
        ("root=5", lambda: detection.check(number)),
    ):
        with pytest.raises(TypeError, match=f"^{told}: give a "):
            call()


@pytest.mark.slow
def test_a_detector_is_shared(tmp_path: Path, write_checkpoint: Any) -> None:
    ckpt = write_checkpoint(tmp_path, "quickstart", ["circle", "square", "star"])
    folder = detection.share(ckpt, tmp_path / "shared", license="apache-2.0")
    assert folder == tmp_path / "shared"
    assert detection.load(folder).class_names == ["circle", "square", "star"]
    with pytest.raises(detection.CommandError, match="exists already: choose another folder"):
        detection.share(ckpt, folder)


@pytest.mark.slow
def test_a_set_is_checked_and_mended(tmp_path: Path) -> None:
    write_shapes(tmp_path / "shapes", 4, 2, 2)
    (root,) = {path.parent for path in (tmp_path / "shapes").rglob("Annotations")}
    good = detection.check(root, run_dir=tmp_path / "good")
    assert good.good
    assert good.report
    (broken := next((root / "Annotations").glob("*.xml"))).write_text("<annotation>")
    bad = detection.check(root, run_dir=tmp_path / "bad", fix_to=tmp_path / "fixed")
    assert not bad.good
    assert broken.name in str(bad.report)
    assert (tmp_path / "fixed").is_dir()
    with pytest.raises(detection.CommandError, match="nowhere"):
        detection.check(tmp_path / "nowhere", run_dir=tmp_path / "good")


@pytest.mark.slow
def test_a_training_goes_on_is_evaluated_and_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = learn(tmp_path)
    longer = [word for word in QUICK if "max_epochs" not in word] + ["trainer.max_epochs=2"]
    more = detection.train(
        "quickstart",
        trainer="cpu",
        ckpt=run.folder,
        overrides=[*longer, f"data.root={tmp_path / 'shapes'}"],
        verbose=True,
    )
    assert more.folder == run.folder
    assert "Resuming from" in capsys.readouterr().out
    data = [*QUICK[2:], f"data.root={tmp_path / 'shapes'}"]
    tested = detection.evaluate(
        run.best, data="shapes", num_images=1, overrides=data, run_dir=tmp_path / "tested"
    )
    assert tested.report.is_file()
    assert tested.metrics
    both = detection.evaluate(
        [run.best, run.folder / "checkpoints/last.ckpt"],
        data="shapes",
        num_images=1,
        overrides=data,
        run_dir=tmp_path / "both",
    )
    assert both.report.name == "comparison.html"
    assert both.metrics["a"] | {"command": ""} == dict(tested.metrics) | {"command": ""}
    assert both.metrics["b"].keys() == tested.metrics.keys()
    written = detection.export(run.best, num_images=1)
    assert written == run.folder / "checkpoints/best.onnx"
    assert written.is_file()
    with pytest.raises(detection.CommandError, match="overwrite=true replaces it"):
        detection.export(run.best)
