"""One training of a comparison: fit, validate once at the end, tell the figures."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra import compose
from omegaconf import open_dict

from detection.benchmarking.measure import StepTimes
from detection.callbacks.progress import progress_bar
from detection.cli.compose import checked_config, make_data_and_task
from detection.cli.faults import quieten_lightning
from detection.cli.hydra_versions import configurations, instantiate
from detection.tasks.base import DetectionTask

Replace = Callable[[DetectionTask, dict[str, Any]], DetectionTask]


def configuration(overrides: Sequence[str], seed: int) -> dict[str, Any]:
    """That of a training without loggers, which validates once, at its end."""
    with configurations():
        cfg = compose("train", overrides=[*overrides, f"seed={seed}", "run_dir=/nowhere", "name=compared"])
    with open_dict(cfg):
        kept = [name for name in ("ema", "wise_ft") if name in cfg.callbacks]
        cfg.callbacks = {name: cfg.callbacks[name] for name in kept}
        cfg.logger = {}
        cfg.trainer.check_val_every_n_epoch = cfg.trainer.max_epochs
    return checked_config(cfg)


def train_one(overrides: Sequence[str], seed: int, replace: Replace | None = None) -> dict[str, float]:
    """Train and validate one detector.

    Args:
        overrides: of the configuration.
        seed: of weights, order and augmentation.
        replace: makes the task to train from ours and the configuration; None trains ours.
    """
    config = configuration(overrides, seed)
    quieten_lightning()
    pl.seed_everything(seed, workers=True, verbose=False)
    datamodule, task = make_data_and_task(config)
    if replace:
        task = replace(task, config)
    times = StepTimes()
    callbacks = [times, progress_bar(60), *map(instantiate, config["callbacks"].values())]
    with tempfile.TemporaryDirectory() as folder:
        trainer: pl.Trainer = instantiate(
            config["trainer"],
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=folder,
        )
        start = time.perf_counter()
        trainer.fit(task, datamodule=datamodule)
    steps = trainer.global_step
    return {
        "map_07": float(trainer.callback_metrics["val/map_07"]),
        "map_area": float(trainer.callback_metrics["val/map_area"]),
        "images_per_second": datamodule.images_per_step / sorted(times.seconds[:steps])[steps // 2],
        "minutes": (time.perf_counter() - start) / 60,
    }


class Record:
    """The results so far: a file that is rewritten after each run, and a table.

    Args:
        name: of the comparison, and of its folder under ``runs``.
        overrides: what all runs share.
    """

    def __init__(self, name: str, overrides: Sequence[str]) -> None:
        self.overrides = list(overrides)
        self.rows: list[dict[str, Any]] = []
        # Two may start in the same second.
        self.path = Path("runs", name, f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{os.getpid()}.json")
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, seed: int, figures: dict[str, float]) -> None:
        """Keep one result and print the table so far."""
        self.rows.append({"run": name, "seed": seed, **figures})
        self.path.write_text(json.dumps({"overrides": self.overrides, "runs": self.rows}, indent=2) + "\n")
        print(f"\n{'run':24}{'seed':>6}{'mAP 07':>10}{'mAP area':>10}{'images/s':>10}{'minutes':>10}")
        for row in self.rows:
            print(f"{row['run']:24}{row['seed']:6}{row['map_07']:10.3f}{row['map_area']:10.3f}", end="")
            print(f"{row['images_per_second']:10.1f}{row['minutes']:10.1f}")
        print(f"Kept in {self.path}", flush=True)


def seeds_of(words: Sequence[str]) -> tuple[list[int], list[str]]:
    """Split ``seeds=0,1`` from the overrides of a command line."""
    seeds = next((word.removeprefix("seeds=") for word in words if word.startswith("seeds=")), "0")
    return [int(seed) for seed in seeds.split(",")], [word for word in words if not word.startswith("seeds=")]
