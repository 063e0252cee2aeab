"""Writes the report of an evaluation into a folder."""

import copy
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from detection.drawing.page import LIGHT, Photo, Picture, Theme, ThemedPicture, render, render_both
from detection.drawing.painter import outcome_marks
from detection.drawing.photos import draw_photo
from detection.drawing.training_curves import PANELS, history_of
from detection.metrics.analysis import Analysis
from detection.metrics.outcomes import outcomes_of_image
from detection.report.curves import most_confused
from detection.report.exports import write_coco_results, write_devkit_results
from detection.report.figures import make_figures
from detection.report.gallery import (
    Shown,
    cell_images,
    choose_images,
    error_tokens,
    error_words,
    make_matrix,
    worst_and_best,
)
from detection.report.page import Page, class_table, defined, plain_metrics, render_page, shown
from detection.system.console import tell
from detection.system.files import read_history
from detection.system.wording import counted
from detection.types import Detections, Sample, Target


class Images(Protocol):
    """A dataset, of which the decoded images are wanted."""

    image_ids: list[str]
    transform: object | None

    @property
    def paths(self) -> list[str]:
        """Their files."""

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
    category_ids: Mapping[str, int]
    """The data's own numbers of its classes, by name; empty but for COCO's."""
    detections: Sequence[Detections]
    """Of each image."""
    targets: Sequence[Target]
    """Of each image."""
    about: dict[str, str]
    """What else the head of the page says, by what it is: model, input size, versions."""
    history: Path | None
    """``metrics.csv`` of the training, where it is known."""
    words_of_data: Sequence[str]
    """The data's own names of the classes, by label: ``aeroplane`` where the detector says ``airplane``."""
    remarks: Sequence[str]
    """What is to be said of the images before their metrics are believed."""


_ON_THE_PAGE = {"errors", "calibration", "recall_by_size"}  # the page draws the other figures itself
_WIDTH = 560  # pixels of an image of the gallery; some 40 kB


def write_report(folder: Path, subject: Subject, analysis: Analysis, num_images: int) -> None:
    """Write all files and print the metrics and where the files are.

    Args:
        folder: where to write; made if it is not there.
        subject: what was evaluated.
        analysis: its metrics.
        num_images: so many of the worst and of the best images are shown, and of those with the most errors
            of each kind.

    Raises:
        ValueError: the names of images or classes do not fit the devkit's files.
    """
    tell(class_table(analysis, subject.class_names))
    tell(f"Evaluated on {subject.data}.")
    folder.mkdir(parents=True, exist_ok=True)
    losses = {name: defined(loss) for name, loss in subject.losses.items()}
    about = {"ckpt": subject.ckpt, "command": subject.command, "data": subject.data, "losses": losses}
    about |= {"about": subject.about, "remarks": list(subject.remarks)}
    metrics = {**about, **plain_metrics(analysis, subject.class_names)}
    # First: the metrics are there whatever becomes of the pictures.
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    inputs = (subject.detections, subject.targets, subject.words_of_data)
    write_devkit_results(folder / "voc", *inputs)
    paths = dict(zip(subject.dataset.image_ids, subject.dataset.paths, strict=True))
    files = [Path(paths[target["image_id"]]).name for target in subject.targets]
    write_coco_results(folder / "coco", *inputs, subject.category_ids, files)
    print("Drawing the report ...", flush=True)
    pictures = _draw_figures(folder / "figures", analysis, subject.class_names)
    confused = most_confused(analysis.confusion, subject.class_names)
    images = cell_images(analysis, confused)
    ids = [target["image_id"] for target in subject.targets]
    page = Page(
        ckpt=subject.ckpt,
        command=subject.command,
        data=subject.data,
        about=subject.about,
        remarks=subject.remarks,
        class_names=subject.class_names,
        losses=subject.losses,
        analysis=analysis,
        pictures=pictures,
        training=_draw_training(subject.history),
        matrix=make_matrix(confused, images, ids),
        gallery=_draw_gallery(folder / "figures", subject, analysis, images, num_images),
    )
    (folder / "report.html").write_text(render_page(page), encoding="utf-8")
    _say_what_there_is(folder)


def _draw_figures(folder: Path, analysis: Analysis, class_names: Sequence[str]) -> dict[str, ThemedPicture]:
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for name, picture in make_figures(analysis, class_names).items():
        if name in _ON_THE_PAGE:
            drawn[name] = render_both(picture)
        light = drawn[name].light if name in drawn else render(picture.draw, picture.size, LIGHT)
        (folder / f"{name}.png").write_bytes(light)
    return drawn


def _draw_training(metrics_csv: Path | None) -> list[ThemedPicture]:
    rows = read_history(metrics_csv) if metrics_csv else []
    if not rows:
        return []
    history = history_of(rows)

    def draw(figure: Figure, theme: Theme, name: str) -> None:
        PANELS[name](figure.add_subplot(), theme, history)

    alts = {name: f"The training: {name.replace('_', ' ')} by epochs and optimizer steps." for name in PANELS}
    return [render_both(Picture(name, (4.8, 3.6), partial(draw, name=name), alts[name])) for name in PANELS]


def _draw_gallery(
    folder: Path, subject: Subject, analysis: Analysis, images: dict[str, list[int]], number: int
) -> list[Shown]:
    """Draw the images of the gallery; the worst and the best are kept as files, too."""
    errors, words = error_tokens(analysis), error_words(analysis, subject.class_names)
    cells: dict[int, list[str]] = {}
    for key, numbers in images.items():
        for image in numbers:
            cells.setdefault(image, []).append(key)
    gallery = {}
    for image in choose_images(analysis, number):
        photo = draw_image(subject, analysis, image)
        tokens = " ".join(errors.get(image, [])), " ".join(cells.get(image, []))
        gallery[image] = Shown(
            photo, *tokens, words.get(image, ""), round(float(analysis.images.f1[image]), 4)
        )
    for name, numbers in zip(("worst", "best"), worst_and_best(analysis.images, number), strict=True):
        for place, image in enumerate(numbers, 1):
            (folder / name).mkdir(parents=True, exist_ok=True)
            photo = gallery[image].photo
            file = folder / name / f"{place:02d}_{Path(photo.name).name}.jpg"
            file.write_bytes(photo.jpeg or b"")
    return list(gallery.values())


def draw_image(subject: Subject, analysis: Analysis, image: int) -> Photo:
    """Draw one image with what became of its boxes.

    Args:
        subject: what was evaluated.
        analysis: its metrics, for the threshold.
        image: its number.
    """
    as_on_disk = copy.copy(subject.dataset)
    as_on_disk.transform = None
    target, image_id = subject.targets[image], subject.targets[image]["image_id"]
    pixels: NDArray[np.uint8] = (
        as_on_disk[subject.dataset.image_ids.index(image_id)].image.permute(1, 2, 0).numpy()
    )
    outcomes = outcomes_of_image(subject.detections[image], target, analysis.threshold)
    jpeg = draw_photo(pixels, outcome_marks(outcomes, subject.class_names), _WIDTH)
    return Photo(jpeg, image_id, _note(analysis, image), f"{image_id} with true and predicted boxes")


def _note(analysis: Analysis, image: int) -> str:
    counts = analysis.images
    false_positives = counted(int(counts.false_positives[image]), "false positive")
    return (
        f"{counts.true_positives[image]} found, {counts.missed[image]} missed, {false_positives} "
        f"(F1 {shown(float(counts.f1[image]))})"
    )


def _say_what_there_is(folder: Path) -> None:
    contents = {
        "report.html": "everything on one page: open it in a browser",
        "metrics.json": "all metrics",
        "figures/": "the pictures of the page",
        "voc/": "comp4_det_test_<class>.txt for the VOC devkit",
        "coco/": "results.json for COCO's evaluators, and ground_truth.json with the same ids",
    }
    tell(
        "\n".join([f"Kept in {folder}:", *(f"  {name:<13} {meaning}" for name, meaning in contents.items())])
    )
