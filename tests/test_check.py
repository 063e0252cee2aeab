"""``python -m detection.check`` as its user runs it."""

import html
import json
import os
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import cv2
import pytest
from hydra import compose, initialize_config_dir

from detection.check import _command_to_train
from detection.cli.hydra_versions import instantiate
from detection.data.shapes import SHAPE_CLASSES, write_shapes
from tests.warm_python import warm_python

CHECK = import_module("detection.check")

ROOT = Path(__file__).parent.parent


def check(run: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    return run_command("-m", "detection.check", f"hydra.run.dir={run}", *overrides)


def run_command(*words: str) -> subprocess.CompletedProcess[str]:
    command = [*warm_python(), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False, env=environment
    )


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    return write_shapes(tmp_path / "data", 12, 4, 0, size=128) / "Shapes"


def test_mistakes_end_with_exit_code_1_a_report_and_a_corrected_copy(shapes: Path, tmp_path: Path) -> None:
    broken = shapes / "JPEGImages" / "train_00003.jpg"
    broken.write_bytes(broken.read_bytes()[:3000])
    run = tmp_path / "run"
    data = ("data=voc_custom", f"data.root={shapes}")
    small = ("model/backbone=tiny", "data.size=128")
    own_order = f"data.classes=[{','.join(reversed(SHAPE_CLASSES))}]"
    result = check(run, *data, *small, own_order, "fix=true", f"output={tmp_path}/copy")
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert "truncated-image" in result.stdout
    assert "JPEGImages/train_00003.jpg breaks off" in result.stdout
    assert "1 error," in result.stdout
    assert "corrected copy with 1 change" in result.stdout
    train = f"Train on it: python train.py {' '.join(small)} data=voc_custom data.root={tmp_path}/copy"
    assert f"{train} '{own_order}'" in result.stdout, "labels keep their numbers"
    report = json.loads((run / "report.json").read_text())
    (error,) = [item for item in report["findings"] if item["severity"] == "error"]
    assert error["kind"] == "truncated-image"
    assert error["image"] == "Shapes/train_00003"
    assert report["summary"]["error"] == 1
    assert report["images"] == {"train": 12, "val": 4}
    assert report["changes"] == (tmp_path / "copy" / "changes.txt").read_text().splitlines()
    anchors = report["anchors"]
    assert anchors["objects"] == sum(sum(counts.values()) for counts in report["objects"].values())
    assert 0 <= anchors["iou_below_0.5"] <= anchors["objects"]
    picture = cv2.imread(str(run / "report.png"))
    assert picture is not None
    assert picture.std() > 5, "report.png is blank"
    page = (run / "report.html").read_text()
    assert "truncated-image" in page
    assert f"{run}/report.html" in result.stdout

    copy = ("data=voc_custom", f"data.root={tmp_path}/copy", "model=faster_rcnn", "fail_on=warning")
    again = check(tmp_path / "again", *copy)
    assert again.returncode == 1, "the small validation set lacks classes"
    assert "class-missing-in-split" in again.stdout
    assert "0 errors" in again.stdout
    train = f"Train on it: python train.py data=voc_custom data.root={tmp_path}/copy model=faster_rcnn"
    assert again.stdout.splitlines()[-1] == train
    anchors = json.loads((tmp_path / "again" / "report.json").read_text())["anchors"]
    assert anchors["iou_below_0.3"] <= anchors["iou_below_0.7"]


@pytest.mark.slow
def test_the_last_line_is_the_command_that_mends_what_can_be_mended(shapes: Path, tmp_path: Path) -> None:
    root = shapes.rename(tmp_path / "my (own) set")
    (root / "JPEGImages" / "train_00003.jpg").write_bytes(b"")
    small = ("model/backbone=tiny", "data.size=128")
    result = check(tmp_path / "run", "data=voc_custom", f"data.root={root}", *small)
    line = result.stdout.splitlines()[-1]
    words = shlex.split(line.removeprefix("Write a copy without these errors: "))
    assert words[:3] == ["python", "-m", "detection.check"]
    assert words[-1] == f"output={root}_fixed"
    assert f"'data.root={root}'" in line
    page = html.unescape((tmp_path / "run" / "report.html").read_text())
    assert line in page.replace("<code>", "").replace("</code>", "")
    again = check(tmp_path / "again", *words[3:])
    assert f"{root}_fixed: a corrected copy with 1 change" in again.stdout
    train = shlex.split(again.stdout.splitlines()[-1].removeprefix("Train on it: python "))
    epoch = ("trainer=cpu", "trainer.max_epochs=1", "data.batch_size=4", "data.num_workers=0")
    trained = run_command(*train, *epoch, f"run_dir={tmp_path}/trained")
    assert trained.returncode == 0, trained.stderr
    (root / "ImageSets/Main/val.txt").write_text("nobody\n")
    result = check(tmp_path / "third", *words[3:-2])
    assert "No copy can put this right: no image of val can be used" in result.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["data=coco", "data.root='a b'", "workers=2"], "experiment=finetune data=coco 'data.root=a b'"),
        (
            ["data.root='a b'", "data.size=512"],
            "experiment=finetune data=voc0712 'data.root=a b' data.size=512",
        ),
        (["experiment=quickstart", "hydra.run.dir=x"], "experiment=quickstart"),
    ],
)
def test_the_last_line_trains_what_was_asked_for_or_fine_tunes(
    typed: list[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CHECK, "typed_overrides", lambda: typed)
    monkeypatch.setattr(CHECK, "_default_data", lambda: ["data=voc0712"])
    assert _command_to_train("a b") == f"python train.py {expected}"


def test_wrong_keys_and_values_are_refused_together(shapes: Path, tmp_path: Path) -> None:
    data = ("data=voc_custom", f"data.root={shapes}")
    result = check(tmp_path / "run", *data, "fail_on=never", "min_side=x")
    assert result.returncode == 1
    assert (
        "min_side=x: give a number from 0 to 100,000\nfail_on=never: give one of error, warning"
        in result.stderr
    )
    result = check(tmp_path / "run", *data, "fix=true", "workers=0", "min_side=-1")
    assert result.returncode == 1
    for word in ("output=...", "workers=0", "min_side=-1"):
        assert word in result.stderr
    result = check(tmp_path / "run", *data, "min_sid=3")
    assert "did you mean min_side" in result.stderr


def test_an_existing_output_and_missing_data_end_in_a_sentence(shapes: Path, tmp_path: Path) -> None:
    result = check(
        tmp_path / "run", "data=voc_custom", f"data.root={shapes}", "fix=true", f"output={shapes.parent}"
    )
    assert result.returncode == 1
    assert "exists already" in result.stderr
    assert "Traceback" not in result.stderr
    result = check(tmp_path / "run", f"data.root={tmp_path}")
    assert "Point data.root to the folder that holds VOCdevkit" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "conf/data").glob("[!_]*.yaml")), ids=lambda path: path.stem)
def test_every_kind_of_data_can_be_checked(path: Path, tmp_path: Path) -> None:
    """Without files, all that there is to say is that they are missing."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("check", overrides=[f"data={path.stem}", f"data.root={tmp_path}"])
    try:
        found = [item.kind for item in instantiate(cfg.data).read("val").findings]
    except FileNotFoundError as error:
        found = ["missing-list"] if str(tmp_path) in str(error) else []
    assert set(found) == {"missing-list"}


def test_help_speaks_of_this_command() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "detection.check", "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    for word in ("detection.check", "fix=true", "exit code", "data=auto"):
        assert word in result.stdout


def test_start_up_does_not_import_torch() -> None:
    code = "import sys, detection.check; assert 'torch' not in sys.modules, 'torch'"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
