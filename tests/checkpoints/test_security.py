"""Files from anywhere: nothing in a checkpoint, an archive or a data set is executed or leaves its folder."""

import ast
import hashlib
import io
import os
import pickle
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

from detection.checkpoints.init_from import make_task
from detection.checkpoints.loading import load, load_detector, load_task, read_checkpoint
from detection.checkpoints.resume import read_origin
from detection.cli.compose import checked_config, model_config
from detection.data.download import Archive, download_voc
from detection.models.backbones.weights import read_file
from tests.data.small_set import jpeg
from tests.every import for_every

ROOT = Path(__file__).parents[2]
SOURCES = [ROOT / "train.py", *sorted((ROOT / "detection").rglob("*.py"))]


class _Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.folder,)


def described() -> dict[str, Any]:
    """What a checkpoint of this project holds."""
    return {
        "state_dict": {},
        "hyper_parameters": {"model": {"backbone": {}}, "data": {}},
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": "2.6.6",
    }


def write_malicious(kind: str, path: Path) -> Path:
    """Writes a file that makes the folder ``executed`` beside itself when it is read carelessly."""
    evil = _Evil(path.parent / "executed")
    if kind == "pickle":
        path.write_bytes(pickle.dumps(evil, protocol=2))
    elif kind == "torch's old format":
        torch.save(evil, path, _use_new_zipfile_serialization=False)
    elif kind == "among the weights":
        torch.save({**described(), "state_dict": {"a": evil}}, path)
    else:
        torch.save({**described(), "callbacks": {"x": evil}}, path)
    return path


def settings(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        given = ["experiment=quickstart", "run_dir=/nowhere", "name=test", *overrides]
        return checked_config(compose("train", overrides=given))


def go_on(path: Path) -> object:
    config = settings(f"ckpt='{path}'")
    return read_origin(config)


def start_from(path: Path) -> object:
    config = settings(f"init_from='{path}'")
    return make_task(model_config(config, ["cat"], None), config)


WAYS: dict[str, Callable[[Path], object]] = {
    "train ckpt=": go_on,
    "train init_from=": start_from,
    "evaluate": load_task,
    "predict": lambda path: load(path, "cpu"),
    "export": read_checkpoint,
    "model.backbone.weights=": lambda path: read_file(path, ""),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "kind", ["pickle", "torch's old format", "among the weights", "among a callback's state"]
)
def test_a_malicious_checkpoint_is_refused(tmp_path: Path, way: str, kind: str) -> None:
    path = write_malicious(kind, tmp_path / "evil.ckpt")
    with pytest.raises(
        ValueError, match=r"evil\.ckpt (cannot be read as a checkpoint|is not a file of plain)"
    ):
        WAYS[way](path)
    assert not (tmp_path / "executed").exists()


SHAPES = ("data=shapes", "data.root={folder}", "data.num_train=2", "data.num_val=2", "data.num_test=2")
COMMANDS = {
    "train ckpt=": ("train.py", "model/backbone=tiny", *SHAPES, "ckpt={path}"),
    "train init_from=": ("train.py", "model/backbone=tiny", *SHAPES, "init_from={path}"),
    "evaluate": ("-m", "detection.evaluate", *SHAPES, "ckpt={path}"),
    "predict": ("-m", "detection.predict", "source={folder}", "ckpt={path}"),
    "export": ("-m", "detection.export", "ckpt={path}"),
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_a_malicious_checkpoint(tmp_path: Path, command: str) -> None:
    path = write_malicious("among a callback's state", tmp_path / "evil.ckpt")
    (tmp_path / "image.jpg").write_bytes(jpeg())
    words = [word.format(folder=tmp_path, path=path) for word in COMMANDS[command]]
    result = subprocess.run(
        [sys.executable, *words, f"hydra.run.dir={tmp_path / 'run'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 1
    assert "evil.ckpt cannot be read as a checkpoint" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "value",
    [
        {"_target_": "detection.data.shapes.write_shapes", "root": "executed", "num_train": 1},
        {"_target_": "detection.data.download.download_voc", "root": "executed"},
        {"_target_": "detection.checkpoints.runs.run_folder", "ckpt": None, "name": "executed", "now": "x"},
        "${run_folder:null,executed,x}",
        "${oc.env:HOME}",
        ["${oc.decode:1}"],
    ],
)
def test_a_description_cannot_write_or_look_around(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    monkeypatch.chdir(tmp_path)
    content = described()
    content["hyper_parameters"]["data"]["eval_transform"] = value
    torch.save(content, tmp_path / "evil.ckpt")
    with pytest.raises(ValueError, match=r"evil\.ckpt cannot be opened safely"):
        load_detector(tmp_path / "evil.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["evil.ckpt"]


def tar_with(*members: tarfile.TarInfo) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for member in members:
            member.size = 4 if member.isreg() else 0
            tar.addfile(member, io.BytesIO(b"evil") if member.isreg() else None)
    return content.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def device(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = tarfile.CHRTYPE
    return member


ARCHIVES = {
    "above": tar_with(tarfile.TarInfo("../escaped")),
    "above, after a folder": tar_with(tarfile.TarInfo("VOCdevkit/../../escaped")),
    "link to above": tar_with(link("VOCdevkit", ".."), tarfile.TarInfo("VOCdevkit/../escaped")),
    "link to an absolute path": tar_with(link("VOCdevkit/x", "/etc/passwd")),
    "hard link to above": tar_with(link("VOCdevkit/x", "../../outside", tarfile.LNKTYPE)),
    "device": tar_with(device("VOCdevkit/x")),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_an_archive_cannot_leave_its_folder(tmp_path: Path, case: str) -> None:
    root, content = tmp_path / "root", ARCHIVES[case]
    root.mkdir()
    (tmp_path / "outside").write_text("mine")
    (root / "a.tar").write_bytes(content)
    archive = Archive("a.tar", hashlib.md5(content).hexdigest(), 2007, "trainval")
    with pytest.raises(ValueError, match=r"a\.tar would write outside its folder .*refused"):
        download_voc(root, archives=[archive], mirrors=[])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "root"]
    assert (tmp_path / "outside").read_text() == "mine"
    assert [path.name for path in root.rglob("*") if path.is_file()] == ["a.tar"]


def test_an_absolute_path_in_an_archive_stays_inside(tmp_path: Path) -> None:
    target = tmp_path / "absolute"
    content = tar_with(tarfile.TarInfo(str(target)))
    (tmp_path / "root").mkdir()
    (tmp_path / "root/a.tar").write_bytes(content)
    archive = Archive("a.tar", hashlib.md5(content).hexdigest(), 2007, "trainval")
    download_voc(tmp_path / "root", archives=[archive], mirrors=[])
    assert not target.exists()
    assert (tmp_path / "root" / target.relative_to("/")).read_bytes() == b"evil"


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [(ast.unparse(node.func), node) for node in nodes]


@for_every(SOURCES)
def test_no_code_executes_what_it_reads(path: Path) -> None:
    for name, node in calls(path):
        options = {option.arg: ast.unparse(option.value) for option in node.keywords}
        assert name not in (
            "eval",
            "exec",
            "compile",
            "os.system",
            "pickle.load",
            "pickle.loads",
            "yaml.load",
        ), name
        assert not name.startswith(("marshal.", "shelve.", "dill.")), name
        assert options.get("shell", "False") == "False", f"{name} goes through a shell"
        if name in ("torch.load", "torch.hub.load_state_dict_from_url", "trainer.fit", "trainer.test"):
            with_file = name.startswith("torch.") or "ckpt_path" in options
            assert not with_file or options.get("weights_only") == "True", f"{name} without weights_only=True"
        if name == "torch.hub.load_state_dict_from_url":
            assert options.get("check_hash") == "True", "a download is not verified"
        if name.endswith(".extractall"):
            assert path.name == "download.py", "an archive is not checked, as the tests above do"
