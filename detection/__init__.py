"""SSD and Faster R-CNN on PASCAL VOC and on your own data."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Find what takes time to import when it is asked for."""
    if name == "__version__":
        from importlib.metadata import version

        return version("lightning-detection")
    raise AttributeError(f"module 'detection' has no attribute '{name}'")
