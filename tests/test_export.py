"""``python -m detection.export`` as its user meets it: a checkpoint in, a checked file out."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import detection
from detection.checkpoints.loading import load_detector, load_task
from detection.data.shape_drawing import draw_image
from detection.data.shapes import write_shapes
from detection.export import _measure, export
from detection.exporting import runners, writers
from detection.reader import Reader
from detection.settings import Export
from tests.exports import (
    command,
    finds_nearly_the_same,
    nothing_was_reported,
    opens_as_a_detector,
    reads_without_torch,
    watched,
)
from tests.spread import spread

CLASSES = ["circle", "square", "star"]
WriteCheckpoint = Callable[[Path, str, list[str]], Path]


@pytest.fixture(scope="module")
def ssd(write_checkpoint: WriteCheckpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("ssd"), "quickstart", CLASSES)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shapes")
    write_shapes(root, 8, 6, 2, size=96, seed=0)
    return root


@pytest.fixture(scope="module")
def eight_classes(write_checkpoint: WriteCheckpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SSD whose scores are apart, so that rounding to few bits can be told from luck."""
    names = ["arrow", "circle", "cross", "heart", "ring", "square", "star", "triangle"]
    path = write_checkpoint(tmp_path_factory.mktemp("eight"), "quickstart", names)
    task, checkpoint = load_task(path), torch.load(path, weights_only=True)
    spread(task.network, torch.from_numpy(drawing(0)).permute(2, 0, 1), 2.0)
    torch.save({**checkpoint, "state_dict": task.state_dict()}, path)
    return path


def drawing(seed: int) -> NDArray[np.uint8]:
    """``(128, 128, 3)``."""
    return draw_image(np.random.default_rng(seed), 128).image


DRAWINGS = [drawing(seed) for seed in range(10)]


def facts_of(path: Path) -> dict[str, str]:
    return {item.key: item.value for item in onnx.load(path).metadata_props}


def test_ssd_to_onnx_and_int8_from_the_command_line(
    eight_classes: Path, shapes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "best.onnx"
    data = [f"data.root={shapes}", "data.num_train=8", "data.num_val=6", "data.num_test=2"]
    data += ["data.image_size=96", "data=shapes"]
    done = command(
        f"ckpt={eight_classes}", f"output={out}", "int8=true", "calibration_images=4", "num_images=3", *data
    )
    assert done.returncode == 0, done.stderr
    assert "finds the same as the checkpoint: boxes within 0.000" in done.stdout
    assert "_00000, mirrored" in done.stdout
    assert "plain colour" in done.stdout
    assert "layers in eight bits, ranges from 4 training images" in done.stdout
    assert "On val, 6 images; times on one core:" in done.stdout
    for name in ("PyTorch", "best.onnx", "best_int8.onnx"):
        assert f"\n{name}   " in done.stdout
    assert "there is no C++ compiler (none)" in done.stdout
    assert done.stdout.endswith(f"Next:\n  python -m detection.predict ckpt={out} source=PHOTOS\n")
    assert not list(tmp_path.glob("*unverified*"))

    model = onnx.load(out)
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [18]
    assert sum(node.op_type == "NonMaxSuppression" for node in model.graph.node) == 1
    batch, *sides = model.graph.input[0].type.tensor_type.shape.dim
    assert batch.dim_param
    assert [side.dim_value for side in sides] == [3, 128, 128]
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    facts = facts_of(out)
    assert json.loads(facts["class_names"])[3] == "heart"
    assert json.loads(facts["input_size"]) == [128, 128]
    assert facts["checkpoint"] == eight_classes.name
    assert (facts["score_threshold"], facts["nms_threshold"]) == ("0.01", "0.45")
    assert "resize the image to 128 x 128" in facts["preprocessing"]

    quantised = onnx.load(tmp_path / "best_int8.onnx")
    assert any(node.op_type == "QuantizeLinear" for node in quantised.graph.node)
    weights = [onnx.numpy_helper.to_array(item) for item in quantised.graph.initializer]
    kernels = [item for item in weights if item.dtype == np.int8 and item.ndim == 4]
    assert len(kernels) > 5
    assert all(item.min() >= -64 and item.max() <= 64 for item in kernels), "else sums run over without VNNI"
    assert facts_of(tmp_path / "best_int8.onnx")["class_names"] == facts["class_names"]
    assert (tmp_path / "best_int8.onnx").stat().st_size < 0.4 * out.stat().st_size
    reads_without_torch(out, eight_classes)
    opens_as_a_detector(out, eight_classes)
    finds_nearly_the_same(out.with_stem("best_int8"), eight_classes, DRAWINGS, score=0.02, box=1.0)
    refused = onnx.load(out)
    harmful = {"size": 128, "eval_transform": {"_target_": "os.system"}, "collate": "padded"}
    onnx.helper.set_model_props(refused, {**facts, "data": json.dumps(harmful)})
    onnx.save(refused, tmp_path / "bad.onnx")
    with pytest.raises(ValueError, match=r"bad\.onnx describes its input wrongly: .*os\.system"):
        detection.load(tmp_path / "bad.onnx")


@pytest.mark.slow
def test_ssd_to_openvino_of_three_kinds(eight_classes: Path, shapes: Path, tmp_path: Path) -> None:
    out = tmp_path / "best.xml"
    words = [f"data.root={shapes}", "data.num_train=8", "data.num_val=6", "data.num_test=2"]
    words += ["data.image_size=96", "data=shapes", "format=openvino", "int8=true", "half=true"]
    words += [f"ckpt={eight_classes}", f"output={out}", "calibration_images=4", "num_images=1"]
    watch = watched(tmp_path)
    done = command(*words, environment=watch)
    assert done.returncode == 0, done.stderr
    assert "finds the same as the checkpoint: boxes within 0.000" in done.stdout
    assert "layers in eight bits, ranges from 4 training images" in done.stdout
    assert "On val, 6 images; times on one core:" in done.stdout
    for name in ("PyTorch", "best.xml", "best_half.xml", "best_int8.xml"):
        assert f"\n{name}   " in done.stdout
    assert not list(tmp_path.glob("*unverified*"))
    sizes = {name: (tmp_path / f"{name}.bin").stat().st_size for name in ("best", "best_half", "best_int8")}
    assert sizes["best_half"] < 0.6 * sizes["best"]
    assert sizes["best_int8"] < 0.4 * sizes["best"]
    for path in tmp_path.glob("best*.xml"):
        about = Reader(path).about
        assert json.loads(about["class_names"])[3] == "heart"
        assert json.loads(about["resize"]) == {"size": [128, 128], "bilinear": False}
    reads_without_torch(out, eight_classes, environment=watch)
    assert nothing_was_reported(tmp_path)
    opens_as_a_detector(out, eight_classes)
    finds_nearly_the_same(out.with_stem("best_int8"), eight_classes, DRAWINGS, score=0.02, box=1.0)
    finds_nearly_the_same(out.with_stem("best_half"), eight_classes, DRAWINGS, score=1e-3, box=0.1)
    images = np.zeros((3, 3, 128, 128), np.uint8)
    assert Reader(tmp_path / "best_int8.xml").run(images)["boxes"].shape == (3, 100, 4), "any batch"
    out.with_suffix(".bin").unlink()
    with pytest.raises(ValueError, match=r"best\.xml is damaged, .* without best\.bin beside it"):
        detection.load(out)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("c++"), reason="torch.compile needs a C++ compiler on a CPU")
def test_the_compiled_network_has_its_row(eight_classes: Path, tmp_path: Path) -> None:
    words = ["data.num_train=4", "data.num_val=3", "data.num_test=2", "data.image_size=96", "data=shapes"]
    words += [f"data.root={tmp_path / 'shapes'}"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "CXX": "c++"}
    done = command(f"ckpt={eight_classes}", f"output={tmp_path / 'a.onnx'}", *words, environment=environment)
    assert done.returncode == 0, done.stderr
    assert "Compiling the network by torch.compile" in done.stdout
    eager, compiled = (
        next(line for line in done.stdout.splitlines() if line.startswith(name)).split()
        for name in ("PyTorch  ", "torch.compile  ")
    )
    assert compiled[1] == eager[1]
    assert [float(mean) for mean in compiled[2:5]] == pytest.approx(
        [float(mean) for mean in eager[2:5]], abs=0.1, nan_ok=True
    )


def test_the_watch_sees_what_openvino_reports_by_itself(tmp_path: Path) -> None:
    """Else the test before would show nothing; nothing is sent, since the watch refuses it."""
    environment = watched(tmp_path)
    subprocess.run([sys.executable, "-c", "import openvino"], check=True, env=environment, timeout=60)
    assert "google-analytics" in (tmp_path / "asked.txt").read_text()
    assert not nothing_was_reported(tmp_path)


@pytest.mark.slow
def test_onnx_runtime_is_run_without_reporting(ssd: Path, tmp_path: Path) -> None:
    watch = watched(tmp_path)
    out = tmp_path / "best.onnx"
    done = command(f"ckpt={ssd}", f"output={out}", "num_images=1", environment=watch)
    assert done.returncode == 0, done.stderr
    reads_without_torch(out, ssd, [(90, 200)], environment=watch)
    assert nothing_was_reported(tmp_path)


def test_faster_rcnn_to_onnx(write_checkpoint: WriteCheckpoint, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path, "quickstart_faster_rcnn", CLASSES)
    settings = Export(str(checkpoint), num_images=3)
    export(settings, None)
    assert settings.path == tmp_path / "quickstart_faster_rcnn.onnx"
    model = onnx.load(settings.path)
    operators = [node.op_type for node in model.graph.node]
    assert {"RoiAlign", "NonMaxSuppression"} <= set(operators)
    assert all(side.dim_param for i, side in enumerate(_input_sides(model)) if i != 1)
    assert json.loads(facts_of(settings.path)["input_size"]) == [128, 128]
    opens_as_a_detector(settings.path, checkpoint)
    reads_without_torch(settings.path, checkpoint, [(301, 128)])

    # Another size and batch than any seen before, against the detector as it is used.
    detector = load_detector(checkpoint)
    image = np.random.default_rng(1).integers(0, 256, (128, 161, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(str(settings.path))
    two = np.stack([detector.prepare(image).image.numpy()] * 2)
    boxes, scores, _, counts = session.run(["boxes", "scores", "labels", "num_detections"], {"images": two})
    own = detector([image])[0]
    assert counts.tolist() == [len(own["scores"])] * 2
    scale = 161 / two.shape[3]
    np.testing.assert_allclose(scores[1, : counts[1]], own["scores"].numpy(), atol=1e-4)
    np.testing.assert_allclose(boxes[1, : counts[1]][:5] * scale, own["boxes"][:5].numpy(), atol=1.5)


def _input_sides(model: Any) -> Any:
    return model.graph.input[0].type.tensor_type.shape.dim


def test_ssd_to_torch_export_on_tiles_of_images_of_a_folder(
    ssd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(2):
        Image.new("RGB", (60, 40 + i), (200, 10 * i, 0)).save(tmp_path / f"{i}.png")
    settings = Export(
        str(ssd),
        "torch_export",
        str(tmp_path / "out/model.pt2"),
        images=str(tmp_path),
        input="float32",
        tiles=[1, 2],
    )
    export(settings, None)
    said = capsys.readouterr().out
    assert all(f"\n{name}  " in said for name in ("0.png", "0.png, 0 0", "1.png, 26 0", "plain colour"))
    extra = {"metadata.json": ""}
    module = torch.export.load(settings.path, extra_files=extra).module()
    assert json.loads(json.loads(extra["metadata.json"])["class_names"]) == CLASSES
    outputs = module(torch.zeros(5, 3, 128, 128))
    assert outputs["boxes"].shape == (5, 100, 4)
    assert outputs["num_detections"].dtype == torch.int64


def test_times_say_of_which_tiles_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, made in (("measure", []), ("table", ["rows"]), ("losses", {})):
        monkeypatch.setattr(f"detection.exporting.measurement.{name}", lambda *given, made=made: made)
    split: Any = SimpleNamespace(datasets={"val": range(3)})
    detector: Any = SimpleNamespace(task=None, collate=None)
    in_tiles: Any = object()
    settings = Export("a.ckpt", "onnx", "a.onnx", split="val", tiles=[2, 3], overlap=0.25)
    _measure(settings, detector, split, in_tiles)
    assert "times of an image with its tiles (tiles=[2,3] overlap=0.25), resizing" in capsys.readouterr().out


def test_a_file_that_differs_is_rejected(
    ssd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As if the exporter had lost everything."""

    def find_nothing(images: Any) -> dict[str, Any]:
        count = len(images)
        return {
            "boxes": np.zeros((count, 100, 4), np.float32),
            "scores": np.zeros((count, 100), np.float32),
            "labels": np.full((count, 100), -1),
            "num_detections": np.zeros(count, np.int64),
        }

    monkeypatch.setattr(writers, "write_torch", lambda program, path, metadata: path.write_text("wrong"))
    monkeypatch.setattr(runners, "open_torch", lambda path: find_nothing)
    (tmp_path / "model.pt2").write_text("earlier")
    settings = Export(str(ssd), "torch_export", str(tmp_path / "model.pt2"), num_images=1, overwrite=True)
    with pytest.raises(SystemExit, match=r"does not find what the checkpoint finds .*model\.pt2\.rejected"):
        export(settings, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pt2", "model.pt2.rejected"]
    assert (tmp_path / "model.pt2").read_text() == "earlier"
    assert "<- without a partner: " in capsys.readouterr().out


def test_an_existing_file_is_not_replaced_unasked(ssd: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("mine")
    with pytest.raises(FileExistsError, match=r"model\.onnx exists: overwrite=true replaces it"):
        export(Export(str(ssd), output=str(tmp_path / "model.onnx")), None)
    os.utime(tmp_path / "model.onnx", (0, 0))
    with pytest.raises(FileExistsError, match=r"exists, and is older than the checkpoint: overwrite=true"):
        export(Export(str(ssd), output=str(tmp_path / "model.onnx")), None)
    assert (tmp_path / "model.onnx").read_text() == "mine"


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.ckpt: there is no such checkpoint"):
        export(Export(str(tmp_path / "nothing.ckpt"), "torch_export"), None)
    assert not list(tmp_path.iterdir())


def test_the_file_lies_beside_the_checkpoint_unless_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / "best.ckpt").touch()
    settings = Export(str(tmp_path / "best.ckpt"))
    assert settings.path == tmp_path / "best.onnx"
    assert settings.variant("int8") == tmp_path / "best_int8.onnx"
    assert Export("torchvision/some_detector", "torch_export").path == Path("some_detector.pt2")
    assert Export("best.ckpt", output="there/model.onnx").path == Path("there/model.onnx")


def test_another_version_of_the_reader_is_not_replaced_unasked(ssd: Path, tmp_path: Path) -> None:
    (tmp_path / "detection_reader.py").write_text("mine")
    with pytest.raises(FileExistsError, match=r"detection_reader\.py is another version of it: overwrite"):
        export(Export(str(ssd), output=str(tmp_path / "model.onnx")), None)
    assert (tmp_path / "detection_reader.py").read_text() == "mine"


def test_what_was_not_compared_does_not_stay(
    ssd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(program: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("detection.exporting.writers.write_onnx", full)
    with pytest.raises(OSError, match="No space left"):
        export(Export(str(ssd), output=str(tmp_path / "model.onnx"), num_images=1), None)
    assert not [*tmp_path.iterdir()]


def test_a_file_is_named_as_what_it_is(ssd: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"output=a\.onnx: an OpenVINO file ends in \.xml"):
        export(Export(str(ssd), "openvino", "a.onnx"), None)
    before = ssd.read_bytes()
    with pytest.raises(ValueError, match=r"\.ckpt: an ONNX file ends in \.onnx"):
        export(Export(str(ssd), output=str(ssd), overwrite=True), None)
    assert ssd.read_bytes() == before
    (tmp_path / "a.pt2").mkdir()
    with pytest.raises(IsADirectoryError, match=r"a\.pt2 is a folder: name a file"):
        export(Export(str(ssd), "torch_export", str(tmp_path / "a.pt2"), overwrite=True), None)


def test_half_needs_data(ssd: Path) -> None:
    with pytest.raises(ValueError, match=r"half=true needs images to measure on: give the data"):
        export(Export(str(ssd), "openvino", half=True), None)


def test_int8_needs_data(ssd: Path) -> None:
    with pytest.raises(ValueError, match=r"int8=true needs images to calibrate on: give the data"):
        export(Export(str(ssd), int8=True), None)


def test_missing_packages_are_named_with_the_way_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"onnxruntime.*pip install -e '\.\[export\]'"):
        writers.require_onnx()


def test_missing_openvino_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ImportError, match=r"openvino.*pip install -e '\.\[openvino\]'"):
        writers.require_openvino(int8=False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["format=tflite", "fromat=onnx"], "fromat: no such key; did you mean format"),
        (
            ["ckpt=a.ckpt", "format=tflite", "num_images=x"],
            "format=tflite: give one of onnx, openvino, torch_export",
        ),
    ],
)
def test_mistakes_end_in_a_sentence(tmp_path: Path, words: list[str], message: str) -> None:
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
