"""Losses are the same in every run of a seed, and nearly the same in half precision."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor

from detection.callbacks.reproducible import SeedSteps
from detection.cli.compose import checked_config, model_config
from detection.cli.hydra_versions import instantiate
from detection.data.datamodule import DetectionDataModule
from detection.models.faster_rcnn import FasterRCNN
from detection.models.rpn import RPNOutput
from detection.tasks.base import DetectionTask

CONF = Path(__file__).parent.parent.parent / "conf"
EXPERIMENTS = ("quickstart", "quickstart_faster_rcnn")
Made = tuple[DetectionTask, DetectionDataModule]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shapes")


def make(experiment: str, root: Path, *overrides: str) -> Made:
    """The task and the data of an experiment, small, from its seed."""
    small = ("data.num_train=16", "data.num_val=2", "data.num_test=2", "data.batch_size=4", "seed=3")
    gentle = "scheduler.max_warmup=1"  # so few steps at the full rate would be wild
    given = [f"experiment={experiment}", f"data.root={root}", "run_dir=/nowhere", *small, gentle, *overrides]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = checked_config(compose("train", overrides=given))
    pl.seed_everything(config["seed"], verbose=False)
    data = instantiate(config["data"])
    data.prepare_data()
    data.setup()
    return instantiate(model_config(config, data.class_names, None)), data


class KeepLosses(pl.Callback):
    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any
    ) -> None:
        self.losses.append(outputs["loss"].item())


def losses_of_a_run(experiment: str, root: Path, *overrides: str) -> list[float]:
    task, data = make(experiment, root, "data.num_train=8", *overrides)
    keep = KeepLosses()
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=2, limit_val_batches=0, callbacks=[keep, SeedSteps(3)], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(task, datamodule=data)
    return keep.losses


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_seed_gives_one_sequence_of_losses(root: Path, experiment: str) -> None:
    expected = losses_of_a_run(experiment, root, "data.num_workers=0")
    assert len(set(expected)) == 4, "no two steps are alike"
    for workers in (0, 1, 2):
        assert losses_of_a_run(experiment, root, f"data.num_workers={workers}") == expected, workers
    assert losses_of_a_run(experiment, root, "data.num_workers=0", "seed=4") != expected


@pytest.fixture(scope="module")
def learned(root: Path) -> dict[str, Made]:
    """Networks that have learned a little: the numbers of fresh ones are too tame."""
    made = {}
    for experiment in EXPERIMENTS:
        task, data = make(experiment, root, "data.num_workers=0")
        trainer = pl.Trainer(
            accelerator="cpu", max_epochs=2, limit_val_batches=0, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(task, datamodule=data)
        made[experiment] = (task, data)
    return made


def loss_and_gradient(made: Made, dtype: torch.dtype) -> tuple[float, torch.Tensor]:
    task, data = made
    task.train()
    task.log_losses = lambda *args, **options: None  # type: ignore[method-assign]
    task.zero_grad()
    batch = next(iter(data.train_dataloader()))
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        loss = task.training_step(batch, 0)
    assert isinstance(loss, torch.Tensor)
    assert loss.dtype == torch.float32
    loss.backward()
    gradients = [p.grad.flatten() for p in task.parameters() if p.grad is not None]
    assert all(gradient.dtype == torch.float32 for gradient in gradients)
    return loss.item(), torch.cat(gradients)


def hold_proposals(network: FasterRCNN, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all precisions take the first one's proposals, since suppression turns on the last bits."""
    propose, first = network.rpn.propose, list[list[Tensor]]()

    def held(output: RPNOutput, sizes: list[tuple[int, int]]) -> list[Tensor]:
        if not first:
            first.append(propose(output, sizes))
        return first[0]

    monkeypatch.setattr(network.rpn, "propose", held)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize(
    ("dtype", "loss_bound", "angle_bound"), [(torch.bfloat16, 0.02, 0.98), (torch.float16, 0.005, 0.99)]
)
def test_half_precision_stays_close_to_float32(
    learned: dict[str, Made],
    experiment: str,
    dtype: torch.dtype,
    loss_bound: float,
    angle_bound: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = learned[experiment][0].network
    if isinstance(network, FasterRCNN):
        hold_proposals(network, monkeypatch)
    expected, direction = loss_and_gradient(learned[experiment], torch.float32)
    loss, gradient = loss_and_gradient(learned[experiment], dtype)
    cosine = torch.nn.functional.cosine_similarity(gradient, direction, dim=0).item()
    assert loss == pytest.approx(expected, rel=loss_bound)
    assert cosine > angle_bound
    assert gradient.norm().item() == pytest.approx(direction.norm().item(), rel=5 * loss_bound)
