"""What each command can be asked for: its own keys, their types, defaults and meanings.

Here a key is documented: ``--help`` is made from it, and what is typed is compared with it. Hydra reads the
same defaults from ``conf/<command>.yaml``. Data, model, trainer and so on are groups of ``conf``; the
constructors that they name document their keys.
"""

from detection.settings.base import ScaleRule, Settings, key_of
from detection.settings.convert import Convert
from detection.settings.detector import SUFFIXES, Evaluate, Export, ExportFormat, Predict, Product, Serve
from detection.settings.share import Share
from detection.settings.training import Benchmark, Check, Train

__all__ = [
    "SUFFIXES",
    "Benchmark",
    "Check",
    "Convert",
    "Evaluate",
    "Export",
    "ExportFormat",
    "Predict",
    "Product",
    "ScaleRule",
    "Serve",
    "Settings",
    "Share",
    "Train",
    "key_of",
]
