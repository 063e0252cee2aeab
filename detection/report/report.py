"""Writes the report of an evaluation into a folder."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from detection.drawing.page import Photo, ThemedPicture, render_both
from detection.metrics.analysis import Analysis
from detection.report.exports import write_coco_results, write_devkit_results
from detection.report.figures import make_figures
from detection.report.images import draw_outcome, worst_and_best
from detection.report.page import Page, class_table, plain_metrics, render_page, shown
from detection.system.console import plain_console
from detection.types import Detections, Sample, Target


class Images(Protocol):
    """A dataset, of which the decoded images are wanted."""

    image_ids: list[str]
    transform: object | None

    def __getitem__(self, index: int) -> Sample:
        """One image; without a transform as it is on disk."""


class Subject(NamedTuple):
    """What was evaluated."""

    ckpt: str
    command: str
    data: str
    """Name of the data and of its split."""
    class_names: Sequence[str]
    losses: dict[str, float]
    dataset: Images
    detections: Sequence[Detections]
    """Of each image."""
    targets: Sequence[Target]
    """Of each image."""


def write_report(folder: Path, subject: Subject, analysis: Analysis, num_images: int) -> None:
    """Write all files and print the metrics and where the files are.

    Args:
        folder: where to write; made if it is not there.
        subject: what was evaluated.
        analysis: its metrics.
        num_images: so many of the worst and of the best images are shown.

    Raises:
        ValueError: the names of images or classes do not fit the devkit's files.
    """
    console = plain_console()
    console.print(class_table(analysis, subject.class_names))
    console.print(f"Evaluated on {subject.data}.", highlight=False, markup=False, soft_wrap=True)
    folder.mkdir(parents=True, exist_ok=True)
    about = {"ckpt": subject.ckpt, "command": subject.command, "data": subject.data, "losses": subject.losses}
    metrics = {**about, **plain_metrics(analysis, subject.class_names)}
    # First: the metrics are there whatever becomes of the pictures.
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    inputs = (subject.detections, subject.targets, subject.class_names)
    write_devkit_results(folder / "voc", *inputs)
    write_coco_results(folder / "coco", *inputs)
    print("Drawing the report ...", flush=True)
    pictures = _draw_figures(folder / "figures", analysis, subject.class_names)
    worst, best = worst_and_best(analysis.images, num_images)
    page = Page(
        ckpt=subject.ckpt,
        command=subject.command,
        data=subject.data,
        class_names=subject.class_names,
        losses=subject.losses,
        analysis=analysis,
        pictures=pictures,
        worst=_draw_images(folder / "figures/worst", worst, subject, analysis),
        best=_draw_images(folder / "figures/best", best, subject, analysis),
    )
    (folder / "report.html").write_text(render_page(page), encoding="utf-8")
    _say_what_there_is(console, folder)


def _draw_figures(folder: Path, analysis: Analysis, class_names: Sequence[str]) -> dict[str, ThemedPicture]:
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for name, picture in make_figures(analysis, class_names).items():
        drawn[name] = render_both(picture)
        (folder / f"{name}.png").write_bytes(drawn[name].light)
    return drawn


def _draw_images(folder: Path, numbers: list[int], subject: Subject, analysis: Analysis) -> list[Photo]:
    as_on_disk = copy.copy(subject.dataset)
    as_on_disk.transform = None
    index_of = {image_id: index for index, image_id in enumerate(subject.dataset.image_ids)}
    photos = []
    for place, number in enumerate(numbers, 1):
        target, counts = subject.targets[number], analysis.images
        image_id = target["image_id"]
        pixels: NDArray[np.uint8] = as_on_disk[index_of[image_id]].image.permute(1, 2, 0).numpy()
        jpeg = draw_outcome(
            pixels, subject.detections[number], target, subject.class_names, analysis.threshold
        )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{place:02d}_{Path(image_id).name}.jpg").write_bytes(jpeg)
        false_positives = int(counts.false_positives[number])
        note = (
            f"{counts.true_positives[number]} found, {counts.missed[number]} missed, {false_positives} false "
            f"alarm{'' if false_positives == 1 else 's'} (F1 {shown(float(counts.f1[number]))})"
        )
        photos.append(Photo(jpeg, image_id, note, f"{image_id} with true and predicted boxes"))
    return photos


def _say_what_there_is(console: Console, folder: Path) -> None:
    contents = {
        "report.html": "everything on one page: open it in a browser",
        "metrics.json": "all metrics",
        "figures/": "the pictures of the page",
        "voc/": "comp4_det_test_<class>.txt for the VOC devkit",
        "coco/": "results.json for COCO's evaluators, and ground_truth.json with the same ids",
    }
    console.print(f"Kept in {folder}:", highlight=False, soft_wrap=True)
    for name, meaning in contents.items():
        console.print(f"  {name:<13} {meaning}", highlight=False, soft_wrap=True)
