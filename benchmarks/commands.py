"""Commands in processes of their own, and what they work on: a checkpoint, photographs in VOC's layout."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from hydra import compose

from benchmarks.pictures import photographs
from detection.cli.compose import checked_config, inference_config, model_config
from detection.cli.hydra_versions import configurations, instantiate
from detection.data.formats.records import ImageRecord

ROOT = Path(__file__).parents[1]


def run(arguments: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own, in the project's folder.

    Args:
        arguments: of Python.
        environment: what to set besides.
    """
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def write_checkpoint(folder: Path, experiment: str, classes: Sequence[str]) -> Path:
    """Write the detector of a recipe, untrained.

    Args:
        folder: where to.
        experiment: of ``conf/experiment``.
        classes: their names.
    """
    with configurations():
        words = [f"experiment={experiment}", "model.backbone.weights=null", "run_dir=/nowhere", "name=x"]
        config = checked_config(compose("train", overrides=words))
    torch.manual_seed(0)
    model = model_config(config, list(classes), None)
    task = instantiate(model)
    task.describe(model=model, data=inference_config(config["data"]))
    path = folder / f"{experiment}.ckpt"
    torch.save({"state_dict": task.state_dict(), "hyper_parameters": dict(task.hparams)}, path)
    return path


def write_devkit(folder: Path, count: int, different: int) -> Path:
    """Write photographs in VOC's layout, the same ones in its lists ``train`` and ``val``.

    Args:
        folder: where ``VOCdevkit`` is made.
        count: photographs.
        different: so many of them are drawn, the others are copies, which take as long to read.

    Returns:
        The folder of the JPEGs.
    """
    voc = folder / "VOCdevkit/VOC2007"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (voc / name).mkdir(parents=True)
    names = [f"{number:06}" for number in range(count)]
    with photographs(different) as records:
        for number, name in enumerate(names):
            record = records[number % different]
            shutil.copy(record.path, voc / f"JPEGImages/{name}.jpg")
            (voc / f"Annotations/{name}.xml").write_text(_annotation(record, name))
    for split in ("train", "val"):
        (voc / f"ImageSets/Main/{split}.txt").write_text("\n".join(names) + "\n")
    return voc / "JPEGImages"


def _annotation(record: ImageRecord, name: str) -> str:
    height, width = record.size
    objects = ""
    for item in record.objects:
        xmin, ymin, xmax, ymax = map(int, item.box)
        corners = {"xmin": xmin + 1, "ymin": ymin + 1, "xmax": xmax, "ymax": ymax}  # VOC's, from 1 on
        box = "".join(f"<{key}>{value}</{key}>" for key, value in corners.items())
        objects += f"<object><name>{item.name}</name><difficult>0</difficult><bndbox>{box}</bndbox></object>"
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation><filename>{name}.jpg</filename>{size}{objects}</annotation>"
