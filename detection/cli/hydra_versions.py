"""Hydra 1.3 and 1.4 by the same words: Python 3.14 needs 1.4, and what 1.3 asks for is deprecated there."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import hydra
from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from detection.cli.several_jobs import job_of_several
from detection.system.processes import CONF

_BEFORE_1_4 = tuple(int(part) for part in hydra.__version__.split(".")[:2]) < (1, 4)
_VERSION_BASE: dict[str, Any] = {"version_base": "1.3"} if _BEFORE_1_4 else {}
# What Hydra itself builds: its launchers and sweepers, and our callbacks of its own.
_MAIN: dict[str, Any] = (
    _VERSION_BASE if _BEFORE_1_4 else {"execution_whitelist": ["detection.*", "hydra.*", "hydra_plugins.*"]}
)

register_resolver: Callable[..., None] = (
    OmegaConf.register_new_resolver if _BEFORE_1_4 else OmegaConf.register_resolver
)
"""By the name that it has in the OmegaConf that belongs to this Hydra."""


def hydra_main(config_name: str) -> Callable[[Callable[..., Any]], Any]:
    """Make a function a command: Hydra's ``main`` over ``conf/``.

    Args:
        config_name: of the file in ``conf/``, without ``.yaml``.
    """
    command = hydra.main(config_path=str(CONF), config_name=config_name, **_MAIN)
    return lambda main: command(job_of_several(main))


def let_sweeps_delete() -> None:
    """Let ``~callbacks.ema`` delete in a sweep as it does in a run.

    Hydra's sweeper hands it to the jobs as ``~callbacks.ema=null``. Hydra 1.3 deletes whatever is there; 1.4
    takes it for a condition, and refuses to delete what is not null.
    """
    split = BasicSweeper.split_arguments

    def split_arguments(overrides: list[Override], max_batch_size: int | None) -> list[list[list[str]]]:
        bare = {each.get_key_element() for each in overrides if each.is_delete() and each.value_type is None}
        return [
            [[key if (key := word.partition("=")[0]) in bare else word for word in job] for job in batch]
            for batch in split(overrides, max_batch_size)
        ]

    if not _BEFORE_1_4:
        BasicSweeper.split_arguments = staticmethod(split_arguments)  # type: ignore[method-assign]


def configurations() -> AbstractContextManager[Any]:
    """Where ``hydra.compose`` finds the files of ``conf/``, outside of a command."""
    return initialize_config_dir(str(CONF), **_VERSION_BASE)


def instantiate(node: Mapping[str, Any], **arguments: Any) -> Any:
    """Build what a part of a configuration names, which ``checked_config`` has bound.

    Whoever writes a configuration may name classes of any package. The standard library's functions are
    nobody's part of a detector: Hydra 1.3 refuses the worst of them by a list, 1.4 all that is not allowed.

    Args:
        node: with ``_target_``.
        arguments: more of them, or others than it has, as built objects.
    """
    node = {key: value for key, value in node.items() if key not in arguments}  # replaced, not merged
    if not _BEFORE_1_4:
        packages = {name.partition(".")[0] for name in _targets(node)} - sys.stdlib_module_names
        arguments["_execution_whitelist_"] = sorted(f"{package}.*" for package in packages)
    return hydra.utils.instantiate(node, **arguments)


def _targets(node: Any) -> Iterator[str]:
    """The names of all constructors at and below ``node``."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield str(node["_target_"])
        node = list(node.values())
    if isinstance(node, list | tuple):
        for child in node:
            yield from _targets(child)
