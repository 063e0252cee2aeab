"""Which nodes are quantised: the network's own, not those of post-processing."""

import numpy as np
from onnx import TensorProto, helper

from detection.exporting.int8 import layers_and_between, network_nodes


def test_nodes_behind_the_last_layer_and_on_the_way_of_proposals_stay_in_float() -> None:
    nodes = [
        helper.make_node("Sub", ["images", "mean"], ["shifted"], "normalise"),
        helper.make_node("Conv", ["shifted", "w"], ["x"], "conv"),
        helper.make_node("Relu", ["x"], ["features"], "relu"),
        helper.make_node("Conv", ["features", "w"], ["deltas"], "rpn"),
        helper.make_node("Add", ["deltas", "anchors"], ["proposals"], "decode"),
        helper.make_node("RoiAlign", ["features", "proposals", "rows"], ["pooled"], "pool"),
        helper.make_node("Floor", ["proposals"], ["levels"], "level"),
        helper.make_node("ScatterND", ["zeros", "levels", "pooled"], ["placed"], "place"),
        helper.make_node("Gemm", ["placed", "w"], ["logits"], "dense"),
        helper.make_node("Add", ["logits", "mean"], ["boxes"], "last"),
    ]
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "detector", inputs, [])
    assert network_nodes(graph) == {"normalise", "conv", "relu", "rpn", "pool", "place", "dense"}


def test_the_same_holds_for_openvino() -> None:
    from openvino import Model, opset13

    images = opset13.parameter([1, 3, 8, 8], np.float32, name="images")
    shifted = opset13.subtract(images, opset13.constant(np.float32(1)), name="normalise")
    kernel = opset13.constant(np.ones((2, 3, 1, 1), np.float32))
    sides = [1, 1], [0, 0], [0, 0], [1, 1]
    features = opset13.convolution(shifted, kernel, *sides, name="conv")
    level = opset13.floor(opset13.reshape(features, [128, 1], False), name="level")
    rows = opset13.convert(level, np.int64, name="rows")
    pooled = opset13.reshape(features, [128], False, name="pool")
    zeros = opset13.constant(np.zeros(128, np.float32))
    placed = opset13.reshape(opset13.scatter_nd_update(zeros, rows, pooled, name="place"), [1, 128], False)
    weights = opset13.constant(np.ones((128, 4), np.float32))
    logits = opset13.matmul(placed, weights, False, False, name="dense")
    boxes = opset13.softmax(logits, axis=1, name="last")
    names = layers_and_between(Model([boxes], [images], "detector"))
    assert {"conv", "normalise", "images", "pool", "dense"} <= names
    assert names.isdisjoint({"last", "level", "rows", "place"})
