"""One prediction from its settings to its files: reading runs ahead, pictures are written behind."""

import os
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detection.data.image_files import ImageError, decode_image
from detection.data.image_sources import MARK, ImageFile, ImageFiles
from detection.prediction.capture import Capture
from detection.prediction.frames import FrameRecord
from detection.prediction.output import SETS, picture_path, video_path
from detection.prediction.selection import Selection
from detection.prediction.tracking import Identities
from detection.prediction.uncertainty import expected_mistakes, write_uncertain
from detection.prediction.video import predict_video, prefetched
from detection.prediction.views import InViews
from detection.prediction.writing import (
    Result,
    Skipped,
    image_row,
    print_report,
    save_picture,
    write_json,
)
from detection.settings import Predict
from detection.system.processes import command
from detection.system.progress import Tracker
from detection.system.wording import counted, escaped, some_of, wrong_file_name
from detection.types import Detections

Images = Sequence[NDArray[np.uint8]]
_THREADS = min(8, os.cpu_count() or 1)


class Findings(NamedTuple):
    """What was found in many images."""

    results: list[Result]
    skipped: list[Skipped]
    seconds: float
    interrupted: bool
    """Whether Ctrl-C ended it before the last image."""


def predict_images(
    detect: Callable[[Images], list[Detections]],
    select: Selection,
    files: Sequence[ImageFile],
    batch_size: int,
    pictures: Path | None,
    class_names: Sequence[str],
) -> Findings:
    """Detect in image files. What cannot be read is skipped and named.

    Args:
        detect: from a batch of ``(H, W, 3)`` RGB images to their detections.
        select: which of them to keep.
        files: what to read.
        batch_size: images in one call of ``detect``.
        pictures: the output folder, where pictures with boxes are written; None writes none.
        class_names: names by label.
    """
    results: list[Result] = []
    skipped: list[Skipped] = []
    batches = [files[first : first + batch_size] for first in range(0, len(files), batch_size)]
    interrupted = False
    with Tracker("images", len(files)) as progress, ThreadPoolExecutor(_THREADS) as pool:
        writing: list[Future[None]] = []
        try:
            with closing(prefetched(list(pool.map(_read, batch)) for batch in batches)) as loaded:
                for batch, contents in zip(batches, loaded, strict=True):
                    images = [content for content in contents if not isinstance(content, str)]
                    found = iter(detect(images) if images else [])
                    _finish(writing)  # pictures of the batch before: no more than three batches are in memory
                    for file, content in zip(batch, contents, strict=True):
                        if isinstance(content, str):
                            skipped.append(Skipped(escaped(file.name), content))
                            continue
                        height, width = content.shape[:2]
                        everything = next(found)
                        mistakes = expected_mistakes(everything, select.labels)
                        result = Result(file, (height, width), select(everything), mistakes)
                        results.append(result)
                        if pictures is not None:
                            path = picture_path(pictures, file.name)
                            writing.append(
                                pool.submit(save_picture, path, content, result.detections, class_names)
                            )
                    progress.advance(len(batch))
        except KeyboardInterrupt:
            interrupted = True
        _finish(writing)
        return Findings(results, skipped, progress.seconds, interrupted)


def _read(file: ImageFile) -> NDArray[np.uint8] | str:
    """The image, or why it cannot be read."""
    if wrong := wrong_file_name(file.name):
        return wrong
    try:
        return decode_image(file.path, upright=True)
    except ImageError as error:
        return error.reason


def _finish(writing: list[Future[None]]) -> None:
    for future in writing:
        future.result()
    writing.clear()


_COMPLETE = 0.95  # of the frames that a header announces: those of good files may be off by a few


@dataclass(frozen=True)
class Job:
    """A detector, and what to do with it.

    Args:
        settings: what to do.
        detector: from ``(H, W, 3)`` RGB images to their detections.
        select: which of them to keep.
        class_names: names by label.
    """

    settings: Predict
    detector: Callable[[Sequence[NDArray[np.uint8]]], list[Detections]]
    select: Selection
    class_names: Sequence[str]

    @property
    def output(self) -> Path:
        """The folder to write."""
        return self.settings.output_folder

    def saves(self, product: str) -> bool:
        """Say whether a product is to be written."""
        return product in self.settings.save

    @property
    def images_at_once(self) -> int:
        """Images that are read together: one, if there are tiles, which fill the batch."""
        return 1 if self.settings.tiles is not None else self.settings.batch_size

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Detect in a batch of images, and keep what was asked for."""
        return [self.select(found) for found in self.detector(images)]

    def header(self) -> dict[str, Any]:
        """What a file of results says about where they come from."""
        return {
            "checkpoint": str(self.settings.ckpt),
            "source": str(self.settings.source),
            "threshold": self.settings.threshold,
            "classes": list(self.class_names),
        }


def predict_in_images(job: Job, source: ImageFiles) -> None:
    """Detect in image files, write what was asked for, and report.

    Args:
        job: what to do.
        source: the images.

    Raises:
        ValueError: not one could be read.
        KeyboardInterrupt: Ctrl-C ended it; what was found until then is written.
    """
    pictures, drawn = job.output if job.saves("images") else None, job.output / "images"
    is_own = pictures is not None and not drawn.exists()
    findings = predict_images(
        job.detector, job.select, source.files, job.images_at_once, pictures, job.class_names
    )
    if is_own and drawn.exists():
        (drawn / MARK).touch()
    if findings.skipped and not findings.results and not findings.interrupted:
        reasons = "\n".join(f"  {name}: {reason}" for name, reason in findings.skipped[:10])
        raise ValueError(f"None of {counted(len(source.files), 'image')} could be read:\n{reasons}")
    _write_image_results(job, findings)
    count = len(findings.results)
    print_report(
        _pace(count, "image", findings.seconds),
        Counter(
            job.class_names[label]
            for result in findings.results
            for label in result.detections["labels"].tolist()
        ),
        findings.skipped,
        job.output,
        job.settings.threshold,
    )
    if isinstance(job.detector, InViews) and job.settings.tiles is not None and not job.detector.cut:
        height, width = job.detector.input_size
        what = f"the network's input, {height} x {width}" if job.settings.tiles == "auto" else "a tile"
        print(f"No image is larger than {what}: each was looked at as a whole, as without tiles=.")
    if source.drawn:
        left_out = escaped(some_of([str(path) for path in source.drawn]))
        print(f"Left out, written by an earlier prediction: {left_out}.")
    if source.num_videos:
        print(f"{counted(source.num_videos, 'video')} left out: give each as a source of its own.")
    if findings.interrupted:
        print(f"Stopped after {count + len(findings.skipped)} of {counted(len(source.files), 'image')}.")
        raise KeyboardInterrupt


def predict_in_video(job: Job, capture: Capture, identities: Identities | None = None) -> None:
    """Detect in a video or a webcam, write what was asked for, and report.

    Args:
        job: what to do.
        capture: the opened video or webcam; it is closed.
        identities: follows objects from frame to frame; None for detections alone.

    Raises:
        ValueError: it has no frame.
        KeyboardInterrupt: Ctrl-C ended a file before its end; what was found until then is written.
    """
    if capture.live:
        print("Ctrl-C ends the recording.", flush=True)
    video = video_path(job.output, capture.source) if job.saves("video") else None
    if identities:
        job = replace(job, select=identities.wants(job.select))
    path = job.output / "detections.json" if job.saves("json") else None
    with closing(FrameRecord(path, {**job.header(), "fps": capture.fps}, job.class_names)) as record:
        findings = predict_video(
            job.detect, capture, job.images_at_once, video, job.class_names, record.add, identities
        )
    count = record.count
    if not count and not findings.interrupted:
        raise ValueError(f"source={job.settings.source} has no frame that can be read.")
    followed = f", {counted(identities.count, 'object')} followed" if identities else ""
    what, threshold = _pace(count, "frame", findings.seconds) + followed, job.settings.threshold
    print_report(what, record.by_class, [], job.output, threshold)
    if findings.interrupted and not capture.live:
        print(f"Stopped after {counted(count, 'frame')}.")
        raise KeyboardInterrupt
    # Where frames come at irregular times, a count made of a length and a rate is too high: the end tells.
    reached = record.seconds * capture.fps + 1
    if capture.count and max(count, reached) < _COMPLETE * capture.count:
        print(f"Only {count} of {counted(capture.count, 'frame')} could be read: the file may be damaged.")


def _write_image_results(job: Job, findings: Findings) -> None:
    results, names = findings.results, job.class_names
    if job.saves("json"):
        rows = [image_row(result, names) for result in results]
        skipped = [{"file": name, "reason": reason} for name, reason in findings.skipped]
        write_json(job.output / "detections.json", {**job.header(), "images": rows, "skipped": skipped})
    for kind in (kind for kind in SETS if job.saves(kind) and results):
        from detection.prediction.annotation_sets import write_set

        root, too_small = write_set(kind, job.output, results, names, job.settings.link)
        words = [*command("check"), "data=auto", f"data.root={root}"]
        without = f", without {counted(too_small, 'box')} of less than a pixel" if too_small else ""
        print(f"What was found as a set{without}: {shlex.join(words)}")
    if job.settings.uncertain:
        write_uncertain(job.output, results, job.settings.uncertain, job.detector, job.select.labels, names)


def _pace(count: int, unit: str, seconds: float) -> str:
    speed = f"{count / max(seconds, 1e-6):.1f} {unit}s/s"
    return f"{counted(count, unit)} in {seconds:.1f} s ({speed})"
