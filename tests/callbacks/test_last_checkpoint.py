"""A run that ends at any step, in whatever way, is resumed there: all that it leaves is as if it had not."""

import csv
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir

from detection.callbacks.safe_checkpoints import SafeCheckpointIO
from detection.checkpoints.best_of_run import refuse_another_best
from detection.checkpoints.loading import read_checkpoint
from detection.cli.compose import checked_config, inference_config, make_trainer, model_config
from detection.cli.faults import quieten_lightning
from detection.cli.hydra_versions import instantiate
from detection.data.dataset import DetectionDataset
from detection.system import endings
from detection.system.endings import ToldToEnd
from tests.conftest import CONF
from tests.same import assert_same

SMALL = (
    "trainer=cpu", "data.num_train=16", "data.num_val=3", "data.num_test=2", "data.batch_size=4",
    "data.num_workers=0", "trainer.max_epochs=2", "trainer.log_every_n_steps=1", "scheduler.warmup_steps=0",
    "optimizer.lr=0.01", "data.image_size=64", "callbacks.progress.seconds=0",
    "callbacks.predictions.num_images=0", "callbacks=[default,ema]", "~callbacks.summary",
)  # fmt: skip
SSD, FASTER_RCNN = "quickstart", "quickstart_faster_rcnn"


class At(pl.Callback):
    """Does something the so-and-so-manieth time that a hook is called."""

    def __init__(self, hook: str, time: int, do: Callable[[pl.Trainer], None]) -> None:
        self.time, self.do = time, do
        setattr(self, hook, self._count)

    def _count(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        self.time -= not trainer.sanity_checking
        if self.time == 0:
            self.do(trainer)


def tell(trainer: pl.Trainer) -> None:
    """As if SIGTERM had come."""
    endings._state.told_by = signal.SIGTERM


def stop(trainer: pl.Trainer) -> None:
    """As a limit of time does."""
    trainer.should_stop = True


class KilledError(Exception):
    """Nothing is written after it."""


def kill(trainer: pl.Trainer) -> None:
    raise KilledError


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    quieten_lightning()
    monkeypatch.setattr(endings, "_state", endings._State())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shapes")


Run = Callable[..., Path]


@pytest.fixture(scope="module")
def whole(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing interrupts."""
    return runner(root, tmp_path_factory.mktemp("whole"))("whole")


@pytest.fixture
def run(root: Path, tmp_path: Path) -> Run:
    """Trains as the command does, into a folder; returns it."""
    return runner(root, tmp_path)


def runner(root: Path, tmp_path: Path) -> Run:
    def start(
        name: str, *overrides: str, experiment: str = SSD, resumes: bool = False, end: At | None = None
    ) -> Path:
        folder = tmp_path / name
        size = "data.size=64" if experiment == SSD else "data.size=[64,96]"
        given = [
            f"experiment={experiment}",
            *SMALL,
            size,
            f"data.root={root}",
            f"run_dir={folder}",
            *overrides,
        ]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = checked_config(compose("train", overrides=[*given, "name=test"]))
        pl.seed_everything(config["seed"], workers=True, verbose=False)
        trainer, data = make_trainer(config), instantiate(config["data"])
        data.prepare_data()
        data.setup()
        data.divide_among(1, trainer.accumulate_grad_batches)
        model = model_config(config, data.class_names, data.images_per_step)
        task = instantiate(model)
        parts = {"accumulate_grad_batches": trainer.accumulate_grad_batches}
        task.describe(model=model, data=inference_config(config["data"]), training=parts)
        if end is not None:
            trainer.callbacks.insert(0, end)  # type: ignore[attr-defined]
        ckpt = folder / "checkpoints/last.ckpt" if resumes else None
        endings._state.told_by = None
        trainer.fit(task, datamodule=data, ckpt_path=ckpt, weights_only=True)
        return folder

    return start


def last(folder: Path) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    return checkpoint


def assert_same_runs(folder: Path, whole: Path) -> None:
    """Weights, averages, moments, schedule, best, mean losses and every row of ``metrics.csv``."""
    found, expected = last(folder), last(whole)
    for one in (found, expected):
        for state in one["callbacks"].values():
            for name in ("best_k_models", "current_score"):  # paths, and what nobody reads
                state.pop(name, None)
        one.pop("loops")
    assert_same(found, expected, "", moved=True)
    assert history(folder) == history(whole)


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("hook", "time", "steps"),
    [
        ("on_before_zero_grad", 1, 1),
        pytest.param("on_train_batch_end", 3, 3, marks=pytest.mark.slow),
        ("on_train_batch_end", 4, 4),
        ("on_validation_batch_start", 1, 4),
        pytest.param("on_validation_end", 1, 4, marks=pytest.mark.slow),
        pytest.param("on_train_epoch_end", 1, 4, marks=pytest.mark.slow),
        pytest.param("on_train_batch_start", 7, 6, marks=pytest.mark.slow),
        pytest.param("on_validation_batch_start", 2, 8, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_told_to_end_is_resumed_at_its_step(
    run: Run, tmp_path: Path, whole: Path, hook: str, time: int, steps: int
) -> None:
    with pytest.raises(ToldToEnd):
        run("told", end=At(hook, time, tell))
    assert last(tmp_path / "told")["global_step"] == steps
    assert_same_runs(run("told", resumes=True), whole)


PARTS = ("trainer.accumulate_grad_batches=2", "+trainer.val_check_interval=0.5")


@pytest.mark.parametrize(
    ("experiment", "overrides", "hook", "time", "steps"),
    [
        (SSD, ("trainer.check_val_every_n_epoch=2",), "on_train_batch_end", 4, 3),
        (SSD, PARTS, "on_train_batch_end", 3, 1),  # the first part of the second step
        pytest.param(SSD, PARTS, "on_validation_batch_start", 1, 1, marks=pytest.mark.slow),
        pytest.param(SSD, PARTS, "on_train_batch_start", 6, 2, marks=pytest.mark.slow),
        pytest.param(FASTER_RCNN, PARTS, "on_train_batch_end", 11, 5, marks=pytest.mark.slow),
        pytest.param(FASTER_RCNN, (), "on_validation_batch_start", 1, 3, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_is_resumed_at_its_last_kept_step(
    run: Run, tmp_path: Path, experiment: str, overrides: tuple[str, ...], hook: str, time: int, steps: int
) -> None:
    given = (*overrides, "callbacks.last.every_n_steps=1")
    whole = run("whole", *given, experiment=experiment)
    with pytest.raises(KilledError):
        run("killed", *given, experiment=experiment, end=At(hook, time, kill))
    assert last(tmp_path / "killed")["global_step"] == steps
    assert_same_runs(run("killed", *given, experiment=experiment, resumes=True), whole)


def test_checkpoints_of_another_run_in_the_folder_are_set_aside(run: Run, tmp_path: Path) -> None:
    kept = tmp_path / "twice/checkpoints"
    run("twice", "trainer.max_epochs=1")
    first = {path.name: path.read_bytes() for path in kept.glob("*.ckpt")}
    with pytest.raises(KilledError):  # before it keeps anything of its own
        run("twice", "seed=1", end=At("on_train_batch_end", 1, kill))
    assert {path.name: path.read_bytes() for path in (kept / "before").iterdir()} == first
    assert not list(kept.glob("*.ckpt"))
    run("twice", "seed=2", "trainer.max_epochs=1")
    assert not (kept / "before_2").exists()
    run("twice", "trainer.max_epochs=2", resumes=True)
    assert not (kept / "before_2").exists(), "it goes on with its own"
    run("twice", "trainer.max_epochs=1")
    assert {path.name for path in (kept / "before_2").iterdir()} == set(first)


def test_a_long_epoch_is_kept_from_time_to_time(run: Run, tmp_path: Path) -> None:
    often = "callbacks.last.every_minutes=0.00001"
    with pytest.raises(KilledError):
        run("killed", often, experiment=SSD, end=At("on_train_batch_end", 3, kill))
    assert last(tmp_path / "killed")["global_step"] == 2
    with pytest.raises(KilledError):
        run("later", experiment=SSD, end=At("on_train_batch_end", 3, kill))
    assert not (tmp_path / "later/checkpoints/last.ckpt").exists()


@pytest.mark.parametrize(
    ("files", "resumes"),
    [
        pytest.param(["best"], False, marks=pytest.mark.slow),
        pytest.param(["best", "last"], True, marks=pytest.mark.slow),
        (["best", "last", "best"], True),
        pytest.param(["best", "last", "best", "last"], True, marks=pytest.mark.slow),
    ],
)
def test_a_kill_between_any_two_files_is_resumed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str], resumes: bool
) -> None:
    """The last one may not yet know the best one that lies beside it."""
    written: list[str] = []
    save = SafeCheckpointIO.save_checkpoint

    def save_and_keep(self: SafeCheckpointIO, checkpoint: dict[str, Any], path: str, **_: Any) -> None:
        save(self, checkpoint, path)
        self.finish()  # the training waits, so that nothing else is there yet
        written.append(Path(path).stem)
        if written == files:
            shutil.copytree(Path(path).parents[1], tmp_path / "killed")

    improves = ("callbacks.best.monitor=val/loss", "callbacks.best.mode=min")
    with monkeypatch.context() as patch:
        patch.setattr(SafeCheckpointIO, "save_checkpoint", save_and_keep)
        whole = run("whole", *improves)
    assert written == ["best", "last"] * 2
    killed = tmp_path / "killed"
    if resumes:
        path = killed / "checkpoints/last.ckpt"
        there = {"best": {"dirpath": str(killed / "checkpoints")}}
        refuse_another_best(path, read_checkpoint(path), there)
    assert_same_runs(run("killed", *improves, resumes=resumes), whole)
    best = [torch.load(folder / "checkpoints/best.ckpt", weights_only=True) for folder in (killed, whole)]
    assert_same(best[0]["state_dict"], best[1]["state_dict"], "")
    assert best[0]["global_step"] == best[1]["global_step"]


def test_a_limit_of_time_leaves_its_step(run: Run, tmp_path: Path, whole: Path) -> None:
    """It ends the run as ever, with a validation, which the resumed run does not count."""
    folder = run("limited", end=At("on_train_batch_end", 2, stop))
    assert last(folder)["global_step"] == 2
    assert_same(last(run("limited", resumes=True))["state_dict"], last(whole)["state_dict"], "")
    validated = [row["step"] for row in history(folder) if row["val/map"]]
    assert validated == ["1", "3", "7"]


@pytest.mark.parametrize("steps", [1, 6])
def test_a_run_of_so_many_steps_is_validated_at_its_end(run: Run, steps: int) -> None:
    folder = run("counted", f"+trainer.max_steps={steps}", "trainer.check_val_every_n_epoch=2")
    assert [row["step"] for row in history(folder) if row["val/map"]] == [str(steps - 1)]
    assert last(folder)["global_step"] == steps
    assert (folder / "checkpoints/best.ckpt").exists()


@pytest.mark.parametrize(("every", "validated"), [(2, [4, 6]), (5, [6])])
def test_the_last_epoch_is_validated_whatever_the_interval(
    run: Run, every: int, validated: list[int]
) -> None:
    folder = run("whole", f"trainer.check_val_every_n_epoch={every}", "trainer.max_epochs=3")
    of_epoch = last(folder)["global_step"] // 3
    assert [int(row["step"]) + 1 for row in history(folder) if row["val/map"]] == [
        of_epoch * step // 2 for step in validated
    ]


@pytest.mark.filterwarnings("error:You're resuming from a checkpoint that ended before the epoch ended")
def test_only_what_is_left_of_an_epoch_is_loaded(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[int] = []
    take = DetectionDataset.__getitem__

    def count(dataset: DetectionDataset, index: int) -> Any:
        loaded.append(index)
        return take(dataset, index)

    with pytest.raises(ToldToEnd):
        run("told", end=At("on_train_batch_end", 3, tell))
    monkeypatch.setattr(DetectionDataset, "__getitem__", count)
    run("told", "trainer.max_epochs=1", "+trainer.limit_val_batches=0", resumes=True)
    assert len(loaded) == 4
