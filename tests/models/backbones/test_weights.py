import hashlib
import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import nn

from detection.models.backbones.weights import load_submodule, read_weights

PUBLISHED = SimpleNamespace(url="https://example.org/models/tiny-12345678.pth")


def tiny() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))


def prefixed(module: nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in module.state_dict().items()}


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("prefix", ["", "features.", "module.features.", "model.backbone."])
def test_any_prefix_is_found_and_other_tensors_are_ignored(prefix: str) -> None:
    source, target = tiny(), tiny()
    state = {"classifier.0.weight": torch.zeros(7), "head.bias": torch.zeros(1)} | prefixed(source, prefix)
    assert load_submodule(target, state, "file") == prefix
    for ours, theirs in zip(target.state_dict().values(), source.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_file_without_batch_counts_is_enough() -> None:
    source, target = tiny(), tiny()
    state = {k: v for k, v in source.state_dict().items() if not k.endswith("num_batches_tracked")}
    load_submodule(target, state, "file")
    torch.testing.assert_close(target[0].weight, source[0].weight)


def test_missing_tensors_are_named() -> None:
    state = prefixed(tiny(), "features.")
    del state["features.1.weight"]
    with pytest.raises(ValueError, match=r"my\.pth does not fit.* 1 of 6 .* features\.1\.weight"):
        load_submodule(tiny(), state, "my.pth")


def test_a_file_of_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match="6 of 6 tensors are missing"):
        load_submodule(tiny(), {"stem.kernel": torch.zeros(1)}, "my.pth")


def test_a_wrong_shape_is_named_and_nothing_is_loaded() -> None:
    target = tiny()
    before = target.state_dict()["0.weight"].clone()
    state = prefixed(tiny(), "") | {"1.bias": torch.zeros(5)}
    with pytest.raises(ValueError, match=r"1\.bias has shape \(5,\) instead of \(2,\)"):
        load_submodule(target, state, "my.pth")
    torch.testing.assert_close(target.state_dict()["0.weight"], before)


@pytest.mark.parametrize("wrap", [False, True])
def test_a_local_file_is_read_plain_or_under_state_dict(wrap: bool, tmp_path: Path) -> None:
    state = prefixed(tiny(), "")
    torch.save({"state_dict": state, "epoch": 3} if wrap else state, tmp_path / "w.pth")
    assert list(read_weights(str(tmp_path / "w.pth"), PUBLISHED)) == list(state)


def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    torch.save({"0.weight": Malicious(marker)}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="not a file of plain tensors"):
        read_weights(str(tmp_path / "w.pth"), PUBLISHED)
    assert not marker.exists()


def test_a_bare_malicious_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    (tmp_path / "w.pth").write_bytes(pickle.dumps(Malicious(marker), protocol=2))
    with pytest.raises(ValueError, match="not a file of plain tensors"):
        read_weights(str(tmp_path / "w.pth"), PUBLISHED)
    assert not marker.exists()


def test_a_truncated_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    torch.save(prefixed(tiny(), ""), tmp_path / "whole.pth")
    assert zipfile.is_zipfile(tmp_path / "whole.pth")
    (tmp_path / "half.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:500])
    (tmp_path / "empty.pth").touch()
    (tmp_path / "passwd.pth").write_text("root:x:0:0:root:/root:/bin/bash\n")
    for name in ("half.pth", "empty.pth", "passwd.pth"):
        with pytest.raises(ValueError, match=f"{name} is not a file of plain tensors"):
            read_weights(str(tmp_path / name), PUBLISHED)


def test_a_file_that_holds_no_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "w.pth")
    with pytest.raises(ValueError, match="holds no state dict"):
        read_weights(str(tmp_path / "w.pth"), PUBLISHED)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no weights file .*nowhere\.pth"):
        read_weights(str(tmp_path / "nowhere.pth"), PUBLISHED)


@pytest.mark.parametrize(
    "error", [URLError("no route to host"), TimeoutError(), RuntimeError("invalid hash")]
)
def test_a_failed_download_says_what_to_place_where(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(ValueError, match="Cannot get") as caught:
        read_weights("imagenet", PUBLISHED)
    message = str(caught.value)
    assert PUBLISHED.url in message
    assert str(tmp_path / "checkpoints") in message
    assert "model.backbone.weights=/path/to/tiny-12345678.pth" in message
    assert "\n" not in message


def test_a_file_already_in_the_hub_folder_needs_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    torch.save(prefixed(tiny(), ""), tmp_path / "w.pth")
    digest = hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    name = f"tiny-{digest[:8]}.pth"
    (tmp_path / "w.pth").rename(tmp_path / "checkpoints" / name)
    published = SimpleNamespace(url=f"https://example.org/models/{name}")
    assert "0.weight" in read_weights("imagenet", published)
