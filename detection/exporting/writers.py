"""Writing a detector as ONNX, OpenVINO or a program of torch.export, and what the file says about itself."""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from detection.exporting.build import Program, decisions, ssd_size
from detection.exporting.programs import translation_to_onnx
from detection.models.ssd import SSD
from detection.reader import import_unreported
from detection.tasks.base import DetectionTask


@contextmanager
def quiet() -> Iterator[None]:
    """Drop log messages and warnings; what such a tool makes is checked afterwards."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


OUTPUTS = {
    "boxes": "float32 (B, D, 4): x1, y1, x2, y2 in pixels of the input; zeros where padded",
    "scores": "float32 (B, D): descending; 0 where padded",
    "labels": "int64 (B, D): index into class_names; -1 where padded",
    "num_detections": "int64 (B,): how many of the D are real",
    "proposals": "float32 (B, P, 4): regions of the first stage, best first; zeros where padded",
}


def describe(
    task: DetectionTask, resizing: Mapping[str, Any] | None, ckpt: str, dtype: str, outputs: tuple[str, ...]
) -> dict[str, str]:
    """Describe an exported detector to whoever reads the file. All values are strings; lists are JSON.

    Args:
        task: what was exported.
        resizing: how images become its input, see `detection.reader.resize`; None if not by it.
        ckpt: the checkpoint's path, of which the name is kept.
        dtype: of the images.
        outputs: the names of the file's outputs.
    """
    network = task.network
    if isinstance(network, SSD):
        height, width = ssd_size(task)
        kind = "SSD"
        shape = f"(B, 3, {height}, {width}), any B"
        resize = f"resize the image to {width} x {height} (width x height)"
        size = [height, width]
    else:
        short, longest = task.hparams["data"]["size"]
        kind = "Faster R-CNN"
        shape = "(B, 3, H, W), any B, H and W"
        resize = f"resize the image so that its short side is {short}, its long side at most {longest} pixels"
        size = [short, longest]
    facts = {
        "detector": kind,
        "checkpoint": Path(ckpt).name,
        "class_names": json.dumps(task.class_names, ensure_ascii=False),
        "input": f"images: {dtype} {shape}; RGB, on the scale 0..255",
        "input_size": json.dumps(size),
        "preprocessing": f"{resize}; mean and standard deviation are inside",
        "data": json.dumps(task.hparams["data"]),
        "mean": json.dumps(_numbers(network.mean)),
        "std": json.dumps(_numbers(network.std)),
        "outputs": json.dumps({name: OUTPUTS[name] for name in outputs}),
    }
    if resizing is not None:
        facts["resize"] = json.dumps(resizing)
    return facts | {name: json.dumps(value) for name, value in decisions(task).items()}


def _numbers(values: Any) -> list[float]:
    return [round(value, 4) for value in values.flatten().tolist()]


OPSET = 18
"""Of the written ONNX files: the first with all operators in the form that torch's exporter writes."""
METADATA_FILE = "metadata.json"
"""The name, inside a ``.pt2``, of the description."""


def require_onnx() -> None:
    """Check that the packages for ONNX are there.

    Raises:
        ImportError: with the way to get them.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401

        import_unreported("onnxruntime")
    except ImportError as error:
        raise ImportError(
            f"format=onnx needs onnx, onnxscript and onnxruntime ({error}): pip install -e '.[export]'"
        ) from error


def require_openvino(int8: bool) -> None:
    """Check that the packages for OpenVINO are there.

    Args:
        int8: whether NNCF is needed, too.

    Raises:
        ImportError: with the way to get them.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401

        import_unreported("openvino")
        if int8:
            import_unreported("nncf")
    except ImportError as error:
        raise ImportError(
            f"format=openvino needs openvino, nncf and onnx ({error}): pip install -e '.[openvino]'"
        ) from error


def write_onnx(program: Program, path: Path, metadata: Mapping[str, str]) -> None:
    """Write an ONNX file whose suppression is the standard NonMaxSuppression.

    Args:
        program: made with the primitives ``IN_ONNX``.
        path: the file.
        metadata: kept as the model's ``metadata_props``.

    Raises:
        ValueError: the exporter fixed a side that may vary, as for backbones that divide images into windows.
    """
    import onnx

    with quiet(), torch.no_grad():
        exported = torch.onnx.export(
            program.module,
            (program.example,),
            dynamo=True,
            dynamic_shapes=program.dynamic_shapes,
            opset_version=OPSET,
            custom_translation_table=translation_to_onnx(),
            input_names=["images"],
            output_names=list(program.outputs),
            verbose=False,
        )
    assert exported is not None
    model = exported.model_proto
    sides = model.graph.input[0].type.tensor_type.shape.dim
    if any(sides[axis].HasField("dim_value") for axis in program.dynamic_shapes["images"]):
        raise ValueError(
            "With this backbone an ONNX file would take images of one size only, and a Faster R-CNN's have "
            "many: train an SSD on it, or choose another backbone."
        )
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    onnx.save(model, path)


def write_openvino(program: Program, path: Path, metadata: Mapping[str, str]) -> None:
    """Write an OpenVINO file, a ``.xml`` with its weights in a ``.bin`` beside it, by way of ONNX.

    Args:
        program: made with the primitives ``IN_ONNX``.
        path: the ``.xml``.
        metadata: kept inside as the ``rt_info`` called detection.

    Raises:
        ValueError: see `write_onnx`.
    """
    openvino = import_unreported("openvino")
    with TemporaryDirectory() as folder:
        write_onnx(program, Path(folder) / "model.onnx", metadata)
        # Not openvino.convert_model, which gives the same, and reports each use to its makers.
        model = openvino.Core().read_model(Path(folder) / "model.onnx")
        _shape_grouped_weights(openvino, model)
        for name, value in metadata.items():
            model.set_rt_info(value, ["detection", name])
        openvino.save_model(model, path, compress_to_fp16=False)


def _shape_grouped_weights(openvino: Any, model: Any) -> None:
    """Store weights of grouped convolutions as these take them, not as ONNX has them, with a Reshape between.

    Behind a Reshape they would stay in float32 in files of 16 bits, and depthwise convolutions in those of 8.
    """
    for layer in model.get_ordered_ops():
        if layer.get_type_name() != "GroupConvolution":
            continue
        reshape = layer.input_value(1).get_node()
        if reshape.get_type_name() == "Reshape":
            weights = reshape.input_value(0).get_node()
            shaped = openvino.opset13.constant(weights.data.reshape(reshape.get_output_shape(0)))
            layer.input(1).replace_source_output(shaped.output(0))


def write_half(path: Path, half_path: Path) -> None:
    """Write a copy of an OpenVINO file whose layers keep their weights in 16 bits, and compute in 32.

    Everything else, such as the anchors, keeps its 32 bits: in 16, pixels beyond 256 come in quarters.

    Args:
        path: a ``.xml``.
        half_path: the ``.xml`` to write.
    """
    openvino = import_unreported("openvino")
    opset = openvino.opset13
    model = openvino.Core().read_model(path)
    for layer in model.get_ordered_ops():
        if layer.get_type_name() not in OPENVINO_LAYERS:
            continue
        weights = layer.input_value(1).get_node()
        if weights.get_type_name() == "Constant":
            short = opset.convert(opset.constant(weights.data.astype("float16")), "f32")
            layer.input(1).replace_source_output(short.output(0))
    openvino.save_model(model, half_path, compress_to_fp16=False)


OPENVINO_LAYERS = ("Convolution", "GroupConvolution", "MatMul")
"""The operations of OpenVINO that have weights."""


def files_of(path: Path) -> list[Path]:
    """The files that an export is made of: ``path``, and beside a ``.xml`` the ``.bin`` with its weights."""
    return [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]


def rename(path: Path, new_path: Path, suffix: str = "") -> None:
    """Rename all files of an export, replacing what was there.

    Args:
        path: the export.
        new_path: its new name.
        suffix: put behind the name of each file.
    """
    for old, new in zip(files_of(path), files_of(new_path), strict=True):
        old.replace(new.with_name(new.name + suffix))


def write_torch(program: Program, path: Path, metadata: Mapping[str, str]) -> None:
    """Write an ``ExportedProgram``; to load it, torch and torchvision (imported) are enough.

    Args:
        program: made with the primitives ``IN_TORCH``.
        path: the file.
        metadata: kept inside as ``metadata.json``.
    """
    with quiet(), torch.no_grad():
        exported = torch.export.export(
            program.module, (program.example,), dynamic_shapes=program.dynamic_shapes
        )
        torch.export.save(exported, path, extra_files={METADATA_FILE: json.dumps(metadata)})
