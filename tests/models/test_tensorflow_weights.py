"""TensorFlow's SSD on MobileNetV2: a graph in its format, run by OpenCV and by our network."""

import hashlib
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from detection.models import tensorflow_weights
from detection.models.backbones import MobileNetV2TensorFlowBackbone
from detection.models.published_weights import published_weights
from detection.models.ssd import BOX_STDS, build_ssd
from detection.models.tensorflow_graph import graph_message, read_constants, read_graph_file
from detection.models.tensorflow_weights import PublishedGraph, convert_ssd_mobilenet_v2
from detection.ops.coding import decode_boxes
from tests.models.frozen_graph import write_frozen_graph

NAME = "tensorflow/ssd_mobilenet_v2_coco"
UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
USED = [label for label in range(1, 91) if label not in UNUSED]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_frozen_graph(tmp_path_factory.mktemp("graph"))


def in_our_order() -> list[int]:
    """Where the anchors of our network are among TensorFlow's, whose in-between square is a cell's last."""
    places: list[int] = []
    for level, cells in enumerate((19, 10, 5, 3, 2, 1)):
        order = (0, 1, 2) if level == 0 else (0, 5, 1, 2, 3, 4)
        for _ in range(cells**2):
            first = len(places)
            places += [first + place for place in order]
    return places


@torch.no_grad()
def test_boxes_and_scores_are_those_of_the_graph(files: tuple[Path, Path]) -> None:
    generator = np.random.default_rng(1)
    image = cv2.resize(generator.integers(0, 256, (12, 12, 3), dtype=np.uint8), (300, 300))
    graph = cv2.dnn.readNetFromTensorflow(str(files[0]), str(files[1]))
    graph.setInput(cv2.dnn.blobFromImage(image))
    names = ["BoxEncodingPredictor/concat", "ClassPredictor/concat/sigmoid", "PriorBox/concat"]
    deltas, scores, priors = (torch.from_numpy(np.array(x)) for x in graph.forward(names))
    order = in_our_order()
    deltas, scores = deltas.reshape(1917, 4)[order], scores.reshape(1917, 91)[order]
    priors = priors.reshape(2, 1917, 4)[0, order] * 300
    assert scores.std() > 0.1
    assert deltas.std() > 0.1

    network = build_ssd(MobileNetV2TensorFlowBackbone(), 80, 300).eval()
    network.load_state_dict(convert_ssd_mobilenet_v2(files[0].read_bytes(), "graph"))
    output = network(torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0))
    torch.testing.assert_close(output.anchors, priors, atol=1e-3, rtol=0)
    torch.testing.assert_close(output.logits[0, :, 1:].sigmoid(), scores[:, USED], atol=1e-3, rtol=0)
    assert output.logits[0, :, 0].eq(0).all()
    boxes = decode_boxes(output.deltas[0], output.anchors, BOX_STDS)
    expected = decode_boxes(deltas, priors, BOX_STDS)
    torch.testing.assert_close(boxes / 300, expected / 300, atol=1e-3, rtol=0)


def test_an_archive_is_read_like_the_graph_in_it(tmp_path: Path) -> None:
    graph = np.random.default_rng(0).bytes(100_000)
    (tmp_path / "graph.pb").write_bytes(graph)
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "graph.pb", "model/saved_model/other.pb")
        archive.add(tmp_path / "graph.pb", "model/frozen_inference_graph.pb")
    assert read_graph_file(tmp_path / "model.tar.gz") == graph
    whole = (tmp_path / "model.tar.gz").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut\.tar\.gz is damaged \(.*\): fetch it again"):
        read_graph_file(tmp_path / "cut.tar.gz")
    with tarfile.open(tmp_path / "empty.tar", "w") as archive:
        archive.add(tmp_path / "graph.pb", "readme")
    with pytest.raises(ValueError, match=r"empty\.tar has no file frozen_inference_graph\.pb"):
        read_graph_file(tmp_path / "empty.tar")


def test_a_file_that_is_no_graph_or_another_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    content = files[0].read_bytes()
    (tmp_path / "cut.pb").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.pb").write_text("not a graph at all")
    for name in ("cut", "text"):
        with pytest.raises(ValueError, match=rf"{name}\.pb is damaged, or no frozen TensorFlow graph"):
            published_weights(NAME, str(tmp_path / f"{name}.pb"))
    (tmp_path / "other.pb").write_bytes(b"")
    with pytest.raises(ValueError, match=r"other\.pb is another graph.*are missing, the first is FeatureEx"):
        published_weights(NAME, str(tmp_path / "other.pb"))
    with pytest.raises(ValueError, match=r"no weights file .*nowhere\.pb; give tensorflow/ssd_mobilenet_v2"):
        published_weights(NAME, str(tmp_path / "nowhere.pb"))


def test_a_graph_of_other_classes_is_refused(tmp_path: Path) -> None:
    path, _ = write_frozen_graph(tmp_path, num_rows=4)
    with pytest.raises(ValueError, match=r"class_heads\.0\.0\.weight predicts 4 classes in this file"):
        convert_ssd_mobilenet_v2(path.read_bytes(), "graph")


@pytest.mark.parametrize("sizes", [[3], [2, 2], [2**40], [-1, 2], [2**32, 2**32]])
def test_a_constant_has_as_many_numbers_as_its_shape(sizes: list[int]) -> None:
    graph = graph_message()()
    node = graph.nodes.add(name=b"some/weights", op=b"Const")
    tensor = node.attributes.add(key=b"value").value.tensor
    tensor.dtype = 1
    for size in sizes:
        tensor.shape.dim.add(size=size)
    tensor.content = np.zeros(2, np.float32).tobytes()
    with pytest.raises(ValueError, match=r"graph: the constant some/weights has 2 numbers, its shape"):
        read_constants(graph.SerializeToString(), "graph")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[Path, Path]) -> Path:
    """Torch hub's folder; the published archive holds our graph, and lies beside it."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    served = tmp_path / "served.tar.gz"
    with tarfile.open(served, "w") as archive:  # compressing takes long
        archive.add(files[0], "model/frozen_inference_graph.pb")
    published = PublishedGraph(served.as_uri(), hashlib.sha256(files[0].read_bytes()).hexdigest())
    monkeypatch.setitem(tensorflow_weights.PUBLISHED_GRAPHS, "ssd_mobilenet_v2_coco", published)
    return tmp_path / "hub" / "checkpoints"


def test_the_archive_is_downloaded_checked_and_kept(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published_weights(NAME)
    (hub.parent.parent / "served.tar.gz").unlink()
    state = published_weights(NAME)  # it is there already
    assert state["class_heads.5.0.weight"].shape == (6 * 81, 128, 3, 3)
    wrong = tensorflow_weights.PUBLISHED_GRAPHS["ssd_mobilenet_v2_coco"]._replace(sha256="0")
    monkeypatch.setitem(tensorflow_weights.PUBLISHED_GRAPHS, "ssd_mobilenet_v2_coco", wrong)
    with pytest.raises(ValueError, match=r"not the published file \(wrong checksum.*delete it to fetch it"):
        published_weights(NAME)


def test_without_a_network_the_file_and_its_place_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    published = PublishedGraph((tmp_path / "served.tar.gz").as_uri(), "")
    monkeypatch.setitem(tensorflow_weights.PUBLISHED_GRAPHS, "ssd_mobilenet_v2_coco", published)
    with pytest.raises(ValueError, match=r"Cannot get the weights served\.tar\.gz") as caught:
        published_weights(NAME)
    message = str(caught.value)
    assert "\n" not in message
    assert (
        f"place it in {tmp_path / 'checkpoints'}, or give {NAME}:/path/to/frozen_inference_graph.pb"
        in message
    )
