"""Train a detector and test its best checkpoint: ``python train.py --help``."""

import hydra
from hydra.utils import instantiate
from omegaconf import DictConfig

from detection.cli import (
    checked_config,
    errors_in_a_sentence,
    inference_config,
    quieten_lightning,
    run_with_hints,
    save_config,
)


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float:
    """Run one job; a sweep compares the figure it returns."""
    figures = train(cfg)
    if cfg.optimized_metric not in figures:
        raise KeyError(f"optimized_metric={cfg.optimized_metric} is none of {', '.join(sorted(figures))}")
    return figures[cfg.optimized_metric]


def train(cfg: DictConfig) -> dict[str, float]:
    """Train, validate and test as configured.

    Returns:
        The final figures, ``test/map`` among them; the run's folder holds them as ``metrics.json``.
    """
    config = checked_config(cfg)
    with errors_in_a_sentence():
        # Heavy imports wait until there is something to do: --help and typing errors answer at once.
        import pytorch_lightning as pl

        quieten_lightning()
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
        datamodule = instantiate(config["data"])
        datamodule.prepare_data()
        datamodule.setup()

        model_config = {**config["model"], "class_names": datamodule.class_names}
        task = instantiate(model_config)
        task.describe(model=model_config, data=inference_config(config["data"]))
        if datamodule.targets_in_workers:
            datamodule.assign = task.assigner(datamodule.size)

    trainer: pl.Trainer = instantiate(
        config["trainer"],
        callbacks=[instantiate(callback) for callback in config["callbacks"].values()],
        logger=[instantiate(logger) for logger in config["logger"].values()],
    )
    save_config(config, cfg.run_dir, trainer)
    trainer.fit(task, datamodule=datamodule)
    trainer.test(task, datamodule=datamodule, ckpt_path="best", verbose=False)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


if __name__ == "__main__":
    run_with_hints(main)
