"""An upload to a hub on this machine."""

import sys
from pathlib import Path

import pytest

from detection.sharing.upload import check_packages, upload
from tests.hub import Hub, use


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "README.md").write_text("---\nlicense: mit\n---\n\n# name\n")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    return folder


def test_a_folder_becomes_one_commit_of_a_private_repository(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(hub, folder.parent / "cache", monkeypatch)
    commit = upload(folder, "user/name")
    assert hub.is_private == {"user/name": True}
    assert [set(files) for files in hub.repositories["user/name"]] == [{"README.md", "model.safetensors"}]
    assert (
        hub.repositories["user/name"][0]["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    )
    (folder / "README.md").write_text("# another\n")
    assert upload(folder, "user/name") != commit
    assert len(hub.repositories["user/name"]) == 2


def test_who_may_not_write_is_told_to_log_in(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(hub, folder.parent / "cache", monkeypatch)
    hub.may_write = False
    with pytest.raises(
        ValueError, match=r"repo=user/name: the hub does not let you write there: type hf auth"
    ):
        upload(folder, "user/name")


def test_an_upload_without_a_network_says_how_to_go_on(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(hub, folder.parent / "cache", monkeypatch, offline=True)
    with pytest.raises(ValueError, match=r"nothing was uploaded .*upload it later by hf upload user/name"):
        upload(folder, "user/name")


def test_the_package_that_uploads_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    check_packages()
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"repo= needs huggingface_hub .*pip install -e '\.\[share\]'"):
        check_packages()
