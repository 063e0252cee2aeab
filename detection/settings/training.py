"""Of the commands that choose data and model by the same words: train, check and benchmark."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from detection.bounds import Least, Positive
from detection.settings.base import Settings


@dataclass(frozen=True, kw_only=True)
class Train(Settings):
    """Of ``train``, and of what chooses data and model by the same words.

    Args:
        name: groups runs in runs/<name>/<date>; the model's name by default
        seed: of weights, sampling and augmentation
        ckpt: resume a run: last, best, a checkpoint, or a run's folder
        init_from: start from the weights of a checkpoint or of a run (its best one), other classes
            welcome; of a shared detector (a folder, hf://user/name, or wandb://entity/project/name:alias);
            or of a published one, such as tensorflow/ssd_mobilenet_v2_coco
        init_reuse: {new class: old class}: with init_from, classes to take from one of another name
        find: look for a setting instead of training: lr, or batch_size (of a device)
        plugins: packages of yours that register classes: plugins=[my_package]
        optimized_metric: what a sweep compares; a choice made by test/map would spoil the test
        optimized_direction: maximize; or minimize, as for val/loss
        run_dir: the folder of the run, runs/<name>/<date> by default
    """

    name: str
    seed: int = 233
    ckpt: str | None = None
    init_from: str | None = None
    init_reuse: dict[str, str] | None = None
    find: Literal["lr", "batch_size"] | None = None
    plugins: Sequence[str] = ()
    optimized_metric: str = "val/map"
    optimized_direction: Literal["maximize", "minimize"] = "maximize"
    run_dir: str


@dataclass(frozen=True, kw_only=True)
class Check(Train):
    """Of ``check``, beside those of ``train``.

    Args:
        min_side: boxes with a side below so many pixels of the file are reported
        workers: threads that decode images
        fail_on: the exit code is 1 where there are errors; with warning, errors or warnings; else 0
        fix: true writes a copy that training takes, in VOC's layout whatever was read, to output, and
            lists what it left out in changes.txt
        output: the folder of that copy, which must not exist yet
        run_dir: the folder to write, runs/check/<date> by default: report.html, one page with pictures
            of what is wrong, classes per split, box sizes and anchors, near-duplicates and the most
            unusual images; report.json with all findings; report.png with the figures
    """

    min_side: Least = 4
    workers: Positive = 4
    fail_on: Literal["error", "warning"] = "error"
    fix: bool = False
    output: str | None = None

    def __post_init__(self) -> None:
        if self.fix and self.output is None:
            raise ValueError("fix=true needs a folder to write the corrected copy to: output=...")
        if self.output is not None and not self.fix:
            raise ValueError(
                f"output={self.output} is for the corrected copy: add fix=true; the report goes to run_dir"
            )
        if self.output_folder is not None and self.output_folder.exists():
            raise ValueError(f"output={self.output_folder} exists already: choose another folder")

    @property
    def output_folder(self) -> Path | None:
        """Where the corrected copy goes; None where none is asked for."""
        return Path(self.output).expanduser() if self.output is not None else None


@dataclass(frozen=True, kw_only=True)
class Benchmark(Train):
    """Of ``benchmark``, beside those of ``train``.

    Args:
        warmup: batches before the clock starts
        batches: batches that count, of each measurement
        run_dir: the folder to write, runs/benchmark/<date> by default: benchmark.json
    """

    warmup: Positive = 5
    batches: Positive = 20
