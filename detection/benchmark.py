"""Measure one's own model, data and machine: ``python -m detection.benchmark --help``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from detection.cli.compose import (
    checked_config,
    errors_in_a_sentence,
    make_data_and_task,
)
from detection.cli.entry import run_with_hints
from detection.cli.faults import faults_in_a_sentence, quieten_lightning
from detection.cli.hydra_versions import hydra_main, instantiate
from detection.settings import Benchmark
from detection.system.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytorch_lightning as pl

    from detection.benchmarking.measure import Measurement


@hydra_main("benchmark")
def main(cfg: DictConfig) -> float:
    """Measure; a sweep compares images per second of training."""
    rows = benchmark(cfg)
    return next(row.images_per_second for row in rows if row.name == "training")


def benchmark(cfg: DictConfig) -> "list[Measurement]":
    """Measure as configured, print a table and write ``benchmark.json``.

    Returns:
        The rows of the table.
    """
    config = checked_config(cfg, Benchmark)
    with faults_in_a_sentence(config["run_dir"]), errors_in_a_sentence():
        from detection.benchmarking.measure import print_table, surroundings

        quieten_lightning()
        rows = _measure(config)
        about = surroundings(config)
    found = {**about, "measurements": [row._asdict() for row in rows]}
    path = Path(config["run_dir"]) / "benchmark.json"
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print_table(rows, about)
    print(f"Kept in {path}")
    return rows


def _measure(config: dict[str, Any]) -> "list[Measurement]":
    import pytorch_lightning as pl
    import torch

    from detection.benchmarking.measure import measure, measure_loader
    from detection.models.backbones.folding import fold_for_good

    warmup, batches = config["warmup"], config["batches"]
    pl.seed_everything(config["seed"], workers=True, verbose=False)
    datamodule, task = make_data_and_task(config)

    rows = [measure_loader(datamodule.train_dataloader(), warmup, batches)]
    rows.append(_steps("training", config, lambda trainer: trainer.fit(task, datamodule=datamodule)))
    rows.append(
        _steps("evaluation", config, lambda trainer: trainer.validate(task, datamodule, verbose=False))
    )

    trainer = _trainer(config, [])
    task = task.to(trainer.strategy.root_device).eval()
    fold_for_good(task)  # as predict and evaluate do
    batch = task.transfer_batch_to_device(next(iter(datamodule.val_dataloader())), task.device, 0)
    with torch.inference_mode(), trainer.precision_plugin.forward_context():
        rows.append(
            measure(
                "inference",
                lambda: task.predict_step(batch),
                warmup,
                batches,
                lambda: len(batch.images),
                task.device,
            )
        )
    return rows


def _steps(name: str, config: dict[str, Any], run: "Callable[[pl.Trainer], object]") -> "Measurement":
    """Let Lightning run a number of batches and take the median of their times."""
    from detection.benchmarking.measure import Measurement, StepTimes, device_memory, host_memory

    times = StepTimes()
    trainer = _trainer(config, [times])
    run(trainer)
    seconds, images = times.seconds[config["warmup"] :], times.images[config["warmup"] :]
    if not seconds:
        raise ValueError(
            f"{name} has {counted(len(times.seconds), 'batch')}, of which {config['warmup']} to warm up: "
            "take more images, a smaller data.batch_size or warmup=1."
        )
    typical, size = sorted(seconds)[len(seconds) // 2], sum(images) / len(images)
    return Measurement(
        name,
        size / typical,
        1000 * typical,
        round(size),
        device_memory(trainer.strategy.root_device),
        host_memory(),
    )


def _trainer(config: dict[str, Any], callbacks: "list[pl.Callback]") -> "pl.Trainer":
    from detection.callbacks.own_signals import keep_own_signals

    count = config["warmup"] + config["batches"]
    if str(config["trainer"]["devices"]) != "1" or config["trainer"]["num_nodes"] != 1:
        raise ValueError("The benchmark measures one device: add trainer.devices=1 trainer.strategy=auto.")
    limited: pl.Trainer = instantiate(
        {**config["trainer"], "max_epochs": -1, "max_steps": count, "limit_val_batches": count},
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=None,
        val_check_interval=10**9,
    )
    keep_own_signals(limited)
    return limited


if __name__ == "__main__":
    run_with_hints(main, "benchmark")
