"""``python -m detection.evaluate`` as its user runs it: on real files, to the last page."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from detection.checkpoints.loading import load_detector, open_split
from detection.data.image_files import decode_image
from detection.data.shapes import SHAPE_CLASSES, write_shapes
from detection.data.voc import VOCDetection
from detection.evaluate import evaluate
from detection.metrics.tables import make_tables
from detection.metrics.voc_ap import voc_ap
from detection.ops.merging import merge_views
from detection.ops.views import View, tile_windows
from tests.warm_python import warm_python

ROOT = Path(__file__).parent.parent
COUNTS = (3, 2, 5)


@pytest.fixture(scope="module")
def place(
    write_checkpoint: Callable[[Path, str, list[str]], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with generated data and checkpoints."""
    folder = tmp_path_factory.mktemp("evaluate")
    write_shapes(folder / "shapes", *COUNTS, size=96, seed=0)
    for name, experiment, classes in (
        ("ssd", "quickstart", list(SHAPE_CLASSES)),
        ("faster_rcnn", "quickstart_faster_rcnn", list(SHAPE_CLASSES)),
        ("pets", "quickstart", ["cat", "dog"]),
    ):
        write_checkpoint(folder, experiment, classes).rename(folder / f"{name}.ckpt")
    return folder


def shapes(place: Path) -> list[str]:
    counts = [f"data.num_{k}={v}" for k, v in zip(("train", "val", "test"), COUNTS, strict=True)]
    return ["data=shapes", f"data.root={place}/shapes", "data.image_size=96", *counts, "data.num_workers=0"]


def configured(run: Path, *overrides: str) -> DictConfig:
    """What ``@hydra.main`` would give to the command."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        everything = ["trainer=cpu", f"+hydra.runtime.output_dir={run}", *overrides]
        cfg = compose("evaluate", overrides=everything, return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])


def run_command(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*warm_python(), "-m", "detection.evaluate", "trainer=cpu", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(place / "cache")},
    )


def expected_map(checkpoint: Path, root: Path, split: str) -> tuple[float, int]:
    """VOC07 mAP of the detector as a function of images, and the number of detections."""
    detector = load_detector(checkpoint)
    dataset = VOCDetection(root, [("Shapes", split)], SHAPE_CLASSES)
    found, targets = [], []
    for index, image_id in enumerate(dataset.image_ids):
        path = next((root / "VOCdevkit/Shapes/JPEGImages").glob(f"{image_id.split('/')[1]}.*"))
        stored: Any = cv2.imread(str(path))
        pixels: Any = cv2.cvtColor(stored, cv2.COLOR_BGR2RGB)
        found += detector([pixels])
        targets.append(dataset.annotation(index))
    dets, gts = make_tables(found, targets)
    return voc_ap(dets, gts, len(SHAPE_CLASSES)).map_07, len(dets.labels)


def assert_complete(run: Path, checkpoint: Path, root: Path, split: str) -> None:
    figures = json.loads((run / "metrics.json").read_text())
    expected, num_detections = expected_map(checkpoint, root, split)
    assert figures["voc"]["map_07"] == pytest.approx(expected, abs=1e-3)
    images = {"test": 5, "train": 3}[split]
    assert figures["counts"]["images"] == images
    assert figures["counts"]["detections"] == pytest.approx(num_detections, abs=3)
    assert num_detections > 20
    assert figures["ckpt"] == str(checkpoint)
    assert figures["data"] == f"shapes, {split}, {images} images"
    assert figures["losses"]["loss"] > 0
    assert f"Shapes/{split}_00" in (run / "report.html").read_text()
    lines = [line.split() for path in (run / "voc").glob("*.txt") for line in path.read_text().splitlines()]
    assert len(lines) == len(json.loads((run / "coco/results.json").read_text()))
    assert {row[0] for row in lines} <= {f"{split}_{i:05d}" for i in range(5)}


def test_a_checkpoint_is_all_that_the_command_needs(place: Path, tmp_path: Path) -> None:
    run = tmp_path / "report"
    options = ["num_images=1", "data.batch_size=2", f"hydra.run.dir={run}"]
    result = run_command(place, f"ckpt={place}/ssd.ckpt", *shapes(place), *options)
    assert result.returncode == 0, result.stderr[-3000:]
    assert f"Kept in {run}:" in result.stdout
    uses = [
        f"  python -m detection.predict ckpt={place}/ssd.ckpt source=PHOTOS",
        f"  python -m detection.export ckpt={place}/ssd.ckpt",
    ]
    assert result.stdout.splitlines()[-3:] == ["Next:", *uses]
    assert_complete(run, place / "ssd.ckpt", place / "shapes", "test")
    command = json.loads((run / "metrics.json").read_text())["command"]
    assert command.startswith(f"python -m detection.evaluate trainer=cpu ckpt={place}/ssd.ckpt")


@pytest.mark.filterwarnings("ignore:The 'test_dataloader' does not have many workers")
def test_faster_rcnn_on_its_training_images(place: Path, tmp_path: Path) -> None:
    checkpoint = place / "faster_rcnn.ckpt"
    evaluate(configured(tmp_path, f"ckpt={checkpoint}", *shapes(place), "split=train", "num_images=1"))
    assert_complete(tmp_path, checkpoint, place / "shapes", "train")


@pytest.mark.filterwarnings("ignore:The 'test_dataloader' does not have many workers")
@pytest.mark.parametrize("name", ["ssd", "faster_rcnn"])
def test_sizes_of_objects_are_those_of_cocos_file(place: Path, tmp_path: Path, name: str) -> None:
    """The segment in a large box is small; without one the box counts, in its own pixels."""
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images/a.png"), np.full((151, 233, 3), 90, np.uint8))
    boxes = [([10, 10, 120, 120], {"area": 500.5}), ([40.1, 60.3, 32, 32], {})]
    document = {
        "images": [{"id": 3, "file_name": "a.png", "width": 233, "height": 151}],
        "categories": [{"id": i, "name": each} for i, each in enumerate(SHAPE_CLASSES)],
        "annotations": [
            {"id": i, "image_id": 3, "category_id": 0, "bbox": box, **area}
            for i, (box, area) in enumerate(boxes)
        ],
    }
    (tmp_path / "all.json").write_text(json.dumps(document))
    data = ["data=coco", f"data.root={tmp_path}", "data.num_workers=0", "split=val", "num_images=1"]
    data += [
        f"data.{split}_{what}"
        for split in ("train", "val")
        for what in ("images=images", "annotations=all.json")
    ]
    evaluate(configured(tmp_path / "run", f"ckpt={place}/{name}.ckpt", *data))
    figures = json.loads((tmp_path / "run/metrics.json").read_text())["coco"]
    assert figures["map_small"] is not None
    assert figures["map_medium"] is not None, "32 x 32 is both, as in COCO's own evaluator"
    assert figures["map_large"] is None
    written = json.loads((tmp_path / "run/coco/ground_truth.json").read_text())["annotations"]
    assert [annotation["area"] for annotation in written] == [500.5, 1024]


def test_two_checkpoints_are_compared(place: Path, tmp_path: Path) -> None:
    run = tmp_path / "both"
    ckpts = f"ckpt=[{place}/ssd.ckpt,{place}/faster_rcnn.ckpt]"
    result = run_command(place, ckpts, *shapes(place), "num_images=1", f"hydra.run.dir={run}")
    assert result.returncode == 0, result.stderr[-3000:]
    assert f"Both side by side: {run / 'comparison.html'}" in result.stdout
    assert_complete(run / "a", place / "ssd.ckpt", place / "shapes", "test")
    assert_complete(run / "b", place / "faster_rcnn.ckpt", place / "shapes", "test")
    assert "Two checkpoints on shapes, test, 5 images" in (run / "comparison.html").read_text()
    with pytest.raises(SystemExit, match="a report already"):
        evaluate(configured(run, ckpts, *shapes(place)))


@pytest.mark.parametrize("name", ["metrics.json", "report.html", "comparison.html"])
def test_a_report_is_not_overwritten(place: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(SystemExit, match=f"{tmp_path} holds the metrics of a run or a report already"):
        evaluate(configured(tmp_path, f"ckpt={place}/ssd.ckpt", *shapes(place)))
    assert (tmp_path / name).read_text() == "precious"


def test_classes_of_others_are_named(place: Path, tmp_path: Path) -> None:
    expected = r"pets\.ckpt knows the classes cat, dog; the data also has arrow, circle, cross"
    with pytest.raises(SystemExit, match=expected):
        evaluate(configured(tmp_path, f"ckpt={place}/pets.ckpt", *shapes(place)))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "ckpt: needs a value (ckpt=best.ckpt, or without a training ckpt=tensorflow/"),
        (["ckpt=/nowhere/best.ckpt"], "/nowhere/best.ckpt: there is no such checkpoint"),
        (["ckpt=[]"], "ckpt: give one checkpoint, or two to compare, not 0"),
        (["ckpt=[a,b,c]"], "ckpt: give one checkpoint, or two to compare, not 3"),
        (["ckpt=a", "split=trian"], "split=trian: give one of test, val, train"),
        (["ckpt=a", "threshold=50"], "threshold=50: give a number from 0 to 1"),
        (["ckpt=a", "num_images=-1"], "num_images=-1: give a whole number"),
        (["ckpt=a", "data.size=512"], "data.size=512: inputs are made as the checkpoint describes"),
        (["ckpt=a", "data/transform=ssd"], "data/transform=ssd: inputs are made as the checkpoint describes"),
        (["ckpt=a", "data.num_workers=two"], "data.num_workers=two: give a whole number"),
    ],
)
def test_mistakes_end_in_a_sentence(place: Path, tmp_path: Path, arguments: list[str], expected: str) -> None:
    with pytest.raises(SystemExit, match=re.escape(expected)):
        evaluate(configured(tmp_path, *shapes(place), *arguments))


def test_without_data_those_of_the_run_are_named(place: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / ".hydra").mkdir()
    (run / "checkpoints/best.ckpt").symlink_to(place / "pets.ckpt")
    (run / "config.yaml").write_text("data: {root: my pets}\n")
    (run / ".hydra/hydra.yaml").write_text("hydra: {runtime: {choices: {data: auto}}}\n")
    result = run_command(place, f"ckpt={run}", f"run_dir={tmp_path}/report")
    assert result.returncode == 1
    assert "That run was trained on data=auto 'data.root=my pets'." in result.stderr


def test_a_mistyped_key_is_refused_with_a_hint(place: Path, tmp_path: Path) -> None:
    result = run_command(place, "ckpt=a", "treshold=0.5", f"hydra.run.dir={tmp_path}")
    assert result.returncode != 0
    assert "did you mean threshold" in result.stderr
    words = ["+model.coco_ap=true", "+optimizer.lr=1", "+trainer.fast_dev_run=false"]
    result = run_command(place, "ckpt=a", *words, f"hydra.run.dir={tmp_path}")
    told = [f"{key}: no such key; --help lists them" for key in ("model.coco_ap", "optimizer.lr")]
    assert result.stderr.splitlines() == ["The configuration has errors; nothing was run.", *told]


def test_what_is_left_out_is_told(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"ckpt={place}/pets.ckpt", *shapes(place), "+data.other_classes=skip", "num_images=0"]
    evaluate(configured(tmp_path, *words))
    assert re.search(r"\d+ objects of other classes left out: .*arrow", capsys.readouterr().out)
    assert "arrow" in str(json.loads((tmp_path / "metrics.json").read_text())["remarks"])


class _Source:
    """A source of data whose classes are given, or decided by who asks."""

    size = 10
    other_classes = "error"

    def __init__(self, own: list[str], fixed: bool = False) -> None:
        self.own, self.fixed = own, fixed
        self.class_names: list[str] = []
        self.datasets: dict[str, Any] = {}

    def eval_transform(self, size: int) -> None:
        return None

    def make_dataset(self, split: str, classes: list[str] | None, transform: None) -> Any:
        names = self.own if classes is None or self.fixed else classes
        return SimpleNamespace(classes=tuple(names), left_out={}, used_classes=lambda: set(names))


def test_a_split_takes_the_classes_of_the_checkpoint() -> None:
    source: Any = _Source(["Dog"])
    open_split(source, "val", ["cat", "dog"], "a.ckpt")
    assert source.datasets["val"].classes == ("cat", "dog")
    assert source.class_names == ["cat", "dog"]


def test_a_split_has_the_words_of_its_data_for_the_classes_of_the_checkpoint() -> None:
    source: Any = _Source(["aeroplane", "tvmonitor"])
    asked: list[list[str] | None] = []
    make = source.make_dataset

    def record(split: str, classes: list[str] | None, transform: object) -> object:
        asked.append(classes)
        return make(split, classes, transform)

    source.make_dataset = record
    words = open_split(source, "val", ["airplane", "dog", "tv"], "a.ckpt")
    assert words == ["aeroplane", "dog", "tvmonitor"]
    assert asked == [None, ["aeroplane", "dog", "tvmonitor"]]  # as they stand in the annotations
    assert source.datasets["val"].classes == ("airplane", "dog", "tv")
    assert source.class_names == ["airplane", "dog", "tv"]


def test_other_classes_are_refused_unless_they_are_skipped() -> None:
    source: Any = _Source(["cat", "dog", "cow"])
    with pytest.raises(ValueError, match=r"a\.ckpt knows the classes cat, dog; the data also has cow\."):
        open_split(source, "val", ["cat", "dog"], "a.ckpt")
    source.other_classes = "skip"
    open_split(source, "val", ["cat", "dog"], "a.ckpt")
    assert source.datasets["val"].classes == ("cat", "dog")


def test_classes_in_a_fixed_other_order_are_refused() -> None:
    source: Any = _Source(["dog", "cat"], fixed=True)
    with pytest.raises(ValueError, match="in another order: dog, cat"):
        open_split(source, "val", ["cat", "dog"], "a.ckpt")


@pytest.mark.filterwarnings("ignore:The 'test_dataloader' does not have many workers")
@pytest.mark.parametrize("name", ["ssd", "faster_rcnn"])
def test_tiles_and_mirror_images_count_as_merged_by_hand(place: Path, tmp_path: Path, name: str) -> None:
    checkpoint, root = place / f"{name}.ckpt", place / "shapes"
    words = ["tiles=64", "overlap=0.3", "flip=true", "num_images=0"]
    analysis = evaluate(configured(tmp_path, f"ckpt={checkpoint}", *shapes(place), *words))
    detector = load_detector(checkpoint)
    dataset = VOCDetection(root, [("Shapes", "test")], SHAPE_CLASSES)
    windows = [(0, 0, 96, 96), *tile_windows((96, 96), (64, 64), 0.3)]
    assert len(windows) == 5
    found = []
    for path in dataset.paths:
        pixels = decode_image(Path(path), upright=False)
        views = []
        for left, top, right, bottom in windows:
            part = pixels[top:bottom, left:right]
            views.append((View((left, top, right, bottom)), detector([part])[0]))
            mirrored = np.ascontiguousarray(part[:, ::-1])
            views.append((View((left, top, right, bottom), mirrored=True), detector([mirrored])[0]))
        found.append(merge_views(views, (96, 96)))
    dets, gts = make_tables(found, [dataset.annotation(index) for index in range(len(dataset))])
    assert analysis.num_detections.sum() == pytest.approx(len(dets.labels), rel=0.01)
    assert analysis.voc.map_07 == pytest.approx(voc_ap(dets, gts, len(SHAPE_CLASSES)).map_07, abs=1e-3)
    assert json.loads((tmp_path / "metrics.json").read_text())["losses"] == {}
    assert "tiles=64 overlap=0.3, flip=true" in (tmp_path / "report.html").read_text()
