"""Writing a detector as ONNX or as a program of torch.export."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch

from detection.exporting.build import Program
from detection.exporting.quiet import quiet
from detection.exporting.suppression import translation_to_onnx

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
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"format=onnx needs onnx, onnxscript and onnxruntime ({error}): pip install -e '.[export]'"
        ) from error


def write_onnx(program: Program, path: Path, metadata: Mapping[str, str]) -> None:
    """Write an ONNX file whose suppression is the standard NonMaxSuppression.

    Args:
        program: made with the primitives ``IN_ONNX``.
        path: the file.
        metadata: kept as the model's ``metadata_props``.
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
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    onnx.save(model, path)


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
