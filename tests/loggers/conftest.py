"""The tiny training of the callbacks' tests, with loggers."""

from tests.callbacks.conftest import run

__all__ = ["run"]
