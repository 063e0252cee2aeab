"""Which nodes are quantised: the network's own, not those of post-processing."""

from onnx import TensorProto, helper

from detection.exporting.int8 import network_nodes


def test_nodes_behind_the_last_layer_and_on_the_way_of_proposals_stay_in_float() -> None:
    nodes = [
        helper.make_node("Sub", ["images", "mean"], ["shifted"], "normalise"),
        helper.make_node("Conv", ["shifted", "w"], ["x"], "conv"),
        helper.make_node("Relu", ["x"], ["features"], "relu"),
        helper.make_node("Conv", ["features", "w"], ["deltas"], "rpn"),
        helper.make_node("Add", ["deltas", "anchors"], ["proposals"], "decode"),
        helper.make_node("RoiAlign", ["features", "proposals", "rows"], ["pooled"], "pool"),
        helper.make_node("Gemm", ["pooled", "w"], ["logits"], "dense"),
        helper.make_node("Add", ["logits", "mean"], ["boxes"], "last"),
    ]
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "detector", inputs, [])
    assert network_nodes(graph) == {"normalise", "conv", "relu", "rpn", "pool", "dense"}
