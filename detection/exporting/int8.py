"""Eight-bit weights and activations: for ONNX by onnxruntime's static quantisation, for OpenVINO by NNCF."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor

from detection.exporting.writers import OPENVINO_LAYERS, quiet
from detection.reader import import_unreported
from detection.system.progress import Tracker

# What has an eight-bit kernel, or passes eight-bit numbers on.
_TYPES = ("Conv", "Gemm", "MatMul", "Relu", "Clip", "MaxPool", "Add", "GlobalAveragePool")
_LAYERS = ("Conv", "Gemm", "MatMul")
_POOLING = ("ROIAlign", "ScatterNDUpdate")  # of OpenVINO
# The inputs that are features, by type of node; of other types all are.
_FEATURES = {"RoiAlign": (0,), "ScatterND": (0, 2)}


def quantise_onnx(path: Path, int8_path: Path, images: Iterable[Tensor], count: int) -> int:
    """Write an eight-bit copy: QDQ format, seven-bit weights per channel, ranges from calibration images.

    Everything before the first and behind the last convolution or dense layer stays in float: normalisation,
    decoding, softmax, suppression, the choice of proposals, and RoIAlign.

    Args:
        path: an ONNX file of this package.
        int8_path: the file to write.
        images: uint8 ``(3, h, w)`` each, inputs as the detector meets them.
        count: how many there are, for the progress.

    Returns:
        How many layers were quantised.
    """
    import onnx

    quantization = import_unreported("onnxruntime.quantization")

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.images = iter(images)

        def get_next(self) -> dict[str, Any] | None:
            image = next(self.images, None)
            if image is None:
                return None
            tracker.advance(1)
            return {"images": image.unsqueeze(0).numpy().astype(dtype)}

    model = onnx.load(path)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(model.graph.input[0].type.tensor_type.elem_type)
    inside = network_nodes(model.graph)
    nodes = [node.name for node in model.graph.node if node.name in inside and node.op_type in _TYPES]
    with Tracker("calibration images", count) as tracker, quiet():
        quantization.quantize_static(
            path,
            int8_path,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(_TYPES),
            nodes_to_quantize=nodes,
            per_channel=True,
            # In eight bits the sums of CPUs without VNNI run over: an mAP of 72.7 fell to 53.0, in 7 to 69.2.
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
    return sum(node.op_type in _LAYERS and node.name in inside for node in model.graph.node)


def network_nodes(graph: Any) -> set[str]:
    """The names of the convolutions, the dense layers, and of all between them.

    From a layer back to the input, along features alone: neither the regions of RoIAlign nor the rows that
    its results are put into come from the network, but from the decoding and the choice of proposals.

    Args:
        graph: of an ONNX model of this package.
    """
    producers = {output: node for node in graph.node for output in node.output}
    layers = [node for node in graph.node if node.op_type in _LAYERS]
    found = {node.name for node in layers}
    waiting = list(layers)
    while waiting:
        node = waiting.pop()
        features = _FEATURES.get(node.op_type, range(len(node.input)))
        for producer in (producers.get(node.input[row]) for row in features):
            if producer is not None and producer.name not in found:
                found.add(producer.name)
                waiting.append(producer)
    return found


def quantise_openvino(path: Path, int8_path: Path, images: Iterable[Tensor], count: int) -> int:
    """Write an eight-bit copy by NNCF: weights per channel, ranges from calibration images, biases corrected.

    As for ONNX, everything before the first and behind the last layer stays in float.

    Args:
        path: an OpenVINO file of this package.
        int8_path: the ``.xml`` to write.
        images: uint8 ``(3, h, w)`` each, inputs as the detector meets them.
        count: how many there are, for the progress.

    Returns:
        How many layers were quantised.
    """
    openvino, nncf = import_unreported("openvino"), import_unreported("nncf")
    model = openvino.Core().read_model(path)
    dtype = model.input("images").get_element_type().to_dtype()
    inside = layers_and_between(model)
    names = [op.get_friendly_name() for op in model.get_ordered_ops()]
    outside = [name for name in names if name not in inside]

    def as_input(image: Tensor) -> dict[str, Any]:
        return {"images": image.unsqueeze(0).numpy().astype(dtype)}

    nncf.set_log_level(logging.ERROR)  # its bars stay
    with quiet():
        quantised = nncf.quantize(
            model,
            nncf.Dataset(list(images), as_input),  # they are read more than once
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=count,
            ignored_scope=nncf.IgnoredScope(names=outside, validate=False),
        )
    openvino.save_model(quantised, int8_path, compress_to_fp16=False)
    return sum(op.get_type_name() in OPENVINO_LAYERS for op in model.get_ordered_ops())


def layers_and_between(model: Any) -> set[str]:
    """The same as `network_nodes` of an OpenVINO model, without the pooling of regions.

    NNCF would measure the range of each level's regions by itself. Of an image that has none of a level it is
    from 0 to 0, and so it stayed: with that, a detector lost 27 of 46 points of mAP.
    """
    waiting = [op for op in model.get_ordered_ops() if op.get_type_name() in OPENVINO_LAYERS]
    found = {op.get_friendly_name() for op in waiting}
    pooling = set()
    while waiting:
        op = waiting.pop()
        if op.get_type_name() in _POOLING:
            pooling.add(op.get_friendly_name())
        features = 1 if op.get_type_name() == "ROIAlign" else op.get_input_size()
        for value in (op.input_value(row) for row in range(features)):
            producer = value.get_node()
            if not value.get_element_type().is_real():
                continue  # indices and shapes
            if producer.get_friendly_name() not in found:
                found.add(producer.get_friendly_name())
                waiting.append(producer)
    return found - pooling
