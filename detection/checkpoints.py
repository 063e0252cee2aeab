"""From a checkpoint to a detector: a checkpoint describes itself, so its path is all that is needed."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.utils import get_object, instantiate

if TYPE_CHECKING:
    from detection.inference import Detector
    from detection.tasks.base import DetectionTask

# What a checkpoint may build: it comes from anywhere, and building is calling.
_TRUSTED = ("detection.", "torch.optim.")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Load a checkpoint's tensors and plain values onto the CPU; nothing in it is executed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint of this project, or holds more than tensors and plain values.
    """
    import torch

    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such checkpoint.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in many ways
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path} cannot be read as a checkpoint: {reason}") from error
    described = checkpoint.get("hyper_parameters") if isinstance(checkpoint, dict) else None
    if not isinstance(described, dict) or not {"model", "data"} <= described.keys():
        raise ValueError(
            f"{path} does not describe a detector. Give a checkpoint that train.py wrote, such as "
            "runs/<name>/<date>/checkpoints/best.ckpt."
        )
    _refuse_foreign_calls(described["model"], path)
    _refuse_foreign_calls(described["data"], path)
    return checkpoint


def load_task(path: str | Path) -> "DetectionTask":
    """Rebuild the task of a checkpoint, with its weights, ready to evaluate on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint of this project.
    """
    checkpoint = read_checkpoint(path)
    described = checkpoint["hyper_parameters"]
    # All weights are in the checkpoint: the backbone's own need not be fetched again.
    backbone = {**described["model"]["backbone"], "weights": None}
    task: DetectionTask = instantiate({**described["model"], "backbone": backbone})
    task.describe(**described)
    task.load_state_dict(checkpoint["state_dict"])
    return task.eval()


def load_detector(path: str | Path, device: str = "cpu") -> "Detector":
    """Make a detector of a checkpoint: images in, boxes out.

    Args:
        path: the checkpoint.
        device: where to run it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint of this project.
    """
    from detection.inference import Detector

    task = load_task(path)
    data = task.hparams["data"]
    return Detector(task.to(device), instantiate(data["eval_transform"])(data["size"]), data["collate"])


def _refuse_foreign_calls(value: Any, path: Path) -> None:
    """Check everything that building the described objects would call."""
    if isinstance(value, dict):
        if "_target_" in value and not _is_trusted(str(value["_target_"])):
            raise ValueError(f"{path} would call {value['_target_']}, which is not part of this project.")
        for child in value.values():
            _refuse_foreign_calls(child, path)
    elif isinstance(value, list):
        for child in value:
            _refuse_foreign_calls(child, path)


def _is_trusted(name: str) -> bool:
    if not name.startswith(_TRUSTED):  # not even imported
        return False
    try:
        target = get_object(name)
    except ImportError:
        return False
    # Where it was defined, not the way that leads to it: detection.data.voc.cv2 is not ours.
    return f"{getattr(target, '__module__', '')}.".startswith(_TRUSTED)
