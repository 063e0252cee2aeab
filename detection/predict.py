"""Find objects in images and videos of one's own: ``python -m detection.predict --help``."""

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from detection.checkpoints.notes import notes
from detection.cli.compose import checked_config, errors_in_a_sentence
from detection.cli.entry import run_with_hints
from detection.cli.hydra_versions import hydra_main
from detection.settings import Predict
from detection.system.collector import no_collections
from detection.system.endings import end_at_once

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
        KeyboardInterrupt: Ctrl-C ended it; what was found until then is written.
    """
    # The user's mistakes first: the network takes seconds to load.
    from detection.data.image_sources import ImageFiles, find_source
    from detection.prediction.output import check_output

    source = find_source(settings.source)
    check_output(settings, source)
    if isinstance(source, ImageFiles):
        job = _job(settings)
        from detection.prediction.jobs import predict_in_images

        predict_in_images(job, source)
    else:
        from detection.prediction.capture import Capture

        capture = Capture(source)
        from detection.prediction.tracking import Identities

        identities = Identities(settings.threshold) if settings.track else None
        from detection.prediction.jobs import predict_in_video

        predict_in_video(_job(settings), capture, identities)


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
