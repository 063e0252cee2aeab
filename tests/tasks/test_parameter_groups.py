"""Which parameters learn at which rate, and which of them decay."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader

from detection.callbacks.learning_rate import LogLearningRate
from detection.models.backbones import TinyBackbone
from detection.models.ssd import build_ssd
from detection.tasks.parameter_groups import grouped_optimizer
from detection.tasks.schedules import Cosine
from detection.tasks.ssd import SSDTask
from tests.tasks.test_ssd_task import make_batch


def tiny_task(**settings: Any) -> SSDTask:
    torch.manual_seed(0)
    return SSDTask(
        TinyBackbone(frozen_blocks=1),
        partial(build_ssd, size=128),
        ["cat", "dog", "owl"],
        partial(torch.optim.AdamW, lr=0.01, weight_decay=0.1),
        Cosine(),
        **settings,
    )


def settings_of(optimizer: torch.optim.Optimizer) -> dict[nn.Parameter, tuple[float, float]]:
    return {
        parameter: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


@pytest.mark.parametrize("decay_norms", [True, False])
def test_each_block_learns_slower_than_the_next(decay_norms: bool) -> None:
    task = tiny_task()
    trained = [parameter for parameter in task.parameters() if parameter.requires_grad]
    blocks = task.network.backbone.blocks()
    make = task.make_optimizer
    optimizer = grouped_optimizer(make, trained, blocks, layer_decay=0.5, decay_norms=decay_norms)
    settings = settings_of(optimizer)
    assert settings.keys() == set(trained)  # each of them once, frozen ones never
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(trained)
    assert optimizer.param_groups[0]["lr"] == 0.01
    factors = dict.fromkeys(trained, 1.0)
    for depth, block in enumerate(blocks):
        factors |= {parameter: 0.5 ** (len(blocks) - depth) for parameter in block.parameters()}
    for parameter, (rate, decay) in settings.items():
        assert rate == pytest.approx(0.01 * factors[parameter], rel=1e-12)
        assert decay == (0.1 if decay_norms or parameter.ndim > 1 else 0.0)


def test_without_either_there_is_one_group_as_before() -> None:
    task = tiny_task()
    trained = [parameter for parameter in task.parameters() if parameter.requires_grad]
    [group] = grouped_optimizer(task.make_optimizer, trained, (), 1.0, True).param_groups
    assert group["params"] == trained
    assert (group["lr"], group["weight_decay"]) == (0.01, 0.1)


class Rates(pl.Callback):
    """Notes the rates of every step and what is logged as the rate, and may stop after some epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.of_groups: list[list[float]] = []
        self.logged: list[float] = []

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self.of_groups.append([group["lr"] for group in trainer.optimizers[0].param_groups])

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.logged.append(float(trainer.callback_metrics["lr-AdamW"]))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch + 1 == self.epochs


def fit(folder: Path, epochs: int, ckpt: Path | None = None) -> Rates:
    """So many of the four epochs of a run, each of two steps."""
    rates = Rates(epochs)
    last = ModelCheckpoint(folder, "last", save_on_train_epoch_end=True, enable_version_counter=False)
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=4, logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[LogLearningRate(), rates, last], limit_val_batches=0,
    )  # fmt: skip
    images: DataLoader[Any] = DataLoader(range(4), 2, collate_fn=lambda _: make_batch((2, 1)))  # type: ignore[arg-type]
    task = tiny_task(layer_decay=0.5, decay_norms=False)
    task.describe(model={"optimizer": {"_target_": "AdamW"}, "network": {}}, data={}, training={})
    trainer.fit(task, images, ckpt_path=ckpt, weights_only=True)
    return rates


def test_all_rates_follow_the_schedule_and_go_on(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole", 4)
    # Eight steps; seven blocks and what is behind them, each with and without decay.
    assert (len(whole.of_groups), len(whole.of_groups[0])) == (8, 16)
    first = whole.of_groups[0]
    for rates in whole.of_groups:
        assert [rate / rates[0] for rate in rates] == pytest.approx([rate / first[0] for rate in first])
    assert whole.logged == pytest.approx([rates[0] for rates in whole.of_groups])
    parts = fit(tmp_path, 2), fit(tmp_path, 4, tmp_path / "last.ckpt")
    assert parts[0].of_groups + parts[1].of_groups == whole.of_groups
    states = [torch.load(path / "last.ckpt", weights_only=True) for path in (tmp_path, tmp_path / "whole")]
    for one, other in zip(*(state["state_dict"].values() for state in states), strict=True):
        assert one.equal(other)
