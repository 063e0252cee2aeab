"""Train a detector and test its best checkpoint: ``python train.py --help``."""

import math
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from detection.checkpoints.init_from import check_that_it_can_be_opened, first_weights, make_task
from detection.checkpoints.kept_split import (
    described_split,
    keep_split,
    learned_and_judged,
    learned_before,
    split_to_keep,
    write_split,
)
from detection.checkpoints.measured import chosen_anew
from detection.checkpoints.resume import (
    changes_since,
    describe_training,
    keep_anchors,
    read_origin,
    refuse_another_network,
)
from detection.cli.compose import (
    checked_config,
    errors_in_a_sentence,
    inference_config,
    lr_scale,
    make_trainer,
    model_config,
    save_config,
)
from detection.cli.corrections import is_written
from detection.cli.entry import run_with_hints
from detection.cli.faults import faults_in_a_sentence, quieten_lightning
from detection.cli.hydra_versions import hydra_main, instantiate
from detection.cli.monitors import check_averages, check_best, check_monitors
from detection.cli.run_lines import next_commands, opening
from detection.cli.words import tell_readings
from detection.settings import Train
from detection.sweeps.job import error_noted, in_sweep, note_found, note_words, run_job
from detection.system.collector import no_collections
from detection.system.console import tell, told_if_slow
from detection.tasks.run_length import choose_length

if TYPE_CHECKING:
    from pathlib import Path

    import pytorch_lightning as pl

    from detection.data.datamodule import DetectionDataModule
    from detection.tasks.base import DetectionTask


@hydra_main("train")
def main(cfg: DictConfig) -> float:
    """Run one job; a sweep compares the metric it returns."""
    if in_sweep():
        tell_readings()
        return run_job(cfg.optimized_metric, bool(cfg.find))
    with error_noted(cfg.run_dir):
        metrics = train(cfg)
        if cfg.find:
            return next(iter(metrics.values()))
    # A run that resumes when all its epochs are done, in another folder, is tested but not validated.
    return metrics.get(cfg.optimized_metric, math.nan)


def train(cfg: DictConfig) -> dict[str, float]:
    """Train, validate and test as configured.

    Returns:
        The final metrics, ``test/map`` among them; the run's folder holds them as ``metrics.json``. With
        ``find``, the setting that was found, by its key; the folder holds it as ``found.json``.
    """
    # Signatures are looked at, which imports.
    with told_if_slow("Loading PyTorch and Lightning ..."), no_collections():
        config = checked_config(cfg, Train)
    with faults_in_a_sentence(cfg.run_dir), errors_in_a_sentence():
        with no_collections():
            # Heavy imports wait until there is something to do: --help and typing errors answer at once.
            import pytorch_lightning as pl

            from detection.callbacks.summary import best_checkpoint, final_metrics
            from detection.loggers.tracker import closing_trackers

            quieten_lightning()
            pl.seed_everything(cfg.seed, workers=True, verbose=False)
            trainer, datamodule, task, checkpoint = _prepare(config)
        if cfg.find:
            from detection.tasks.tuning import find

            scale = lr_scale(config, datamodule.images_per_step)
            found = find(cfg.find, trainer, task, datamodule, cfg.run_dir, scale)
            note_found(found, cfg.run_dir)
            return found

    with closing_trackers(trainer.loggers, cfg.run_dir):
        with errors_in_a_sentence():
            save_config(config, cfg.run_dir, trainer)
            write_split(datamodule, cfg.run_dir, trainer.is_global_zero)
            if trainer.is_global_zero:
                note_words(cfg.run_dir)
        with faults_in_a_sentence(cfg.run_dir):
            trainer.fit(task, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True)
            best = best_checkpoint(trainer)
            trainer.test(task, datamodule=datamodule, ckpt_path=best, verbose=False, weights_only=True)
    if best is not None and trainer.is_global_zero and not in_sweep():
        tell(next_commands(best, config))
    return final_metrics(trainer)


def _prepare(
    config: dict[str, Any],
) -> "tuple[pl.Trainer, DetectionDataModule, DetectionTask, Path | None]":
    """Make trainer, data and task, find what to resume from, and tell about them."""
    from detection.callbacks.wise_ft import FIRST_WEIGHTS
    from detection.data.shared_memory import check_shared_memory

    check_averages(config["callbacks"], bool(config["init_from"] or config["ckpt"]))
    if not config["find"]:
        check_best(config["callbacks"])
    # Names that nobody registered are told before the data is prepared; its classes are not known yet.
    check_that_it_can_be_opened(model_config(config, ["object"], None), config["data"])
    trainer = make_trainer(config)
    origin = read_origin(config)
    if origin is not None:
        refuse_another_network(origin, model_config(config, origin.class_names, None))
        config = {**config, "ckpt": config["ckpt"] or str(origin.path)}  # of a job that is started again
    datamodule: DetectionDataModule = instantiate(config["data"])
    costly = is_written(config["data"])
    first = first_weights(config) if costly else None
    datamodule.prepare_data()
    kept = keep_split(datamodule, split_to_keep(config, origin))
    datamodule.setup()
    first = first if costly else first_weights(config)  # which may be a download in vain
    length = choose_length(config, trainer, len(datamodule.datasets["train"]))
    step = datamodule.divide_among(trainer.world_size, trainer.accumulate_grad_batches)
    check_shared_memory(datamodule, trainer.world_size // trainer.num_nodes)
    model = model_config(config, datamodule.class_names, datamodule.images_per_step)
    model, anchors = keep_anchors(model, origin) if origin else (model, "")
    task, weights = make_task(model, config, first)
    _check_inputs(task, datamodule)
    task.check_device(trainer.strategy.root_device.type)
    started_from = task.started_from or (origin and origin.checkpoint.get(FIRST_WEIGHTS))
    check_averages(config["callbacks"], bool(started_from))
    if not config["find"]:
        during = [*task.metric_names("val"), *task.metric_names("train")]
        check_monitors(config, during, task.metric_names("test"))
    training = describe_training(config, datamodule)
    inputs, images = inference_config(config["data"]), described_split(datamodule, kept)
    task.describe(model=model, data=inputs, training=training, **images)
    if datamodule.targets_in_workers:
        datamodule.assign = task.assigner(datamodule.size)
    changes = changes_since(origin, config, model, training) if origin else ""
    anew = chosen_anew(origin.checkpoint, config["trainer"], model, inputs, training) if origin else ""
    task.best_is_chosen_anew = bool(anew)
    learned = ""
    if trainer.is_global_zero:  # which tells it: the others need not look at the files
        learned = "\n".join([*learned_and_judged(datamodule), *learned_before(datamodule, kept)])
    begins = opening(config, trainer, datamodule, task, step, length)
    for told in (weights, changes, anew, anchors, learned, begins):
        if told and trainer.is_global_zero:
            tell(told)
    return trainer, datamodule, task, origin.path if origin else None


def _check_inputs(task: "DetectionTask", datamodule: "DetectionDataModule") -> None:
    """Refuse sizes of inputs that do not fit the network, before memory is taken for them."""
    from detection.data.varied import input_sizes

    sizes = input_sizes(datamodule.datasets["train"].transform, datamodule.size)
    for size in sizes if datamodule.size in sizes else [datamodule.size, *sizes]:
        task.check_inputs(size, datamodule.collate)
    if sizes != [datamodule.size] and datamodule.targets_in_workers and datamodule.collate == "padded":
        raise ValueError(
            "data.targets_in_workers=true assigns SSD's targets for inputs of one size, and "
            "data.train_transform.sizes draws them: leave one of the two out."
        )


if __name__ == "__main__":
    run_with_hints(main)
