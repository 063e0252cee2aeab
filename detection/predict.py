"""Find objects in images and videos of one's own: ``python -m detection.predict --help``."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from detection.checkpoints.notes import notes
from detection.cli.compose import checked_config, errors_in_a_sentence
from detection.cli.entry import run_with_hints
from detection.cli.hydra_versions import hydra_main
from detection.cli.run_lock import NAME as LOCK
from detection.cli.run_lock import claim
from detection.settings import Predict
from detection.system.collector import no_collections
from detection.system.endings import end_at_once
from detection.system.files import free_name, make_free_folder

if TYPE_CHECKING:
    from detection.prediction.jobs import Job


@hydra_main("predict")
def main(cfg: DictConfig) -> None:
    """Run as configured.

    Raises:
        SystemExit: with the reason where nothing could be detected, or with 130 after Ctrl-C.
    """
    settings = Predict.of(checked_config(cfg, Predict))
    try:
        with errors_in_a_sentence():
            predict(settings)
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def predict(settings: Predict) -> None:
    """Detect, write and report.

    Args:
        settings: what to do.

    Raises:
        ValueError: the settings do not fit the source or the detector, or nothing could be read.
        OSError: there is no such checkpoint or source, or the output cannot be written.
        SystemExit: another process writes to the output.
        KeyboardInterrupt: Ctrl-C ended it; what was found until then is written.
    """
    # The user's mistakes first: the network takes seconds to load.
    from detection.data.image_sources import ImageFiles, find_source
    from detection.prediction.output import check_output

    source = find_source(settings.source)
    by_clock = settings.output_folder if settings.output is None else None
    settings = replace(settings, output=str(free_name(by_clock) if by_clock else settings.output))
    check_output(settings, source)
    if isinstance(source, ImageFiles):
        job = _job(settings)
        from detection.prediction.jobs import predict_in_images

        with _for_itself(job, by_clock) as claimed:
            predict_in_images(claimed, source)
    else:
        from detection.prediction.capture import Capture

        capture = Capture(source)
        from detection.prediction.tracking import Identities

        identities = Identities(settings.threshold) if settings.track else None
        from detection.prediction.jobs import predict_in_video

        with _for_itself(_job(settings), by_clock) as claimed:
            predict_in_video(claimed, capture, identities)


@contextmanager
def _for_itself(job: "Job", by_clock: Path | None) -> Iterator["Job"]:
    """Keep other processes out of the output; of two that the clock gives one name, the second takes another.

    The folder is made now that the detector is there, and does not stay empty, so that a mistake leaves none.

    Args:
        job: what is to be done.
        by_clock: the name by the clock, where the user has given none.
    """
    from detection.prediction.output import refuse_used

    was_there = job.output.exists()
    folder = make_free_folder(by_clock) if by_clock else job.output
    lock = claim(folder, "output")
    try:
        claimed = replace(job, settings=replace(job.settings, output=str(folder)))
        refuse_used(claimed.settings, but=LOCK)  # by another process, since it was looked at
        yield claimed
    finally:
        if lock is not None:
            lock.release()
        if not was_there:
            with suppress(OSError):  # of a folder that holds something
                folder.rmdir()


@no_collections()
def _job(settings: Predict) -> "Job":
    from detection.checkpoints.loading import load
    from detection.prediction.jobs import Job
    from detection.prediction.selection import Selection, find_labels
    from detection.prediction.trained import TrainedDetector
    from detection.prediction.views import in_views

    detector = load(settings.ckpt, settings.device)
    # Of an exported file its export has said it.
    if isinstance(detector, TrainedDetector) and (told := notes(detector.described, settings.ckpt)):
        print(told)
    select = Selection(settings.threshold, find_labels(settings.classes, detector.class_names))
    detect = in_views(
        detector, detector.input_size, settings.tiles, settings.overlap, settings.flip, settings.batch_size
    )
    return Job(settings, detect, select, detector.class_names)


if __name__ == "__main__":
    run_with_hints(main, "predict")
    end_at_once()
