"""What users of an exported file run it by, where it is not given what it wants."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from detection.data.transforms import (
    DetectionTransform,
    faster_rcnn_eval_transform,
    ssd_eval_transform,
    ssd_train_transform,
)
from detection.reader import Reader, import_unreported, resize

TRANSFORMS = {
    "ssd": ssd_eval_transform([60, 80]),
    "ssd, bilinear": ssd_eval_transform(70, bilinear=True),
    "faster_rcnn": faster_rcnn_eval_transform([60, 100]),
    "faster_rcnn, rounded down": faster_rcnn_eval_transform([61, 103], round_down=True),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (33, 50), (60, 80), (50, 200), (375, 500), (1001, 777)])
def test_images_are_resized_as_evaluation_resizes_them(name: str, size: tuple[int, int]) -> None:
    transform: DetectionTransform = TRANSFORMS[name]
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_)
    assert transform.resizing is not None
    ours = resize(image, transform.resizing)
    np.testing.assert_array_equal(ours.transpose(2, 0, 1), transform(image, *nothing).image.numpy())


def test_a_transform_that_does_more_than_resize_has_no_rule() -> None:
    assert ssd_train_transform(60).resizing is None


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX file of others."""
    path = tmp_path_factory.mktemp("foreign") / "model.onnx"
    sides: list[str | int | None] = ["B", 3, 8, 8]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", ["images"], ["boxes"])],
        "nothing",
        [value("images", TensorProto.UINT8, sides)],
        [value("boxes", TensorProto.UINT8, sides)],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_a_file_of_others_is_refused_in_a_sentence(foreign: Path) -> None:
    with pytest.raises(ValueError, match=r"model\.onnx does not say how images become its input"):
        Reader(foreign)(np.zeros((5, 5, 3), np.uint8))


@pytest.mark.parametrize("shape", [(5, 5), (3, 5, 5), (0, 5, 3), (5, 5, 4)])
def test_images_of_other_shapes_are_refused(foreign: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"give \(H, W, 3\) RGB, uint8"):
        Reader(foreign)(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("name", ["model.onnx", "model.xml"])
def test_missing_and_damaged_files_end_in_a_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        Reader(tmp_path / name)
    (tmp_path / name).write_text("nothing")
    with pytest.raises(ValueError, match="is damaged"):
        Reader(tmp_path / name)


@pytest.mark.parametrize(("name", "package"), [("model.onnx", "onnxruntime"), ("model.xml", "openvino")])
def test_a_missing_runtime_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    (tmp_path / name).touch()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"needs {package} .*pip install {package}"):
        Reader(tmp_path / name)


def test_openvino_is_imported_without_its_reporter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "asks.py").write_text(
        "try:\n    import openvino_telemetry\nexcept ImportError:\n    reports = False\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)
    assert import_unreported("asks").reports is False
    assert "openvino_telemetry" not in sys.modules


def test_onnxruntime_is_told_not_to_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    import_unreported("onnxruntime")
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    import_unreported("onnxruntime")
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0", "what the user says stays"
