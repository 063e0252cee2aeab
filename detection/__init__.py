"""SSD and Faster R-CNN on PASCAL VOC and on your own data."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detection.api import load
    from detection.inference import Detector
    from detection.models.zoo import get_model
    from detection.prediction.prediction import Prediction

    __version__: str

__all__ = ["Detector", "Prediction", "__version__", "get_model", "load"]

_MODULES = {
    "Detector": "detection.inference",
    "Prediction": "detection.prediction.prediction",
    "get_model": "detection.models.zoo",
    "load": "detection.api",
}


def __getattr__(name: str) -> Any:
    """Import what takes time when it is asked for."""
    if name in _MODULES:
        from importlib import import_module

        return getattr(import_module(_MODULES[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("lightning-detection")
    raise AttributeError(f"module 'detection' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
