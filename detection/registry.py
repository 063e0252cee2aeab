"""The constructors that a checkpoint may name, and what users add to them.

A checkpoint comes from anywhere, and building what it describes is calling. So it may name what stands in
this table, and classes that a user's own code has registered, nothing else. The table holds names alone:
what they stand for is imported when it is built.
"""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

Kind = Literal["task", "network", "backbone", "optimizer", "schedule", "transform"]
_Constructor = TypeVar("_Constructor", bound=Callable[..., Any])

_TORCH_OPTIMIZERS = (
    *("ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "LBFGS", "Muon", "NAdam"),
    *("RAdam", "RMSprop", "Rprop", "SGD", "SparseAdam"),
)
BUILT_IN: dict[str, Kind] = {
    "detection.tasks.ssd.SSDTask": "task",
    "detection.tasks.faster_rcnn.FasterRCNNTask": "task",
    "detection.models.ssd.build_ssd": "network",
    "detection.models.ssd.SSD": "network",
    "detection.models.faster_rcnn_presets.build_faster_rcnn_c4": "network",
    "detection.models.faster_rcnn_presets.build_faster_rcnn_fpn": "network",
    "detection.models.faster_rcnn_torchvision.build_faster_rcnn_fpn_v2": "network",
    "detection.models.faster_rcnn_torchvision.build_faster_rcnn_mobilenet_v3": "network",
    "detection.models.backbones.MobileNetV2Backbone": "backbone",
    "detection.models.backbones.MobileNetV2TensorFlowBackbone": "backbone",
    "detection.models.backbones.MobileNetV3LargeBackbone": "backbone",
    "detection.models.backbones.ResNetBackbone": "backbone",
    "detection.models.backbones.TimmBackbone": "backbone",
    "detection.models.backbones.TinyBackbone": "backbone",
    "detection.models.backbones.VGG16AtrousBackbone": "backbone",
    "detection.tasks.schedules.Cosine": "schedule",
    "detection.tasks.schedules.MultiStep": "schedule",
    "detection.tasks.schedules.OneCycle": "schedule",
    "detection.data.transforms.faster_rcnn_eval_transform": "transform",
    "detection.data.transforms.ssd_eval_transform": "transform",
    **{f"torch.optim.{name}": "optimizer" for name in _TORCH_OPTIMIZERS},
}
"""What a description may name, and which part of a detector it makes; none reads or writes a file but a
backbone's ``weights``, which are left out. A name here is that of ``_target_`` in the configuration."""

ALONE: dict[str, str] = {
    "detection.tasks.ssd.SSDTask": "detection.models.inference.SSDAlone",
    "detection.tasks.faster_rcnn.FasterRCNNTask": "detection.models.inference.FasterRCNNAlone",
}
"""Tasks, and what stands for them where nothing trains, built of those of their arguments that it takes."""

DESCRIPTION_FORMAT = 2
"""How a checkpoint describes itself: 1 until 0.1 (boxes of VOC one pixel off, no number), 2 since."""

MOVED: dict[str, str] = {
    # 0.1 took the names of the files, too.
    "detection.models.backbones.mobilenet.MobileNetV2Backbone": (
        "detection.models.backbones.MobileNetV2Backbone"
    ),
    "detection.models.backbones.resnet.ResNetBackbone": "detection.models.backbones.ResNetBackbone",
    "detection.models.backbones.tiny.TinyBackbone": "detection.models.backbones.TinyBackbone",
    "detection.models.backbones.vgg.VGG16AtrousBackbone": "detection.models.backbones.VGG16AtrousBackbone",
    "torch.optim.sparse_adam.SparseAdam": "torch.optim.SparseAdam",
    **{f"torch.optim.{name.lower()}.{name}": f"torch.optim.{name}" for name in _TORCH_OPTIMIZERS},
}
"""What names of older checkpoints are called now. Who moves a constructor adds its old name here."""

RENAMED = {
    f"detection.callbacks.{name}": f"detection.loggers.{name}"
    for name in ("csv_history.CSVHistory", "wandb.WandbRun")
} | {
    "detection.callbacks.going_on.HowToGoOn": "detection.callbacks.how_to_resume.HowToResume",
    **{
        f"detection.{part}.wandb_detections.WandbDetections": (
            "detection.loggers.tracked_detections.TrackedDetections"
        )
        for part in ("callbacks", "loggers")
    },
}
"""What configurations alone name, and what it is called now."""

_SPECIAL = ("_target_", "_partial_")
_users: dict[str, Callable[..., Any]] = {}


class Entry(NamedTuple):
    """A constructor that may be named."""

    name: str
    kind: Kind | None
    """None of a user's own, which may stand anywhere."""


def register(constructor: _Constructor) -> _Constructor:
    """Allow a class or a function of yours to be named in configurations and in checkpoints.

    A checkpoint with it opens where the command line loads the package that registers it:
    ``plugins=[my_package]``.

    Args:
        constructor: a class, or a function that builds something. As a decorator: ``@register``.
    """
    _users[f"{constructor.__module__}.{constructor.__qualname__}"] = constructor
    return constructor


def load_plugins(packages: Iterable[str]) -> None:
    """Import the packages that register a user's own classes.

    Args:
        packages: names to import, or one name.

    Raises:
        ValueError: one cannot be imported.
    """
    for package in [packages] if isinstance(packages, str) else packages:
        try:
            importlib.import_module(package)
        except Exception as error:  # importing runs foreign code, which may fail in any way
            raise ValueError(
                f"plugins: {package} cannot be imported ({error}): install it, or add its folder to "
                "PYTHONPATH"
            ) from error


def find(name: str) -> Entry | None:
    """Look a name up; nothing is imported.

    Args:
        name: as ``_target_`` has it, of today or of an older version.

    Returns:
        None for a name that is neither built in nor registered by code that was loaded.
    """
    name = MOVED.get(name, name)
    if name in BUILT_IN:
        return Entry(name, BUILT_IN[name])
    return Entry(name, None) if _find_users(name) is not None else None


def constructor(name: str) -> Callable[..., Any]:
    """Import what a name stands for.

    Args:
        name: one that ``find`` knows, or of ``ALONE``.

    Raises:
        ValueError: it is not known, or it is missing in the installed version of its library.
    """
    entry = Entry(name, "task") if name in ALONE.values() else find(name)
    if entry is None:
        raise ValueError(f"{name!r:.120} is neither a part of this package nor registered")
    if entry.kind is None:
        found = _find_users(entry.name)
        assert found is not None
        return found
    module, _, attribute = entry.name.rpartition(".")
    try:
        built_in: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except AttributeError as error:
        raise ValueError(f"the installed {module} has no {attribute}") from error
    return built_in


def word_for(target: str) -> str:
    """What people call what a name builds: ``ssd`` for ``build_ssd``, ``MobileNetV2`` for its backbone.

    Args:
        target: as in a configuration's ``_target_``.
    """
    return target.rpartition(".")[2].removeprefix("build_").removesuffix("Backbone")


def alone(model: Mapping[str, Any]) -> dict[str, Any] | None:
    """The description of a network without its training, or None where the task is a user's own.

    Args:
        model: the description of a task, whose names are those of today.
    """
    if model["_target_"] not in ALONE:
        return None
    name = ALONE[model["_target_"]]
    parameters = inspect.signature(constructor(name)).parameters
    return {"_target_": name, **{key: model[key] for key in parameters if key in model}}


def build(description: Any, **arguments: Any) -> Any:
    """Build what a description names.

    Args:
        description: checked before; a dict with ``_target_`` is a call of what it names, with its other keys
            as arguments; with ``_partial_`` it is a function that waits for more of them.
        **arguments: more arguments of the outermost call, already built.
    """
    if isinstance(description, list):
        return [build(item) for item in description]
    if not isinstance(description, dict):
        return description
    values = {key: build(value) for key, value in description.items() if key not in _SPECIAL}
    if "_target_" not in description:
        return values
    target = constructor(description["_target_"])
    if description.get("_partial_", False):
        return partial(target, **values, **arguments)
    return target(**values, **arguments)


def without_weights(description: Any) -> Any:
    """Copy a description, and let nothing in it fetch or read pretrained weights, whose default may be to.

    Args:
        description: checked before.
    """
    if isinstance(description, list):
        return [without_weights(item) for item in description]
    if not isinstance(description, dict):
        return description
    copy = {key: without_weights(value) for key, value in description.items()}
    if "_target_" in copy and "weights" in inspect.signature(constructor(copy["_target_"])).parameters:
        copy["weights"] = None
    return copy


def _find_users(name: str) -> Callable[..., Any] | None:
    """A registered object by the name it was defined under, or by any other way that leads to it."""
    if name in _users:
        return _users[name]
    module, _, attribute = name.rpartition(".")
    found = vars(sys.modules[module]).get(attribute) if module in sys.modules else None
    return found if any(found is known for known in _users.values()) else None
