"""From a checkpoint to a detector: a checkpoint describes itself, so its path is all that is needed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hydra.utils import get_object, instantiate

from detection.models.described_anchors import with_anchors_of_format_1

if TYPE_CHECKING:
    from detection.data.datamodule import DetectionDataModule
    from detection.inference import Detector
    from detection.tasks.base import DetectionTask

# What a checkpoint may build: it comes from anywhere, and building is calling. None of these writes a file.
_TRUSTED = ("detection.tasks.", "detection.models.", "detection.data.transforms.", "torch.optim.")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Load a checkpoint's tensors and plain values onto the CPU; nothing in it is executed.

    Args:
        path: the checkpoint, or the name of a detector that torchvision publishes; see ``read_published``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint of this project, or holds more than tensors and plain values.
    """
    import torch

    path = Path(path).expanduser()
    if not path.is_file():
        if str(path).startswith("torchvision/"):
            from detection.published import read_published

            return read_published(str(path))
        raise FileNotFoundError(f"{path}: there is no such checkpoint.")
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in many ways
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path} cannot be read as a checkpoint: {reason}") from error
    described = checkpoint.get("hyper_parameters") if isinstance(checkpoint, dict) else None
    if not isinstance(described, dict) or not {"model", "data"} <= described.keys():
        raise ValueError(
            f"{path} does not describe a detector. Give a checkpoint that train.py wrote, such as "
            "runs/<name>/<date>/checkpoints/best.ckpt."
        )
    described.setdefault("format", 1)  # 0.1 wrote no number
    if described["format"] == 1:
        described["model"] = with_anchors_of_format_1(described["model"])
    _refuse_foreign_calls(described["model"], path)
    _refuse_foreign_calls(described["data"], path)
    return checkpoint


def load_task(path: str | Path) -> "DetectionTask":
    """Rebuild the task of a checkpoint, with its weights, ready to evaluate on the CPU.

    Args:
        path: see ``read_checkpoint``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint of this project, or its weights do not fit what it describes.
    """
    checkpoint = read_checkpoint(path)
    described = checkpoint["hyper_parameters"]
    # All weights are in the checkpoint: the backbone's own need not be fetched again.
    backbone = {**described["model"]["backbone"], "weights": None}
    task: DetectionTask = instantiate({**described["model"], "backbone": backbone})
    task.describe(**described)
    try:
        task.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:  # it lists every tensor, a few are enough
        lines = [line.strip()[:150] for line in str(error).splitlines()[1:4]]
        raise ValueError(f"The weights of {path} are of another network: {' '.join(lines)}") from error
    return task.eval()


def load_detector(path: str | Path, device: str = "cpu") -> "Detector":
    """Make a detector of a checkpoint: images in, boxes out.

    Args:
        path: see ``read_checkpoint``.
        device: where to run it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint of this project.
    """
    from detection.inference import Detector

    task = load_task(path)
    data = task.hparams["data"]
    return Detector(task.to(device), instantiate(data["eval_transform"])(data["size"]), data["collate"])


def with_inputs_of(task: "DetectionTask", data: dict[str, Any]) -> dict[str, Any]:
    """Complete the configuration of a datamodule, so that images become inputs as in the task's training.

    Args:
        task: of a checkpoint.
        data: the configuration of the datamodule.

    Returns:
        The configuration with the size, the transform and the collation of the task; no split is augmented.
    """
    inputs = task.hparams["data"]
    return {**data, **inputs, "train_transform": inputs["eval_transform"]}


def open_split(
    datamodule: "DetectionDataModule",
    split: Literal["train", "val", "test"],
    class_names: Sequence[str],
    ckpt: str | Path,
) -> None:
    """Read one split alone, with the classes of a checkpoint; it is then among the datamodule's datasets.

    Args:
        datamodule: where the images come from.
        split: what to read.
        class_names: the classes of the checkpoint, in label order. The data may lack some of them.
        ckpt: the checkpoint's path, for the message.

    Raises:
        ValueError: the data has classes that the checkpoint does not know.
    """
    transform = datamodule.eval_transform(datamodule.size)
    dataset = datamodule.make_dataset(split, None, transform)
    known = {name.casefold() for name in class_names}
    unknown = [name for name in dataset.classes if name.casefold() not in known]
    skipping = getattr(datamodule, "other_classes", None) == "skip"
    if unknown and not skipping:
        raise ValueError(
            f"{ckpt} knows the classes {', '.join(class_names)}; the data also has {', '.join(unknown)}. "
            "Choose the data that belongs to the checkpoint (data=..., data.root=...), or leave out objects "
            "of other classes (data.other_classes=skip)."
        )
    if list(dataset.classes) != list(class_names):
        dataset = datamodule.make_dataset(split, class_names, transform)
    if list(dataset.classes) != list(class_names):  # a source whose classes are fixed
        raise ValueError(
            f"{ckpt} knows the classes {', '.join(class_names)}; those of the data are fixed, and others or "
            f"in another order: {', '.join(dataset.classes)}."
        )
    datamodule.class_names = list(class_names)
    datamodule.datasets[split] = dataset


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
    elif isinstance(value, str) and "${" in value:  # which Hydra would look up, in the environment for one
        raise ValueError(f"{path} would look up {value}; a description holds plain values.")


def _is_trusted(name: str) -> bool:
    if not name.startswith(_TRUSTED):  # not even imported
        return False
    try:
        target = get_object(name)
    except ImportError:
        return False
    # Where it was defined, not the way that leads to it: detection.data.voc.cv2 is not ours.
    return f"{getattr(target, '__module__', '')}.".startswith(_TRUSTED)
