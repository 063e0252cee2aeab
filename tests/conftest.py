"""What every test needs."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from tests import warm_python

if TYPE_CHECKING:
    from tests.hub import Hub

CONF = Path(__file__).parent.parent / "conf"
# Minutes each: whoever starts them last ends last, alone.
LONG_FILES = (
    *("test_resume", "test_export", "test_debug", "test_stopped", "test_check", "test_convert"),
    *("test_configs", "test_cli", "test_tuning", "test_wandb_run", "test_train", "test_faults", "test_sweep"),
    *("test_wheel", "test_descriptions", "test_published", "test_evaluate", "test_markup"),
)

# A suite in the background (nohup, "&" in a script) ignores Ctrl-C, and so would the processes of its tests.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """One warm Python serves this process and those of pytest-xdist."""
    if not hasattr(config, "workerinput"):
        serving = ExitStack()
        serving.enter_context(warm_python.server())
        config.add_cleanup(serving.close)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, which pytest-xdist's --no-loadscope-reorder keeps."""
    items.sort(key=lambda item: item.path.stem not in LONG_FILES)


@pytest.fixture(autouse=True, scope="session")
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Indexes of generated sets go to a temporary folder, not to the user's cache."""
    # Not the monkeypatch fixture, which lives for one test: fixtures of modules and sessions read sets too.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _no_command_before() -> Iterator[None]:
    """A command that a test has run in this process is not that of the next test."""
    yield
    if (module := sys.modules.get("hydra.core.hydra_config")) is not None:
        module.HydraConfig.instance().cfg = None


@pytest.fixture(autouse=True)
def _no_module_of_a_test_before(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A module that a test has written and imported is not that of the next test, which may use its name."""
    yield
    folder = str(tmp_path_factory.getbasetemp())
    for name, module in list(sys.modules.items()):
        # Not getattr: some modules import what they are asked for.
        if isinstance(module, ModuleType) and str(vars(module).get("__file__", "")).startswith(folder):
            del sys.modules[name]


@pytest.fixture(scope="session")
def write_checkpoint() -> Callable[[Path, str, list[str]], Path]:
    """Writes the untrained detector of an experiment, with class names, into a folder; returns the path."""
    import torch
    from hydra import compose, initialize_config_dir

    from detection.cli.compose import checked_config, inference_config, model_config
    from detection.cli.hydra_versions import instantiate

    def write(folder: Path, experiment: str, class_names: list[str]) -> Path:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("train", overrides=[f"experiment={experiment}", "run_dir=/nowhere", "name=test"])
        config = checked_config(cfg)
        torch.manual_seed(0)
        model = model_config(config, class_names, None)
        task = instantiate(model)
        task.describe(model=model, data=inference_config(config["data"]))
        path = folder / f"{experiment}.ckpt"
        torch.save({"state_dict": task.state_dict(), "hyper_parameters": dict(task.hparams)}, path)
        return path

    return write


@pytest.fixture
def hub() -> Iterator["Hub"]:
    """A hub of Hugging Face's kind on this machine, without any repository."""
    from tests.hub import running

    with running() as hub:
        yield hub
