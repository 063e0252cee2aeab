"""What few images are worth: SSD fine-tuned from COCO, from ImageNet, and torchvision's SSD from ImageNet.

    python -m benchmarks.training.few_images data.root=~/datasets seeds=0 trainer=cpu data.num_workers=0 \
        coco=tensorflow/ssd_mobilenet_v2_coco imagenet=mobilenet_v2.pth

``data.root`` has VOC 2007. So many images of ``train`` are drawn of each class as ``sizes=10,30,100`` says,
by the seed, or all where there are fewer; all of ``val`` tests. The three train for as many epochs as
``experiment=finetune`` takes for the number of images, ``epochs_times=1`` times; every other word is an
override for all. ``starts=coco,imagenet,torchvision`` chooses among them. What ``runs/few_images.json`` has
already is not measured again.
"""

import itertools
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.training.against_torchvision import theirs
from benchmarks.training.run import train_one
from detection.checkpoints.init_from import take_weights
from detection.checkpoints.loading import load_task
from detection.data.formats.voc_folder import read_voc
from detection.tasks.base import DetectionTask
from detection.tasks.run_length import epochs_for

RESULTS = Path("runs/few_images.json")
PICTURE = Path("docs/images/few_images.png")
STARTS = {
    "coco": "SSD, fine-tuned from COCO",
    "imagenet": "SSD, from ImageNet",
    "torchvision": "torchvision's SSD, from ImageNet",
}
COLOURS = ("#0072b2", "#d55e00", "#7a7a7a")
IMAGENET = ["experiment=ssd_300_mobilenet_v2_voc07"]


def draw_images(root: Path, per_class: int, seed: int) -> list[str]:
    """Draw images of VOC 2007 train: so many of each class, where one may stand for several.

    Args:
        root: what holds ``VOCdevkit``.
        per_class: images.
        seed: of the draw.
    """
    showing: dict[str, set[str]] = defaultdict(set)
    for record in read_voc(root, [(2007, "train")]).records:
        for item in record.objects:
            showing[item.name].add(Path(record.image_id).name)
    draw = random.Random(seed)
    drawn = (
        draw.sample(sorted(showing[name]), k=min(per_class, len(showing[name]))) for name in sorted(showing)
    )
    return sorted({image for images in drawn for image in images})


def make_set(root: Path, folder: Path, images: list[str]) -> Path:
    """Make a devkit that trains on these images and tests on all of val, with the files of ``root``."""
    source, voc = root / "VOCdevkit/VOC2007", folder / "VOCdevkit/VOC2007"
    lists = voc / "ImageSets/Main"
    lists.mkdir(parents=True, exist_ok=True)
    for name in ("Annotations", "JPEGImages"):
        if not (voc / name).exists():
            (voc / name).symlink_to((source / name).resolve())
    (lists / "val.txt").write_text((source / "ImageSets/Main/val.txt").read_text())
    (lists / "train.txt").write_text("".join(f"{image}\n" for image in images))
    return folder


def from_coco(task: DetectionTask, config: dict[str, Any]) -> DetectionTask:
    """Take the weights that ``init_from`` names."""
    take_weights(task, config["model"], load_task(config["init_from"]), config["init_from"])
    return task


def main(words: list[str]) -> None:
    """Train what is not measured yet, then draw."""
    given = dict(word.split("=", 1) for word in words)
    root = Path(given.pop("data.root")).expanduser()
    coco, imagenet = given.pop("coco"), given.pop("imagenet")
    sizes, seeds = (given.pop(key, all_).split(",") for key, all_ in (("sizes", "10,30,100"), ("seeds", "0")))
    times, wanted = float(given.pop("epochs_times", "1")), given.pop("starts", ",".join(STARTS)).split(",")
    from_imagenet = [*IMAGENET, f"model.backbone.weights={imagenet}"]
    starts: dict[str, tuple[list[str], Any]] = {
        "coco": (["experiment=finetune", "data=voc07", f"init_from={coco}"], from_coco),
        "imagenet": (from_imagenet, None),
        "torchvision": (from_imagenet, theirs),
    }
    rows: dict[str, dict[str, float]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for seed, start, per_class in itertools.product(seeds, wanted, sizes):
        key = f"{start}, {per_class} of each class, seed {seed}, {times:g} times the epochs"
        if key in rows:
            continue
        images = draw_images(root, int(per_class), int(seed))
        own_root = make_set(root, Path(f"runs/few_images/{per_class}_{seed}"), images)
        overrides, replace = starts[start]
        length = [f"trainer.max_epochs={round(times * epochs_for(len(images)))}", f"data.root={own_root}"]
        others = [f"{name}={value}" for name, value in given.items()]
        began = time.process_time()
        row = train_one([*overrides, *length, *others], int(seed), replace)
        used = (time.process_time() - began) / 60
        rows[key] = {**row, "images": len(images), "processor_minutes": used}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(rows, indent=2) + "\n")
        print(f"{key}: {rows[key]}", flush=True)
    draw_curves(rows, PICTURE)


def draw_curves(rows: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Draw mAP by the number of images of each class, a line for each start, with every seed as a point.

    Args:
        rows: the results, by ``start, N of each class, ...``.
        path: of the picture.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    ax = figure.subplots()
    for (start, name), colour in zip(STARTS.items(), COLOURS, strict=True):
        points: dict[int, list[float]] = defaultdict(list)
        for key, row in rows.items():
            if key.startswith(f"{start}, "):
                points[int(key.split(", ")[1].split()[0])].append(100 * row["map_07"])
        at = sorted(points)
        ax.plot(at, [sum(points[n]) / len(points[n]) for n in at], color=colour, marker="o", label=name)
        for n in at:
            ax.plot([n] * len(points[n]), points[n], color=colour, marker=".", linestyle="none")
    ax.set_xscale("log")
    ax.set_xticks(at, [str(n) for n in at])
    ax.minorticks_off()
    ax.set_xlabel("training images of each class")
    ax.set_ylabel("mAP on VOC 2007 val, 11 points")
    ax.set_ylim(0, 100)
    ax.grid(alpha=0.3)
    ax.legend(loc="upper left", frameon=False, fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main(sys.argv[1:])
