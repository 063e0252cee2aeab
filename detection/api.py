"""The door for programs: ``detection.load("best.ckpt").predict("photo.jpg").show()``."""

from collections.abc import Sequence
from pathlib import Path

from detection.checkpoints import load_detector
from detection.inference import Detector
from detection.registry import load_plugins
from detection.runs import checkpoint_of_run


def load(source: str | Path, device: str = "auto", plugins: Sequence[str] = ()) -> Detector:
    """Open a trained detector.

    Args:
        source: a checkpoint; a run's folder, for its best one; or the name of published weights,
            such as ``tensorflow/ssd_mobilenet_v2_coco``.
        device: ``cpu``, ``cuda``, one GPU such as ``cuda:1``, or ``auto``: a GPU where there is one.
        plugins: packages of yours that register classes which the checkpoint names.

    Raises:
        FileNotFoundError: there is no such file, or the folder has no checkpoint.
        ValueError: it is no checkpoint of this project, or damaged; or there is no such device.
    """
    import torch

    if Path(source).suffix == ".onnx":
        raise ValueError(
            f"{source} is an exported file, which onnxruntime runs without this package (README)."
        )
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device={device}: no GPU can be used here; set device=cpu, or device=auto.")
    load_plugins(plugins)
    path = Path(source).expanduser()
    if path.is_dir():
        found = checkpoint_of_run(str(path))
        if found is None:
            raise FileNotFoundError(
                f"{path} has no checkpoints/best.ckpt: give a run's folder, or a checkpoint."
            )
        path = found
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    return load_detector(path, chosen)
