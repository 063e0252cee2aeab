"""From a checkpoint to a detector: a checkpoint describes itself, so its path is all that is needed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from detection.checkpoints.description import (
    DATA_KEYS,
    DescriptionError,
    check_description,
    check_inputs,
)
from detection.checkpoints.runs import checkpoint_of_run
from detection.checkpoints.shared import is_address, is_shared, read_address, read_shared
from detection.checkpoints.tensors import (
    buildable,
    compare_weights,
    kinds_of_floats,
    of_another_network,
    read_file,
    refuse_odd_tensors,
)
from detection.checkpoints.wandb_artifacts import fetch_artifact, is_artifact
from detection.models.described_anchors import with_anchors_of_format_1
from detection.models.synonyms import in_words_of
from detection.registry import DESCRIPTION_FORMAT, alone, build, load_plugins, without_weights
from detection.settings.base import check_device
from detection.system.wording import folded, some_of
from detection.validation.arguments import check_arguments, telling_our_words
from detection.validation.near_paths import beside, refuse_url

if TYPE_CHECKING:
    import torch

    from detection.data.datamodule import DetectionDataModule
    from detection.prediction.detector import Detector
    from detection.prediction.trained import TrainedDetector
    from detection.tasks.base import DetectionTask


def read_checkpoint(path: str | Path, to_train: bool = True) -> dict[str, Any]:
    """Load a checkpoint's tensors and plain values onto the CPU; nothing in it is executed.

    Its bytes are compared with the check sums that were written with them, and its description is checked:
    see ``check_description``.

    Args:
        path: the checkpoint; a folder that ``detection share`` wrote, or its address on the Hugging Face hub,
            ``hf://user/name@revision``; ``wandb://entity/project/name:alias`` of one that Weights & Biases
            keeps; or the name of a published detector, see ``read_published``.
        to_train: see ``check_description``.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: a shared detector needs a package that is missing.
        ValueError: it is no checkpoint of this project, or damaged, or of a newer version, or it holds more
            than tensors and a description.
    """
    path = Path(path).expanduser()
    if is_address(path):
        return _checked(read_address(path), path, to_train)
    if is_shared(path):
        return _checked(read_shared(path), path, to_train)
    if is_artifact(path):
        return _checked(read_file(fetch_artifact(path)), path, to_train)
    if not path.exists():
        if str(path).startswith(("torchvision/", "tensorflow/")):
            from detection.checkpoints.published import read_published

            return _checked(read_published(str(path)), path, to_train)
        refuse_url(path)
        raise FileNotFoundError(f"{path}: there is no such checkpoint{beside(path)}.")
    return _checked(read_file(path), path, to_train)


def load_task(path: str | Path) -> "DetectionTask":
    """Rebuild the task of a checkpoint, with its weights, ready to evaluate on the CPU.

    Args:
        path: see ``read_checkpoint``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint of this project, or its weights do not fit what it describes.
    """
    checkpoint = read_checkpoint(path)
    task: DetectionTask = _built(checkpoint, checkpoint["hyper_parameters"]["model"], path)
    task.describe(**checkpoint["hyper_parameters"])
    return task


def _built(checkpoint: dict[str, Any], model: dict[str, Any], path: str | Path) -> Any:
    """What a model describes, the task of a checkpoint or its network alone, with the weights."""
    described = checkpoint["hyper_parameters"]
    model = without_weights(model)  # all are in the checkpoint: nothing need be fetched or read again
    if model.get("compile"):  # a training may run a compiler, which writes files; a checkpoint alone may not
        model["compile"] = False
    compare_weights(model, checkpoint["state_dict"], path)
    with buildable(path):
        built = build(model)
        built.check_inputs(described["data"]["size"], described["data"]["collate"])
    try:
        built.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:  # it lists every tensor, a few are enough
        lines = [line.strip()[:150] for line in str(error).splitlines()[1:4]]
        raise of_another_network(path, lines) from error
    return built.eval()


def load_detector(path: str | Path, device: str = "cpu") -> "TrainedDetector[DetectionTask]":
    """Make a detector of the task in a checkpoint: images in, boxes out; see ``load_task``.

    Args:
        path: see ``read_checkpoint``.
        device: where to run it.
    """
    task = load_task(path)
    return _detector_of(task, task.hparams, path, device)


def _detector_of(
    task: Any, described: Mapping[str, Any], path: str | Path, device: str
) -> "TrainedDetector[Any]":
    from detection.prediction.trained import TrainedDetector

    with buildable(path):
        transform = build(described["data"]["eval_transform"])(described["data"]["size"])
    return TrainedDetector(task.to(device), transform, described)


@telling_our_words
def load(
    source: str | Path, device: "str | torch.device" = "auto", plugins: str | Sequence[str] = ()
) -> "Detector":
    """Open a trained detector.

    Args:
        source: a checkpoint; a run's folder, for its best one; ``last`` or ``best``, of the newest run here;
            a folder that ``detection share`` wrote, or its address on the Hugging Face hub,
            ``hf://user/name`` or ``hf://user/name@revision``; ``wandb://entity/project/name:alias`` of a
            checkpoint that Weights & Biases keeps; an ONNX or OpenVINO file (``.onnx``, ``.xml``) that
            ``detection.export`` wrote, which runs on the CPU; or the name of published weights, such as
            ``tensorflow/ssd_mobilenet_v2_coco``.
        device: ``cpu``, ``cuda``, one GPU such as ``cuda:1``, or ``auto``: a GPU where there is one;
            torch's own kind, too.
        plugins: packages of yours that register classes which the checkpoint names.

    Raises:
        FileNotFoundError: there is no such file, or the folder has no checkpoint.
        TypeError: an argument is of another type.
        ValueError: it is no checkpoint of this project, or damaged; or there is no such device.
    """
    from detection.ops.processor import of_this_machine

    check_arguments(load, {"source": source, "plugins": plugins})
    if source == "":
        raise ValueError("source is empty: give a checkpoint, a run's folder, or an exported file.")
    device = str(device).replace("cpu:0", "cpu")  # torch has one CPU
    check_device(device)
    chosen = of_this_machine(device)
    load_plugins(plugins)
    path = Path(source).expanduser()
    if not is_shared(path):
        found = checkpoint_of_run(str(source))
        if found is None and path.is_dir():
            raise FileNotFoundError(f"{path} has no checkpoints/best.ckpt: give that of a run.")
        path = found or path
    if path.suffix in (".onnx", ".xml") and path.is_file():
        if device not in ("auto", "cpu"):
            raise ValueError(f"device={device}: an exported file runs on the CPU here.")
        return _load_exported(path)
    checkpoint = read_checkpoint(path, to_train=False)
    described = checkpoint["hyper_parameters"]
    # Without its training, and so without Lightning, unless the task is a user's own.
    network = _built(checkpoint, alone(described["model"]) or described["model"], path)
    return _detector_of(network, described, path, chosen).folded()


def _load_exported(path: Path) -> "Detector":
    from detection.prediction.exported import ExportedDetector

    def make_transform(data: Any) -> Any:
        try:
            checked = check_inputs(data)
        except DescriptionError as error:
            raise ValueError(f"{path} describes its input wrongly: {error}.") from error
        return build(checked["eval_transform"])(checked["size"])

    return ExportedDetector(path, make_transform)


def inputs_of(task: "DetectionTask") -> dict[str, Any]:
    """The arguments of a datamodule by which images become inputs as in the task's training.

    Args:
        task: of a checkpoint.

    Returns:
        The size, the transform and the collation of the task, by name; no split is augmented.
    """
    inputs = {key: task.hparams["data"][key] for key in DATA_KEYS}
    transform = build(inputs["eval_transform"])  # here, and not by Hydra, which would call any name
    return {**inputs, "eval_transform": transform, "train_transform": transform}


def open_split(
    datamodule: "DetectionDataModule",
    split: Literal["train", "val", "test"],
    class_names: Sequence[str],
    ckpt: str | Path,
) -> list[str]:
    """Read one split alone, with the classes of a checkpoint; it is then among the datamodule's datasets.

    Args:
        datamodule: where the images come from.
        split: what to read.
        class_names: the classes of the checkpoint, in label order. The data may lack some of them.
        ckpt: the checkpoint's path, for the message.

    Returns:
        The data's own words for the classes, in label order: aeroplane for airplane, see ``find_same``.

    Raises:
        ValueError: the data has classes that the checkpoint does not know, or leaves out some that it knows.
    """
    transform = datamodule.eval_transform(datamodule.size)
    dataset = datamodule.make_dataset(split, None, transform)
    wanted = in_words_of(dataset.classes, class_names)
    unknown = [name for name in dataset.classes if name not in wanted]
    skipping = getattr(datamodule, "other_classes", None) == "skip"
    # A list of classes may be longer than what is there.
    if not dataset.used_classes().isdisjoint(unknown) and not skipping:
        raise ValueError(
            f"{ckpt} knows the classes {some_of(class_names)}; the data also has {some_of(unknown)}. "
            "Choose the data that belongs to the checkpoint (data=..., data.root=...), or leave out objects "
            "of other classes (data.other_classes=skip)."
        )
    known = set(map(folded, wanted))
    if left_out := [name for name in dataset.left_out if folded(name) in known]:
        raise ValueError(
            f"data.classes leaves out {some_of(left_out)}, which {ckpt} knows. A detector is evaluated on "
            "all of its classes, and the report has the AP of each: leave data.classes out."
        )
    if list(dataset.classes) != wanted:
        dataset = datamodule.make_dataset(split, wanted, transform)
    if list(dataset.classes) != wanted:  # a source whose classes are fixed
        raise ValueError(
            f"{ckpt} knows the classes {some_of(class_names)}; those of the data are fixed, and others or "
            f"in another order: {some_of(dataset.classes)}."
        )
    dataset.classes = tuple(class_names)
    datamodule.class_names = list(class_names)
    datamodule.datasets[split] = dataset
    return wanted


def _checked(checkpoint: dict[str, Any], path: Path, to_train: bool) -> dict[str, Any]:
    described, state = checkpoint.get("hyper_parameters"), checkpoint.get("state_dict")
    if not isinstance(described, dict) or not {"model", "data"} <= described.keys():
        raise ValueError(
            f"{path} does not describe a detector: it is of another tool, or holds weights alone. Give a "
            "checkpoint that a training wrote, such as runs/<name>/<date>/checkpoints/best.ckpt; a file that "
            f"torchvision publishes goes by its name, such as torchvision/ssd300_vgg16:{path}."
        )
    written = described.get("format", 1)  # 0.1 wrote no number
    if type(written) is not int or written < 1:
        raise ValueError(f"{path} has a description of an unknown format.")
    if written > DESCRIPTION_FORMAT:
        raise ValueError(
            f"{path} was written by a newer version of this package: its description has format {written}, "
            f"this version reads up to {DESCRIPTION_FORMAT}. Update it: pip install --upgrade "
            "lightning-detection."
        )
    try:
        checkpoint["hyper_parameters"] = check_description({**described, "format": written}, to_train)
    except DescriptionError as error:
        raise ValueError(f"{path} cannot be opened safely: {error}.") from error
    if written == 1:
        model = checkpoint["hyper_parameters"]["model"]
        checkpoint["hyper_parameters"]["model"] = with_anchors_of_format_1(model)
    if not isinstance(state, dict) or not all(type(key) is str for key in state):
        raise ValueError(f"{path} has no weights by name under state_dict.")
    refuse_odd_tensors(checkpoint, path)
    checkpoint["hyper_parameters"]["weights"] = kinds_of_floats(state)
    return checkpoint
