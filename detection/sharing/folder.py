"""The folder that is shared: weights, description, model card, and a picture where the run left one."""

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from detection.checkpoints.shared import DESCRIPTION, WEIGHTS, write_shared
from detection.sharing.run import Run
from detection.system.files import folder_written_whole
from detection.system.processes import as_typed

_PICTURE = "predictions.png"
_INTERPOLATIONS = {"07": "at 11 recall levels (VOC 2007)", "area": "as an area (VOC 2010 on)"}


class Subject(NamedTuple):
    """What is shared."""

    checkpoint: Mapping[str, Any]
    """As ``read_checkpoint`` gives it."""
    facts: Mapping[str, str]
    """What ``about`` says of it."""
    run: Run
    license: str | None
    repository: str | None
    """``user/name`` of the hub; None where it is not uploaded."""


class _File(NamedTuple):
    name: str
    size: int
    digest: str


def write_folder(folder: Path, subject: Subject) -> None:
    """Write the folder, which appears when it is whole.

    Args:
        folder: that is not there yet.
        subject: what to write.

    Raises:
        FileExistsError: it is there.
        ImportError: safetensors is missing.
    """
    if folder.exists():
        raise FileExistsError(f"output={folder} exists already: choose another folder.")
    with folder_written_whole(folder) as fresh:
        fresh.mkdir()
        write_shared(fresh, subject.checkpoint["hyper_parameters"], subject.checkpoint["state_dict"])
        if subject.run.picture is not None:
            shutil.copyfile(subject.run.picture, fresh / _PICTURE)
        files = [_file(fresh / name) for name in (WEIGHTS, DESCRIPTION)]
        (fresh / "README.md").write_text(_card(folder.name, subject, files), encoding="utf-8")


def _file(path: Path) -> _File:
    content = path.read_bytes()
    return _File(path.name, len(content), hashlib.sha256(content).hexdigest())


def _card(folder: str, subject: Subject, files: Sequence[_File]) -> str:
    described, run = subject.checkpoint["hyper_parameters"], subject.run
    model = described["model"]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["text"] = _as_text
    return environment.get_template("card.md.jinja").render(
        front=_front(subject),
        name=subject.repository.partition("/")[2] if subject.repository else folder,
        address=_address(folder, subject),
        facts=subject.facts,
        class_names=model["class_names"],
        picture=_PICTURE if run.picture else "",
        data=run.data,
        images=_images(described.get("training", {})),
        predict=as_typed(["detection", "predict", f"ckpt={_address(folder, subject)}", "source=photo.jpg"]),
        command=_command(run.overrides),
        rows=list(_rows(run.metrics, model["class_names"])),
        interpolation=_INTERPOLATIONS.get(model.get("interpolation", "07"), ""),
        tested_on=run.tested_on,
        license=subject.license,
        files=files,
    )


def _address(folder: str, subject: Subject) -> str:
    return f"hf://{subject.repository}" if subject.repository else folder


def _front(subject: Subject) -> str:
    """The head of the card, which the hub reads."""
    network = subject.facts["model"].partition(",")[0]
    head: dict[str, Any] = {"license": subject.license} if subject.license else {}
    head |= {"library_name": "lightning-detection", "pipeline_tag": "object-detection"}
    head["tags"] = ["object-detection", "pytorch-lightning", network.lower()]
    return str(yaml.safe_dump(head, sort_keys=False))


def _images(training: Mapping[str, Any]) -> str:
    names = {"train_images": "training images", "val_images": "validation images"}
    return ", ".join(f"{training[key]} {noun}" for key, noun in names.items() if training.get(key))


def _command(overrides: Sequence[str]) -> str:
    """What was typed; paths of the user's home are his own business."""
    if not overrides:
        return ""
    return as_typed(["detection", "train", *overrides]).replace(str(Path.home()), "~")


def _rows(metrics: Mapping[str, float], class_names: Sequence[str]) -> Iterator[tuple[str, str]]:
    if "test/map" not in metrics:
        return
    for name in class_names:  # that of a class without an object to find is not there
        ap = metrics.get(f"test/ap/{name}")
        yield name, "-" if ap is None else f"{ap:.4f}"
    means = {"mean": "map", "COCO AP": "coco_map", "COCO AP50": "coco_map_50", "COCO AP75": "coco_map_75"}
    for told, name in means.items():
        if (value := metrics.get(f"test/{name}")) is not None:
            yield told, f"{value:.4f}"


def _as_text(value: object) -> str:
    """What somebody named, without a meaning in Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>()#|!&~])", r"\\\1", str(value))
