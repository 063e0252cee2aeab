"""Looking for a learning rate and a batch size, from the real command line and with a real out-of-memory."""

import csv
import json
import os
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from detection.cli.compose import checked_config, make_data_and_task
from detection.tasks.tuning import TRAINER, best_rate, find, find_batch_size
from tests.warm_python import warm_python

ROOT = Path(__file__).parents[2]


def command(tmp_path: Path, *overrides: str) -> "subprocess.CompletedProcess[str]":
    small = (
        "experiment=quickstart",
        "trainer=cpu",
        "data.num_train=40",
        "data.num_val=2",
        "data.num_test=2",
    )
    places = (f"data.root={tmp_path / 'shapes'}", f"hydra.run.dir={tmp_path / 'run'}")
    quick = (
        "data.num_val=2",
        "data.num_test=2",
        "data.image_size=64",
        "data.size=64",
        "data.batch_size=4",
        "data.num_workers=0",
    )
    return subprocess.run(
        [*warm_python(), "train.py", *small, *quick, *places, *overrides],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path)},
    )


def test_a_learning_rate_is_found_and_drawn(tmp_path: Path) -> None:
    batch = ("optimizer.scale_lr=true", "data.batch_size=8", "optimizer.base_batch_size=32")
    result = command(tmp_path, "find=lr", *batch)
    assert result.returncode == 0, result.stderr[-2000:]
    line = next(line for line in result.stdout.splitlines() if line.startswith("A third of"))
    beginning = "A third of the learning rate with the least loss is "
    used, asked = line.removeprefix(beginning).split(": optimizer.lr=")
    assert 1e-4 < float(used) < 2e-2, "3e-3 trains this detector"
    assert float(asked) == pytest.approx(4 * float(used), rel=0.1), "the rate for 32 images, used with 8"
    picture = cv2.imread(str(tmp_path / "run/lr_finder.png"))
    assert picture is not None
    assert picture.std() > 5
    assert not (tmp_path / "run/checkpoints").exists(), "looking is not training"


@pytest.mark.slow
def test_a_handful_of_images_is_enough(tmp_path: Path) -> None:
    """They are gone through as often as it takes, whatever the number of epochs."""
    result = command(tmp_path, "find=lr", "data.num_train=8", "trainer.max_epochs=1")
    assert result.returncode == 0, result.stderr[-2000:]
    assert 1e-4 < float(result.stdout.partition("optimizer.lr=")[2].split()[0]) < 2e-2


def test_the_best_rate_is_below_the_least_loss() -> None:
    rates = np.geomspace(1e-6, 1, 100)
    falls = [10 - 4 * min(1.0, max(0.0, np.log10(rate) + 6) / 4) for rate in rates]  # until 1e-2
    rises = [fall + max(0.0, np.log10(rate) + 2) ** 2 * 10 for fall, rate in zip(falls, rates, strict=True)]
    noise = np.random.default_rng(0).normal(0, 0.3, 100)
    found = best_rate(list(rises + noise))
    assert found is not None
    assert 1e-3 < found < 6e-3
    assert best_rate(list(10 + noise)) is None, "it does not fall"
    assert best_rate([10.0, 9.0, 8.0]) is None, "too few to tell"


@pytest.mark.slow
def test_a_sweep_looks_in_each_of_its_runs(tmp_path: Path) -> None:
    """One that finds, and one whose batch of a step does not divide."""
    sweep = tmp_path / "sweep"
    words = ("hydra.mode=MULTIRUN", "find=lr", "data.batch_size=4,5", "trainer.accumulate_grad_batches=2")
    result = command(tmp_path, *words, f"hydra.sweep.dir={sweep}")
    found = json.loads((sweep / "0/found.json").read_text())
    assert found.keys() == {"optimizer.lr"}
    assert 1e-4 < found["optimizer.lr"] < 2e-2
    assert (sweep / "0/lr_finder.png").exists()
    with (sweep / "sweep.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["status"], float(first["found"])) == ("finished", found["optimizer.lr"])
    assert (second["status"], second["found"], second["data.batch_size"]) == ("failed", "", "5")
    assert "what find=lr found" in result.stdout
    assert f"{found['optimizer.lr']:.2g}" in result.stdout
    assert result.returncode == 1
    assert "1 of 2 runs failed:\n  1: data.batch_size=5 does not divide" in result.stderr


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("find=batch_size",), "find=batch_size fills the memory of a GPU"),
        (("sweep=optuna", "find=lr"), "find=lr finds a setting and has no metric to search by"),
    ],
)
def test_what_cannot_be_looked_for_is_refused(
    tmp_path: Path, overrides: tuple[str, ...], message: str
) -> None:
    result = command(tmp_path, "data.num_train=4", f"hydra.sweep.dir={tmp_path / 'sweep'}", *overrides)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_mistake_ends_in_a_sentence(tmp_path: Path) -> None:
    result = command(tmp_path, "data.num_train=4", "find=batchsize")
    assert result.returncode == 1
    assert "find=batchsize: give one of lr, batch_size or null" in result.stderr
    assert "Traceback" not in result.stderr


class SmallMemory(pl.LightningModule):
    """Runs out of memory above ten images, as a GPU would."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        if len(batch) > 10:
            raise RuntimeError("CUDA out of memory. Tried to allocate 1.00 GiB")
        loss: Tensor = self.layer(batch).sum()
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Numbers(pl.LightningDataModule):
    batch_size_per_device: int | None = None
    datasets: ClassVar = {"train": range(64)}

    def train_dataloader(self) -> Any:
        return torch.utils.data.DataLoader(torch.zeros(64, 1), batch_size=self.batch_size_per_device)  # type: ignore[arg-type]


@pytest.fixture
def trainer(tmp_path: Path) -> pl.Trainer:
    return pl.Trainer(accelerator="cpu", default_root_dir=tmp_path, **TRAINER)


def test_the_largest_batch_that_fits_is_found(
    trainer: pl.Trainer, capsys: pytest.CaptureFixture[str]
) -> None:
    found = find_batch_size(trainer, SmallMemory(), Numbers())  # type: ignore[arg-type]
    assert found == {"data.batch_size_per_device": 8}
    assert "fits on a device: data.batch_size_per_device=8\n" in capsys.readouterr().out


def test_what_fits_is_a_part_of_a_step(trainer: pl.Trainer, capsys: pytest.CaptureFixture[str]) -> None:
    trainer.accumulate_grad_batches = 3
    found = find_batch_size(trainer, SmallMemory(), Numbers())  # type: ignore[arg-type]
    assert found == {"data.batch_size_per_device": 24}
    assert "data.batch_size_per_device=24, in 3 parts\n" in capsys.readouterr().out


def test_a_real_set_is_the_most_that_is_tried(
    trainer: pl.Trainer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        data = (f"data.root={tmp_path}", "data.num_train=6", "data.num_val=2", "data.num_test=2")
        size = ("data.image_size=64", "data.size=64", "run_dir=/nowhere")
        config = checked_config(compose("train", overrides=["experiment=quickstart", "name=x", *data, *size]))
    datamodule, task = make_data_and_task(config)
    assert find_batch_size(trainer, task, datamodule) == {"data.batch_size_per_device": 4}
    assert "Nothing larger was tried: the training set has 6 images" in capsys.readouterr().out


def test_several_devices_are_refused(tmp_path: Path) -> None:
    trainer = pl.Trainer(accelerator="cpu", devices=2, logger=False, default_root_dir=tmp_path)
    with pytest.raises(ValueError, match=r"find=lr looks on one device: add trainer\.devices=1"):
        find("lr", trainer, SmallMemory(), Numbers(), str(tmp_path))  # type: ignore[arg-type]
