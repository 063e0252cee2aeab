"""TensorFlow's SSD with MobileNetV2, trained on COCO, under the names of our network's tensors.

TensorFlow scores each class by a sigmoid of its own. A softmax over those logits and a 0 for the background
ranks detections as well, and it is what the network is trained with from there on: the background's weights
are zeros. Of COCO's 90 ids ten were never used; they are dropped.
"""

import hashlib
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from detection.models.tensorflow_graph import MEMBER, read_constants, read_graph_file
from detection.models.torchvision_weights import State, existing_rows

_FEATURES = "FeatureExtractor/MobilenetV2"
_EXTRAS = ((256, 512), (128, 256), (128, 256), (64, 128))
# Of each map: TensorFlow's square between two sizes comes last, ours second; the finest map has none.
_ANCHOR_ORDERS = ((0, 1, 2), *[(0, 5, 1, 2, 3, 4)] * 5)
_XYWH = [1, 0, 3, 2]  # TensorFlow's deltas are those of y, x, height and width
_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


class PublishedGraph(NamedTuple):
    """A frozen graph that TensorFlow publishes."""

    url: str
    sha256: str
    """Of the graph in the archive."""


PUBLISHED_GRAPHS = {
    "ssd_mobilenet_v2_coco": PublishedGraph(
        "https://download.tensorflow.org/models/object_detection/ssd_mobilenet_v2_coco_2018_03_29.tar.gz",
        "2a8d8a89d695842e60d8c6d144181100555563e21acf2fa1e8f561fec5c3c6ad",
    )
}
"""By TensorFlow's names."""


def download_graph(name: str, otherwise: str) -> bytes:
    """Downloads an archive into torch hub's folder, or finds it there, and reads the graph in it.

    Args:
        name: one of ``PUBLISHED_GRAPHS``.
        otherwise: what else the user can do, for the error message.

    Raises:
        ValueError: it cannot be had, or is not what was published.
    """
    url, sha256 = PUBLISHED_GRAPHS[name]
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path))
        except (OSError, HTTPException, RuntimeError) as error:  # no network, broken off
            raise ValueError(
                f"Cannot get the weights {path.name} ({error}): download {url} and place it in "
                f"{path.parent}, or {otherwise}."
            ) from error
    graph = read_graph_file(path)
    if hashlib.sha256(graph).hexdigest() != sha256:
        raise ValueError(
            f"{path} is not the published file (wrong checksum of {MEMBER}): delete it to fetch it again, or "
            f"{otherwise}."
        )
    return graph


def convert_ssd_mobilenet_v2(graph: bytes, source: str) -> State:
    """Renames the constants of a frozen graph to the tensors of our SSD of 80 classes.

    Args:
        graph: the file's content.
        source: its name, for the error message.

    Raises:
        ValueError: it is damaged or another graph.
    """
    constants = read_constants(graph, source)
    names = dict(_names())
    missing = [name for name in names.values() if name not in constants]
    if missing:
        raise ValueError(
            f"{source} is another graph than that of ssd_mobilenet_v2_coco: {len(missing)} of {len(names)} "
            f"constants are missing, the first is {missing[0]}."
        )
    state = {ours: _in_our_layout(constants[theirs], theirs, source) for ours, theirs in names.items()}
    for key in [key for key in state if key.endswith(".running_var")]:
        state[key.replace("running_var", "num_batches_tracked")] = torch.tensor(0)
    for i, order in enumerate(_ANCHOR_ORDERS):
        for name in ("weight", "bias"):
            key = f"class_heads.{i}.0.{name}"
            rows = existing_rows(state[key], len(order), f"{source}: {key}", background=True)
            by_class = rows.unflatten(0, (len(order), -1))[list(order)]
            by_class[:, 0] = 0
            state[key] = by_class.flatten(0, 1)
            key = f"box_heads.{i}.0.{name}"
            if state[key].shape[:1] != (4 * len(order),):
                raise ValueError(f"{source}: {key} has the shape {list(state[key].shape)}: another graph's.")
            state[key] = state[key].unflatten(0, (-1, 4))[list(order)][:, _XYWH].flatten(0, 1)
    state["mean"] = state["std"] = torch.full((1, 3, 1, 1), 127.5)
    return state


def _names() -> Iterator[tuple[str, str]]:
    """The name of each tensor of ours and of the constant that it is made of."""
    for conv, norm, scope in _layers():
        weights = "depthwise_weights" if scope.endswith("depthwise") else "weights"
        yield f"{conv}.weight", f"{_FEATURES}/{scope}/{weights}"
        for theirs, ours in _NORM.items():
            yield f"{norm}.{ours}", f"{_FEATURES}/{scope}/BatchNorm/{theirs}"
    for i in range(len(_ANCHOR_ORDERS)):
        for heads, predictor in (("class_heads", "ClassPredictor"), ("box_heads", "BoxEncodingPredictor")):
            yield f"{heads}.{i}.0.weight", f"BoxPredictor_{i}/{predictor}/weights"
            yield f"{heads}.{i}.0.bias", f"BoxPredictor_{i}/{predictor}/biases"


def _layers() -> Iterator[tuple[str, str, str]]:
    """Each convolution of the backbone and the extras, the batch norm behind it, and TensorFlow's scope."""
    yield "backbone.features.0.0", "backbone.features.0.1", "Conv"
    yield "backbone.features.18.0", "backbone.features.18.1", "Conv_1"
    for block in range(17):
        scope = f"expanded_conv_{block}" if block else "expanded_conv"
        layers = ["expand", "depthwise"] if block else ["depthwise"]
        ours = f"backbone.features.{block + 1}.conv"
        for i, layer in enumerate(layers):
            yield f"{ours}.{i}.0", f"{ours}.{i}.1", f"{scope}/{layer}"
        yield f"{ours}.{len(layers)}", f"{ours}.{len(layers) + 1}", f"{scope}/project"
    for i, (mid, out) in enumerate(_EXTRAS):
        second = f"layer_19_2_Conv2d_{i + 2}_3x3_s2_{out}"
        scopes = (f"layer_19_1_Conv2d_{i + 2}_1x1_{mid}", f"{second}_depthwise", second)
        for place, scope in enumerate(scopes):
            yield f"extras.{i}.{3 * place}", f"extras.{i}.{3 * place + 1}", scope


def _in_our_layout(constant: Tensor, name: str, source: str) -> Tensor:
    if not name.endswith("weights"):
        return constant
    if constant.ndim != 4:
        raise ValueError(f"{source}: the constant {name} has the shape {list(constant.shape)}.")
    axes = (2, 3, 0, 1) if name.endswith("depthwise_weights") else (3, 2, 0, 1)
    return constant.permute(axes)
