"""A graph in the format of TensorFlow's ssd_mobilenet_v2_coco, with random weights, and OpenCV's text of it.

The names and the structure are those of the published graph, written down once more: what the project reads
is compared with what OpenCV computes.
"""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detection.models.tensorflow_graph import graph_message

FEATURES = "FeatureExtractor/MobilenetV2"
STAGES = (  # expansion, channels, blocks, stride: MobileNetV2 paper, table 2
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)
EXTRAS = ((256, 512), (128, 256), (128, 256), (64, 128))
SCALES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)


class FrozenGraph:
    """Nodes for OpenCV's text, and the constants of the binary file."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.constants: dict[str, NDArray[np.float32]] = {}
        self.text: list[str] = []

    def constant(self, name: str, value: NDArray[np.float64] | float) -> str:
        self.constants[name] = np.asarray(value, np.float32)
        return name

    def node(self, name: str, op: str, *inputs: str, **attributes: str) -> str:
        lines = [f'name: "{name}"', f'op: "{op}"', *(f'input: "{source}"' for source in inputs)]
        lines += [f'attr {{ key: "{key}" value {{ {value} }} }}' for key, value in attributes.items()]
        self.text.append("node { " + "\n".join(lines) + " }")
        return name

    def conv(self, name: str, source: str, shape: tuple[int, ...], stride: int = 1, **more: str) -> str:
        """A convolution without bias; a depthwise one where the shape ends with 1."""
        depthwise = shape[-1] == 1
        op, weights = ("DepthwiseConv2dNative", "depthwise_weights") if depthwise else ("Conv2D", "weights")
        fan_in = shape[0] * shape[1] * (1 if depthwise else shape[2])
        value = self.random.normal(0, math.sqrt(2 / fan_in), shape)
        steps = f"list {{ i: 1 i: {stride} i: {stride} i: 1 }}"
        own = {"padding": 's: "SAME"', "strides": steps, "dilations": "list { i: 1 i: 1 i: 1 i: 1 }"}
        inner = f"{name}/depthwise" if depthwise else f"{name}/Conv2D"
        return self.node(inner, op, source, self.constant(f"{name}/{weights}", value), **own, **more)

    def layer(
        self, name: str, source: str, shape: tuple[int, ...], stride: int = 1, relu: bool = True
    ) -> str:
        """A convolution, batch norm and ReLU6."""
        channels = shape[2] if shape[-1] == 1 else shape[3]
        drawn = {
            "gamma": self.random.uniform(0.5, 1.5, channels),
            "beta": self.random.normal(0, 0.2, channels),
            "moving_mean": self.random.normal(0, 0.02, channels),
            "moving_variance": 10 ** self.random.uniform(-3, 0, channels),  # eps is seen
        }
        statistics = [self.constant(f"{name}/BatchNorm/{key}", value) for key, value in drawn.items()]
        convolved = self.conv(name, source, shape, stride)
        # What is normalised has that variance, so that layers do not amplify differences.
        weights = self.constants[f"{name}/{'depthwise_weights' if shape[-1] == 1 else 'weights'}"]
        deviation = np.sqrt(drawn["moving_variance"]).astype(np.float32)
        weights *= deviation[:, None] if shape[-1] == 1 else deviation
        norm = self.node(
            f"{name}/BatchNorm/add_1", "FusedBatchNorm", convolved, *statistics, epsilon="f: 0.001"
        )
        return self.node(f"{name}/Relu6", "Relu6", norm) if relu else norm

    def backbone(self) -> list[tuple[str, int]]:
        """The two maps of MobileNetV2 and their channels."""
        self.node("image_tensor", "Placeholder", dtype="type: DT_UINT8")
        scaled = self.node(
            "Preprocessor/mul", "Mul", "image_tensor", self.constant("Preprocessor/mul/x", 2 / 255)
        )
        x = self.node("Preprocessor/sub", "Sub", scaled, self.constant("Preprocessor/sub/y", 1.0))
        x, channels, number = self.layer(f"{FEATURES}/Conv", x, (3, 3, 3, 32), 2), 32, 0
        for expansion, out, blocks, first_stride in STAGES:
            for i in range(blocks):
                name = f"{FEATURES}/expanded_conv" + (f"_{number}" if number else "")
                stride, wide, before = first_stride if i == 0 else 1, channels * expansion, x
                if number:
                    x = self.layer(f"{name}/expand", x, (1, 1, channels, wide))
                if number == 13:
                    finest = (x, wide)
                x = self.layer(f"{name}/depthwise", x, (3, 3, wide, 1), stride)
                x = self.layer(f"{name}/project", x, (1, 1, wide, out), relu=False)
                if i:
                    x = self.node(f"{name}/add", "Add", x, before)
                channels, number = out, number + 1
        return [finest, (self.layer(f"{FEATURES}/Conv_1", x, (1, 1, channels, 1280)), 1280)]

    def extras(self, maps: list[tuple[str, int]]) -> None:
        for i, (mid, out) in enumerate(EXTRAS, 2):
            x, channels = maps[-1]
            x = self.layer(f"{FEATURES}/layer_19_1_Conv2d_{i}_1x1_{mid}", x, (1, 1, channels, mid))
            name = f"{FEATURES}/layer_19_2_Conv2d_{i}_3x3_s2_{out}"
            x = self.layer(f"{name}_depthwise", x, (3, 3, mid, 1), 2)
            maps.append((self.layer(name, x, (1, 1, mid, out)), out))

    def predictor(self, name: str, source: str, channels: int, out: int, std: float, **more: str) -> str:
        convolved = self.conv(name, source, (3, 3, channels, out), stride=1, **more)
        self.constants[f"{name}/weights"] *= std
        biases = self.constant(f"{name}/biases", self.random.normal(0, std, out))
        biased = self.node(f"{name}/BiasAdd", "BiasAdd", convolved, biases)
        return self.node(f"{name}/BiasAdd/Flatten", "Flatten", biased)

    def heads(self, maps: list[tuple[str, int]], num_rows: int) -> None:
        """Predictors and anchors; ``num_rows`` of a class predictor belong to an anchor."""
        flat: dict[str, list[str]] = {"ClassPredictor": [], "BoxEncodingPredictor": [], "PriorBox": []}
        for i, (source, channels) in enumerate(maps):
            shapes = _shapes(i)
            name, axes = f"BoxPredictor_{i}", {"loc_pred_transposed": "b: true"}
            boxes = self.predictor(
                f"{name}/BoxEncodingPredictor", source, channels, 4 * len(shapes), 0.3, **axes
            )
            classes = self.predictor(f"{name}/ClassPredictor", source, channels, num_rows * len(shapes), 1.5)
            anchors = self.node(
                f"PriorBox_{i}",
                "PriorBox",
                f"{name}/BoxEncodingPredictor/BiasAdd",
                "image_tensor",
                clip="b: false",
                flip="b: false",
                width=_floats([w for w, _ in shapes]),
                height=_floats([h for _, h in shapes]),
                variance=_floats([0.1, 0.1, 0.2, 0.2]),
            )
            for key, found in zip(flat, (classes, boxes, anchors), strict=True):
                flat[key].append(found)
        axis = "tensor { dtype: DT_INT32 tensor_shape { } int_val: -1 }"
        self.node("concat/axis_flatten", "Const", value=axis)
        for key, parts in flat.items():
            self.node(f"{key}/concat", "ConcatV2", *parts, "concat/axis_flatten")
        self.node("ClassPredictor/concat/sigmoid", "Sigmoid", "ClassPredictor/concat")

    def write(self, folder: Path) -> tuple[Path, Path]:
        graph = graph_message()()
        for name, value in self.constants.items():
            node = graph.nodes.add(name=name.encode(), op=b"Const")
            attribute = node.attributes.add(key=b"value")
            tensor = attribute.value.tensor
            tensor.dtype = 1
            for size in value.shape:
                tensor.shape.dim.add(size=size)
            if value.ndim:
                tensor.content = value.tobytes()
            else:
                tensor.floats.append(float(value))
            node.attributes.add(key=b"dtype").value.MergeFromString(b"\x30\x01")  # type: DT_FLOAT
        binary, text = folder / "frozen_inference_graph.pb", folder / "graph.pbtxt"
        binary.write_bytes(graph.SerializeToString())
        text.write_text("\n".join(self.text))
        return binary, text


def _shapes(level: int) -> list[tuple[float, float]]:
    """``(width, height)`` in pixels of the anchors of a cell."""
    if level == 0:
        chosen = [(0.1, 1.0), (0.2, 2.0), (0.2, 0.5)]
    else:
        between = math.sqrt(SCALES[level] * SCALES[level + 1])
        chosen = [*((SCALES[level], ratio) for ratio in (1, 2, 0.5, 3, 0.3333)), (between, 1)]
    return [(300 * scale * math.sqrt(ratio), 300 * scale / math.sqrt(ratio)) for scale, ratio in chosen]


def _floats(values: list[float]) -> str:
    numbers = " ".join(f"float_val: {value:.7f}" for value in values)
    return f"tensor {{ dtype: DT_FLOAT tensor_shape {{ dim {{ size: {len(values)} }} }} {numbers} }}"


def write_frozen_graph(folder: Path, num_rows: int = 91) -> tuple[Path, Path]:
    """Write the graph and its text; ``num_rows`` classes with the background."""
    graph = FrozenGraph(seed=0)
    maps = graph.backbone()
    graph.extras(maps)
    graph.heads(maps, num_rows)
    return graph.write(folder)
