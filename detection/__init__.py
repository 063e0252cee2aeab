"""SSD and Faster R-CNN on PASCAL VOC and on your own data."""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detection.checkpoints.loading import load
    from detection.cli.command_process import CommandError
    from detection.cli.commands import check, evaluate, export, share, train
    from detection.models.zoo import get_model
    from detection.prediction.detector import Detector
    from detection.prediction.prediction import Prediction

    __version__: str

_MODULES = {
    "CommandError": "detection.cli.command_process",
    "Detector": "detection.prediction.detector",
    "Prediction": "detection.prediction.prediction",
    "check": "detection.cli.commands",
    "evaluate": "detection.cli.commands",
    "export": "detection.cli.commands",
    "get_model": "detection.models.zoo",
    "load": "detection.checkpoints.loading",
    "share": "detection.cli.commands",
    "train": "detection.cli.commands",
}
__all__ = [
    "CommandError",
    "Detector",
    "Prediction",
    "__version__",
    "check",
    "evaluate",
    "export",
    "get_model",
    "load",
    "share",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import what takes time when it is asked for."""
    if name in _MODULES:
        from importlib import import_module

        return getattr(import_module(_MODULES[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("lightning-detection")
    hint = ": a detector has it, detection.load(...).predict(...)" if name == "predict" else ""
    raise AttributeError(f"module 'detection' has no attribute '{name}'{hint}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Keeps ``detection.train`` the function, also once the module of that name, the command, is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _MODULES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
