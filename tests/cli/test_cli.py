"""The command line as its user meets it: in processes of its own."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import pytorch_lightning as pl

from benchmarks.bench_start import WITHOUT_TORCH
from detection.cli.faults import quieten_lightning
from tests.warm_python import warm_python

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*warm_python(), "train.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_help_names_groups_and_keys() -> None:
    result = run("--help")
    assert result.returncode == 0
    for word in ("experiment=quickstart", "data.root", "optimizer.lr", "model/backbone:", "mobilenet_v2"):
        assert word in result.stdout
    assert "\ndata: auto, coco, shapes," in result.stdout, "files that others are made of are no choice"
    groups = result.stdout.split("from a group:")[1].split("Of the whole run")[0]
    assert max(map(len, groups.splitlines())) < 80


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["data.batchsize=4"], "did you mean data.batch_size"),
        (["data=shapes", "data.num_trian=4"], "did you mean data.num_train"),
        (["trainer.max_epoch=4"], "trainer.max_epochs"),
        (["modle=ssd"], "did you mean model"),
        (["data=vok07"], "voc07"),
        (["data.batch_size=abc"], "data.batch_size"),
        (["data.size=x", "data.classes=[a]"], "data.size=x: give a whole number from 1 to 4,096 or a list"),
        (["trainer.devices=cuda"], "trainer.accelerator=gpu chooses the kind"),
        (["data=shapes", "+trainer.max_epoch=3"], "did you mean 'max_epochs'"),
        (["data.global_batch_size=8"], "data.global_batch_size: no such key; it is data.batch_size now"),
        (["data=voc_custom"], "data.root: needs a value"),
    ],
)
def test_a_typing_error_is_refused_with_a_hint(arguments: list[str], expected: str, tmp_path: Path) -> None:
    # Generated data would be written here, were anything read before the refusal.
    root = [] if "data=voc_custom" in arguments else [f"data.root={tmp_path}/data"]
    result = run(*arguments, *root, f"hydra.run.dir={tmp_path}/run", f"hydra.sweep.dir={tmp_path}/sweep")
    assert result.returncode != 0
    assert expected in result.stderr
    assert not {"Traceback", "HYDRA_FULL_ERROR", "Optional[", "Sequence["} & set(result.stderr.split())
    assert not (tmp_path / "data").exists()


def test_a_reading_is_told_in_a_line_and_the_command_goes_on(tmp_path: Path) -> None:
    words = ["--lr", "0.1", "max_epochs=10.0", "data=voc_custom", f"data.root={tmp_path}/none", "device=cpu"]
    result = run(*words, "weights_only=true")
    assert result.stderr.splitlines() == ["weights_only: no such key; --help lists them"]
    result = run(*words, f"run_dir={tmp_path}/run", "model.backbone.weights=None")
    lines = result.stderr.splitlines()
    assert {
        "--lr 0.1 is read as optimizer.lr=0.1",
        "max_epochs=10.0 is read as trainer.max_epochs=10",
        "device=cpu is read as trainer.accelerator=cpu",
        "model.backbone.weights=None is read as model.backbone.weights=null",
    } == set(lines[:4])
    assert f"{tmp_path}/none does not exist" in lines[-1]
    assert "Traceback" not in result.stderr


def test_help_and_version_are_given_whatever_else_was_typed() -> None:
    helped = run("lr=0.1", "nonsense", "--help")
    assert helped.returncode == 0
    assert "experiment=quickstart" in helped.stdout
    assert run("--version").stdout.startswith("lightning-detection ")


def test_missing_data_ends_in_a_sentence(tmp_path: Path) -> None:
    result = run(f"data.root={tmp_path}", f"hydra.run.dir={tmp_path}/run", "model.backbone.weights=null")
    assert result.returncode != 0
    assert "data.download=true" in result.stderr
    assert "Traceback" not in result.stderr


def test_missing_weights_end_in_a_sentence(tmp_path: Path) -> None:
    root = tmp_path / "data"
    counts = ("data.num_train=2", "data.num_val=1", "data.num_test=1")
    result = run(
        "data=shapes", f"data.root={root}", *counts, f"hydra.run.dir={tmp_path}/run",
        "model.backbone.weights=/nowhere/vgg.pth",
    )  # fmt: skip
    assert result.returncode != 0
    assert "/nowhere/vgg.pth" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("argument", ["--help", "trainer.max_epoch=3"])
def test_questions_and_mistakes_are_answered_without_torch(argument: str) -> None:
    words = [sys.executable, "-c", WITHOUT_TORCH, argument]
    result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    answer = result.stdout + result.stderr
    assert "did you mean" in answer if "=" in argument else "experiment=quickstart" in answer


def test_on_a_login_node_of_slurm_a_run_is_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def told(quieten: bool) -> bool:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if quieten:
                quieten_lightning()
            pl.Trainer(accelerator="cpu", devices=1, logger=False, enable_checkpointing=False)
        return any("srun" in str(warning.message) for warning in caught)

    assert told(quieten=False)  # Lightning's own
    assert not told(quieten=True)
