"""The words of Hydra 1.3 and 1.4; what either calls deprecated is an error in these tests."""

import warnings
from functools import partial
from pathlib import Path

import pytest
from hydra import compose
from hydra.errors import InstantiationException

from detection.cli.hydra_versions import configurations, instantiate


@pytest.fixture(autouse=True)
def no_warning() -> None:
    """Also not of ``version_base``, which other tests may type."""
    warnings.simplefilter("error")


def test_files_of_conf_are_found_without_a_warning() -> None:
    with configurations():
        assert compose("train", ["experiment=quickstart"])["name"] == "quickstart"


def test_what_a_configuration_names_is_built_with_all_below_it() -> None:
    node = {
        "_target_": "detection.data.transforms.ssd_train_transform",
        "_partial_": True,
        "flip_probability": 0.25,
    }
    assert instantiate(node).keywords == {"flip_probability": 0.25}
    built = instantiate(
        {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "torch.nn.Linear", "_args_": [2, 3]}]}
    )
    assert built[0].out_features == 3


def test_a_class_of_a_users_own_package_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_parts.py").write_text(
        "class Part:\n    def __init__(self, size):\n        self.size = size\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert instantiate({"_target_": "my_parts.Part"}, size=3).size == 3


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "subprocess.run", "torch.hub.os.system"])
def test_functions_of_the_standard_library_are_not_called(name: str, tmp_path: Path) -> None:
    left = tmp_path / "left"
    with pytest.raises(InstantiationException):
        instantiate(
            {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": name, "_args_": [f"touch {left}"]}]}
        )
    assert not left.exists()


def test_an_object_takes_the_place_of_a_part_that_is_not_built() -> None:
    part = {"_target_": "nowhere.at.all"}
    transform = partial(len)
    built = instantiate(
        {"_target_": "torch.utils.data.Subset", "indices": [0], "dataset": part}, dataset=transform
    )
    assert built.dataset is transform
