"""One prediction from its settings to its files and its last line."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.data.image_sources import ImageFiles
from detection.prediction.capture import Capture
from detection.prediction.images import Findings, predict_images
from detection.prediction.output import video_path
from detection.prediction.report import print_report
from detection.prediction.selection import Selection
from detection.prediction.settings import Settings
from detection.prediction.video import predict_video
from detection.prediction.writing import (
    described,
    image_row,
    write_coco,
    write_json,
    write_voc_annotations,
)
from detection.types import Detections

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

    settings: Settings
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
    pictures = job.output if job.saves("images") else None
    findings = predict_images(job.detect, source.files, job.settings.batch_size, pictures, job.class_names)
    if findings.skipped and not findings.results and not findings.interrupted:
        reasons = "\n".join(f"  {name}: {reason}" for name, reason in findings.skipped[:10])
        raise ValueError(f"None of {len(source.files)} images could be read:\n{reasons}")
    _write_image_results(job, findings)
    count = len(findings.results)
    print_report(
        _pace(count, "image", findings.seconds),
        (result.detections for result in findings.results),
        job.class_names,
        findings.skipped,
        job.output,
    )
    if findings.interrupted:
        print(f"Stopped after {count + len(findings.skipped)} of {len(source.files)} images.")
        raise KeyboardInterrupt


def predict_in_video(job: Job, capture: Capture) -> None:
    """Detect in a video or a webcam, write what was asked for, and report.

    Args:
        job: what to do.
        capture: the opened video or webcam; it is closed.

    Raises:
        ValueError: it has no frame.
        KeyboardInterrupt: Ctrl-C ended a file before its end; what was found until then is written.
    """
    if capture.live:
        print("Ctrl-C ends the recording.", flush=True)
    video = video_path(job.output, capture.source) if job.saves("video") else None
    findings = predict_video(job.detect, capture, job.settings.batch_size, video, job.class_names)
    count = len(findings.frames)
    if not count and not findings.interrupted:
        raise ValueError(f"source={job.settings.source} has no frame that can be read.")
    if job.saves("json"):
        rows = [
            {"frame": i, "seconds": round(seconds, 4), "detections": described(found, job.class_names)}
            for i, (seconds, found) in enumerate(findings.frames)
        ]
        height, width = findings.size
        about = {**job.header(), "fps": capture.fps, "width": width, "height": height}
        write_json(job.output / "detections.json", {**about, "frames": rows})
    print_report(
        _pace(count, "frame", findings.seconds),
        (frame.detections for frame in findings.frames),
        job.class_names,
        [],
        job.output,
    )
    if findings.interrupted and not capture.live:
        print(f"Stopped after {count} frames.")
        raise KeyboardInterrupt
    if capture.count and count < _COMPLETE * capture.count:
        print(f"Only {count} of {capture.count} frames could be read: the file may be damaged.")


def _write_image_results(job: Job, findings: Findings) -> None:
    results, names = findings.results, job.class_names
    if job.saves("json"):
        rows = [image_row(result, names) for result in results]
        skipped = [{"file": name, "reason": reason} for name, reason in findings.skipped]
        write_json(job.output / "detections.json", {**job.header(), "images": rows, "skipped": skipped})
    if job.saves("voc"):
        write_voc_annotations(job.output, results, names)
    if job.saves("coco"):
        write_coco(job.output / "coco.json", results, names)


def _pace(count: int, unit: str, seconds: float) -> str:
    speed = f"{count / max(seconds, 1e-6):.1f} {unit}s/s"
    return f"{count} {unit}{'s' * (count != 1)} in {seconds:.1f} s ({speed})"
