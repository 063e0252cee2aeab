"""What a training that goes on takes from the checkpoint, and what from the configuration."""

import math
import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader

from detection.callbacks.best_checkpoint import BestCheckpoint
from detection.callbacks.early_stopping import EarlyStopping
from detection.callbacks.ema import EMA
from detection.checkpoints.best_of_run import is_next_best
from detection.tasks.base import DetectionTask
from detection.tasks.resuming import follow_folder, forget_best
from detection.tasks.schedules import Cosine, MultiStep, OneCycle, Schedule

Make = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
IMAGES = 16


def sgd(parameters: Iterable[nn.Parameter], **settings: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, **{"lr": 0.1, "momentum": 0.9, **settings})


def adamw(parameters: Iterable[nn.Parameter], **settings: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, **{"lr": 0.01, **settings})


class TwoLayers(DetectionTask):
    """Learns two layers, of which the first may be frozen, and notes the rate of every step."""

    loss_names = ()

    def __init__(self, make: Make = sgd, schedule: Schedule | None = None, frozen: bool = False) -> None:
        super().__init__(["cat"], make, schedule or Cosine(), "07", coco_ap=False)
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 1)
        self.first.requires_grad_(not frozen)
        kind = type(make([nn.Parameter(torch.zeros(1))])).__name__
        self.describe(model={"optimizer": {"_target_": kind}}, data={}, training={})
        self.rates: list[float] = []
        self.epochs: list[int] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.epochs.append(self.trainer.current_epoch)
        self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        loss: Tensor = self.second(torch.tanh(self.first(batch))).pow(2).mean()
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> Any:
        self.log("val/map", torch.tensor(float(self.trainer.current_epoch)))

    def on_validation_epoch_end(self) -> None:
        """Nothing is evaluated."""

    evaluate_batch = predict_step = original_targets = assigner = None  # type: ignore[assignment]


TwoLayers.__abstractmethods__ = frozenset()


def fit(
    folder: Path, task: TwoLayers, epochs: int = 4, batch: int = 4, ckpt: str | None = None,
    callbacks: Iterable[pl.Callback] = (), images: int = IMAGES, **options: Any,
) -> pl.Trainer:  # fmt: skip
    kept = [
        ModelCheckpoint(folder, "best", monitor="val/map", mode="max", enable_version_counter=False),
        ModelCheckpoint(folder, "last", save_on_train_epoch_end=True, enable_version_counter=False),
    ]
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=epochs, logger=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[*kept, *callbacks], **options,
    )  # fmt: skip
    data = torch.linspace(-1, 1, images * 3).reshape(images, 3)
    path = folder / ckpt if ckpt else None
    loader: DataLoader[Any] = DataLoader(data, batch_size=batch)  # type: ignore[arg-type]
    trainer.fit(task, loader, loader, ckpt_path=path, weights_only=True)
    return trainer


def read(folder: Path, name: str = "last.ckpt") -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(folder / name, weights_only=True)
    return checkpoint


def assert_equal(one: Any, other: Any) -> None:
    if isinstance(one, Tensor):
        assert one.equal(other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, list):
        for pair in zip(one, other, strict=True):
            assert_equal(*pair)
    else:
        assert one == other


@pytest.mark.parametrize("make", [sgd, adamw])
@pytest.mark.parametrize("limit", ["epochs", "steps"])
@pytest.mark.parametrize("schedule", [Cosine(), OneCycle()])
def test_a_run_in_two_parts_is_the_run_in_one(
    tmp_path: Path, make: Make, limit: str, schedule: Schedule
) -> None:
    options: dict[str, Any] = {"max_steps": 16, "epochs": -1} if limit == "steps" else {"epochs": 4}
    whole = TwoLayers(make, schedule)
    fit(tmp_path / "whole", whole, **options)

    class Stop(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            trainer.should_stop = trainer.current_epoch == 1

    fit(tmp_path, TwoLayers(make, schedule), callbacks=[Stop()], **options)
    second = TwoLayers(make, schedule)
    fit(tmp_path, second, ckpt="last.ckpt", **options)
    assert second.rates == whole.rates[8:]
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert_equal(read(tmp_path)[part], read(tmp_path / "whole")[part])


def test_settings_of_the_optimizer_are_those_asked_for(tmp_path: Path) -> None:
    fit(tmp_path, TwoLayers(), epochs=2)
    moments = read(tmp_path)["optimizer_states"][0]["state"]
    task = TwoLayers(lambda p: sgd(p, lr=0.003, momentum=0.5, weight_decay=0.2, nesterov=True), MultiStep(()))
    seen: dict[int, Tensor] = {}

    class Look(pl.Callback):
        def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            seen.update(
                {
                    i: s["momentum_buffer"].clone()
                    for i, s in trainer.optimizers[0].state_dict()["state"].items()
                }
            )

    fit(tmp_path, task, ckpt="last.ckpt", callbacks=[Look()])
    assert_equal(seen, {number: kept["momentum_buffer"] for number, kept in moments.items()})
    assert task.rates == [0.003] * 8
    (group,) = read(tmp_path)["optimizer_states"][0]["param_groups"]
    used = {key: group[key] for key in ("lr", "initial_lr", "momentum", "weight_decay", "nesterov")}
    assert used == {"lr": 0.003, "initial_lr": 0.003, "momentum": 0.5, "weight_decay": 0.2, "nesterov": True}


@pytest.mark.parametrize("ckpt", ["last.ckpt", "best.ckpt"])
@pytest.mark.parametrize("batch", [2, 16])
@pytest.mark.parametrize("every", [1, 2])
def test_another_batch_goes_on_at_the_share_that_is_done(
    tmp_path: Path, ckpt: str, batch: int, every: int
) -> None:
    fit(tmp_path, TwoLayers(), epochs=2, check_val_every_n_epoch=every)
    task = TwoLayers()
    trainer = fit(tmp_path, task, 8, batch, ckpt, check_val_every_n_epoch=every)
    per_epoch = IMAGES // batch
    uninterrupted = [0.1 * Cosine()(step, 8 * per_epoch) for step in range(8 * per_epoch)]
    assert task.rates == pytest.approx(uninterrupted[2 * per_epoch :])
    assert task.epochs == [epoch for epoch in range(2, 8) for _ in range(per_epoch)]
    assert trainer.current_epoch == 8


def test_half_an_epoch_stays_half_an_epoch(tmp_path: Path) -> None:
    fit(tmp_path, TwoLayers(), epochs=2, val_check_interval=0.5)
    assert read(tmp_path, "best.ckpt")["global_step"] == 6
    task = TwoLayers()
    fit(tmp_path, task, 4, 2, "best.ckpt", val_check_interval=0.5)
    assert task.epochs == [1] * 4 + [2] * 8 + [3] * 8
    assert task.rates == pytest.approx([0.1 * Cosine()(step, 32) for step in range(12, 32)])


@pytest.mark.parametrize(("images", "accumulate", "epochs"), [(24, 1, 4), (8, 1, 4), (16, 2, 4), (16, 3, 3)])
def test_data_accumulation_and_length_may_change(
    tmp_path: Path, images: int, accumulate: int, epochs: int
) -> None:
    fit(tmp_path, TwoLayers(), epochs=2)
    task = TwoLayers()
    fit(tmp_path, task, epochs, ckpt="last.ckpt", images=images, accumulate_grad_batches=accumulate)
    per_epoch = -(-(images // 4) // accumulate)
    assert task.rates[-1] == pytest.approx(0.1 * 0.01)
    assert task.rates[0] == pytest.approx(0.1 * Cosine()(2 * per_epoch, epochs * per_epoch))
    assert set(task.epochs) == set(range(2, epochs))


def test_steps_instead_of_epochs(tmp_path: Path) -> None:
    fit(tmp_path, TwoLayers(), epochs=2)
    task = TwoLayers()
    fit(tmp_path, task, -1, 2, "last.ckpt", max_steps=20)
    assert task.rates == pytest.approx([0.1 * Cosine()(step, 20) for step in range(8, 20)])


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (sgd, adamw, "another one"),
        (adamw, sgd, "another one"),
        (adamw, lambda p: adamw(p, amsgrad=True), "also keeps max_exp_avg_sq"),
        (lambda p: sgd(p, momentum=0), sgd, ""),
        (sgd, lambda p: sgd(p, momentum=0), ""),
        (torch.optim.RMSprop, lambda p: torch.optim.RMSprop(p, momentum=0.9), "momentum_buffer"),
    ],
)
def test_moments_that_do_not_fit_start_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], before: Make, now: Make, told: str
) -> None:
    fit(tmp_path, TwoLayers(before), epochs=1)
    capsys.readouterr()
    fit(tmp_path, TwoLayers(now), epochs=2, ckpt="last.ckpt")
    printed = capsys.readouterr().out
    assert told in printed
    assert ("start anew" in printed) == bool(told)
    assert "50% of the run is done" in printed


def last(state: dict[str, Any]) -> dict[str, Any]:
    return state["state"][max(state["state"])]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        (lambda state: last(state).update(momentum_buffer=torch.zeros(7)), r"has the shape \[7\], not"),
        (lambda state: last(state).update(momentum_buffer="text"), "momentum_buffer is no number"),
        (lambda state: last(state)["momentum_buffer"].fill_(math.nan), "momentum_buffer is not finite"),
        (lambda state: state["param_groups"][0]["param_names"].reverse(), "has the shape"),
        (lambda state: state["param_groups"][0].update(params=[0] * 10), ""),
        (dict.clear, "param_groups"),
    ],
)
def test_a_state_that_is_none_starts_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tamper: Callable[[Any], None], told: str
) -> None:
    fit(tmp_path, TwoLayers(sgd), epochs=1)
    checkpoint = read(tmp_path)
    tamper(checkpoint["optimizer_states"][0])
    torch.save(checkpoint, tmp_path / "last.ckpt")
    capsys.readouterr()
    fit(tmp_path, TwoLayers(sgd), epochs=2, ckpt="last.ckpt")
    printed = capsys.readouterr().out
    assert re.search(rf"The optimizer's state in the checkpoint is no such state \(.*{told}", printed)


@pytest.mark.parametrize("frozen_first", [True, False])
def test_other_layers_are_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], frozen_first: bool
) -> None:
    fit(tmp_path, TwoLayers(frozen=frozen_first), epochs=1)
    saved = read(tmp_path)["optimizer_states"][0]
    kept = dict(zip(saved["param_groups"][0]["param_names"], saved["state"].values(), strict=True))
    seen: dict[str, Tensor] = {}

    class Look(pl.Callback):
        def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            for name, parameter in pl_module.named_parameters():
                if "momentum_buffer" in trainer.optimizers[0].state.get(parameter, {}):
                    seen[name] = trainer.optimizers[0].state[parameter]["momentum_buffer"].clone()

    fit(tmp_path, TwoLayers(frozen=not frozen_first), 2, ckpt="last.ckpt", callbacks=[Look()])
    assert_equal(seen, {name: kept[name]["momentum_buffer"] for name in ("second.weight", "second.bias")})
    assert ("without moments at first: 2 tensors" in capsys.readouterr().out) == frozen_first


def test_checkpoints_without_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(tmp_path, TwoLayers(), epochs=1)
    checkpoint = read(tmp_path)
    del checkpoint["optimizer_states"][0]["param_groups"][0]["param_names"]
    checkpoint["hyper_parameters"].pop("training")
    torch.save(checkpoint, tmp_path / "old.ckpt")
    fit(tmp_path, TwoLayers(), 2, 2, "old.ckpt")
    assert "start anew" not in capsys.readouterr().out
    fit(tmp_path, TwoLayers(frozen=True), 2, ckpt="old.ckpt")
    assert "does not name those of before" in capsys.readouterr().out


def test_without_the_average_the_trained_weights_go_on(tmp_path: Path) -> None:
    fit(tmp_path, TwoLayers(), epochs=1, callbacks=[EMA(0.9)])
    saved, task = read(tmp_path), TwoLayers()
    assert not saved["current_model_state"]["first.weight"].equal(saved["state_dict"]["first.weight"])
    seen: dict[str, Tensor] = {}

    class Look(pl.Callback):
        def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            seen.update({name: value.clone() for name, value in pl_module.state_dict().items()})

    fit(tmp_path, task, 2, ckpt="last.ckpt", callbacks=[Look()])
    assert_equal(seen, saved["current_model_state"])


def test_an_average_may_begin_later(tmp_path: Path) -> None:
    fit(tmp_path, TwoLayers(), epochs=1)
    fit(tmp_path, TwoLayers(), 2, ckpt="last.ckpt", callbacks=[EMA(0.9)])
    assert "averaging_state" in read(tmp_path)


def test_a_run_without_an_end(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"give trainer\.max_epochs="):
        fit(tmp_path, TwoLayers(), epochs=-1)


def test_the_best_of_a_copied_run_is_kept(tmp_path: Path) -> None:
    """Lightning forgets the best score in another folder: the next epoch would replace the best."""

    class Worse(TwoLayers):
        def validation_step(self, batch: Tensor, batch_idx: int) -> Any:
            self.log("val/map", torch.tensor(-1.0))

    fit(tmp_path / "run", TwoLayers(), epochs=2)
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    trainer = fit(tmp_path / "copy", Worse(), epochs=3, ckpt="last.ckpt")
    best = trainer.checkpoint_callback
    assert isinstance(best, ModelCheckpoint)
    assert best.best_model_score == 1.0
    assert best.best_model_path == str(tmp_path / "copy" / "best.ckpt")
    assert (tmp_path / "copy/best.ckpt").read_bytes() == (tmp_path / "run/best.ckpt").read_bytes()
    assert read(tmp_path / "copy")["global_step"] > read(tmp_path / "copy", "best.ckpt")["global_step"]


class Scored(TwoLayers):
    """Its metric is a figure for each epoch."""

    def __init__(self, *figures: float) -> None:
        super().__init__()
        self.figures = figures

    def validation_step(self, batch: Tensor, batch_idx: int) -> Any:
        figure = torch.tensor(float(self.figures[self.trainer.current_epoch]))
        self.log_dict({"val/map": figure, "val/one": figure, "val/two": figure})


def watching(folder: Path, task: TwoLayers, epochs: int, ckpt: str | None = None) -> list[Any]:
    """A training with all that compares epochs."""
    found: list[Any] = [
        BestCheckpoint(folder, "the_best", monitor="val/one", mode="max", enable_version_counter=False),
        ModelCheckpoint(folder, "two_{epoch}", monitor="val/two", mode="max", save_top_k=2),
        EarlyStopping("val/map", mode="max", patience=3),
    ]
    fit(folder, task, epochs=epochs, ckpt=ckpt, callbacks=found, num_sanity_val_steps=0)
    return found


@pytest.mark.parametrize("anew", [False, True])
def test_where_validation_is_another_the_best_is_chosen_anew(tmp_path: Path, anew: bool) -> None:
    watching(tmp_path, Scored(0.5, 0.9, 0.8, 0.7), 4)
    before = read(tmp_path, "the_best.ckpt")
    assert before["epoch"] == 1
    task = Scored(0, 0, 0, 0, 0.1, 0.3, 0.2)
    task.best_is_chosen_anew = anew
    best, two, stopping = watching(tmp_path, task, 7, "last.ckpt")
    kept = read(tmp_path, "the_best.ckpt")
    state = kept["callbacks"][best.state_key]
    assert (kept["epoch"], best.best_epoch) == ((5, 6) if anew else (1, 2))
    if not anew:
        assert stopping.stopped_epoch == 4
        assert best.best_model_score == torch.tensor(0.9)
        return
    assert stopping.stopped_epoch == 0, "it is patient anew"
    assert stopping.best_score == best.best_model_score == two.best_model_score == torch.tensor(0.3)
    assert sorted(float(score) for score in two.best_k_models.values()) == pytest.approx([0.2, 0.3])
    assert state["metrics_before"]["val/one"] == pytest.approx(0.1)


def test_a_best_that_is_chosen_anew_is_known_after_a_kill_beside_the_last(tmp_path: Path) -> None:
    watching(tmp_path, Scored(0.5, 0.9), 2)
    known = read(tmp_path)
    task = Scored(0, 0, 0.1)
    task.best_is_chosen_anew = True
    best, *_ = watching(tmp_path, task, 3, "last.ckpt")
    written = read(tmp_path, "the_best.ckpt")["callbacks"][best.state_key]
    assert is_next_best(written, known["callbacks"][best.state_key])


def test_what_waits_for_its_first_validation_waits_when_it_is_resumed(tmp_path: Path) -> None:
    watching(tmp_path, Scored(0.5, 0.9), 2)
    checkpoint = read(tmp_path)
    callbacks: list[Any] = [
        BestCheckpoint(tmp_path, "the_best", monitor="val/one", mode="max", enable_version_counter=False)
    ]
    known = checkpoint["callbacks"][callbacks[0].state_key]["best_metrics"]
    assert "val/one" in known
    forget_best(checkpoint, callbacks)
    for _ in range(2):  # as a checkpoint within the first epoch keeps it, too
        follow_folder(checkpoint, callbacks)
        callbacks[0].load_state_dict(checkpoint["callbacks"][callbacks[0].state_key])
        checkpoint["callbacks"][callbacks[0].state_key] = callbacks[0].state_dict()
        assert callbacks[0].best_model_score is None
        assert callbacks[0].best_model_path == ""
        assert callbacks[0].metrics_before == known


def test_a_state_cannot_name_files_of_others(tmp_path: Path) -> None:
    """Lightning would delete the one that is no longer the best, and test the one that still is."""
    fit(tmp_path / "run", TwoLayers(), epochs=1)
    folder, others = tmp_path / "run", tmp_path / "others"
    others.mkdir()
    names = ["absolute", "above", "relative", "linked", "plain"]
    paths = [others / f"{name}.ckpt" for name in names]
    for path in paths:
        path.write_text("mine")
    (folder / "linked.ckpt").symlink_to(paths[3])
    foreign = [
        str(paths[0]), f"{folder}/../others/above.ckpt", os.path.relpath(paths[2]), f"{folder}/linked.ckpt",
        "plain.ckpt", "..", "", "http://localhost/x.ckpt",
    ]  # fmt: skip
    shutil.copy(folder / "last.ckpt", folder / "first.ckpt")
    for spoilt in foreign:
        checkpoint = read(folder, "first.ckpt")
        for key, state in checkpoint["callbacks"].items():
            if key.startswith("ModelCheckpoint"):
                low = torch.tensor(-9.0)
                state |= {"best_k_models": {spoilt: low}, "kth_value": low, "best_model_score": low}
                state |= {key: spoilt for key in state if key.endswith("_path")}
                state["dirpath"] = str(Path(spoilt).parent)
        torch.save(checkpoint, folder / "spoilt.ckpt")
        trainer = fit(folder, TwoLayers(), epochs=2, ckpt="spoilt.ckpt")
        for callback in trainer.checkpoint_callbacks:
            assert isinstance(callback, ModelCheckpoint)
            assert Path(callback.best_model_path).parent == folder, spoilt
            assert callback.best_model_score is None or callback.best_model_score == 1.0
        assert [path.read_text() for path in paths] == ["mine"] * len(paths), spoilt


@pytest.mark.parametrize("value", [None, "x", 3, [], {}, {"a": "b"}, torch.zeros(2)])
def test_an_odd_state_of_a_callback_is_that_of_a_new_run(tmp_path: Path, value: Any) -> None:
    fit(tmp_path, TwoLayers(), epochs=1)
    checkpoint = read(tmp_path)
    for state in checkpoint["callbacks"].values():
        state |= dict.fromkeys(state, value)
    torch.save(checkpoint, tmp_path / "odd.ckpt")
    trainer = fit(tmp_path, TwoLayers(), epochs=2, ckpt="odd.ckpt")
    best = trainer.checkpoint_callback
    assert isinstance(best, ModelCheckpoint)
    assert best.best_model_path == str(tmp_path / "best.ckpt")
