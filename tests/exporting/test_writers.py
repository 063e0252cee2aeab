"""What is written of a network's layers."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from detection.exporting.build import Program
from detection.exporting.writers import write_half, write_openvino
from detection.reader import Reader, import_unreported


class Depthwise(nn.Module):
    """Each channel by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(4, 4, 3, groups=4)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"boxes": self.layer(images)}


def weights_of_layers(path: Path) -> list[str]:
    """The kinds of nodes that grouped convolutions take their weights from."""
    layers = import_unreported("openvino").Core().read_model(path).get_ordered_ops()
    grouped = [layer for layer in layers if layer.get_type_name() == "GroupConvolution"]
    return [layer.input_value(1).get_node().get_type_name() for layer in grouped]


def test_weights_of_depthwise_layers_are_had_in_fewer_bits(tmp_path: Path) -> None:
    """NNCF and `write_half` find them; behind the Reshape that ONNX needs they would not."""
    torch.manual_seed(0)
    module = Depthwise().requires_grad_(False)
    shapes = {"images": {0: Dim("batch", min=1, max=8)}}
    write_openvino(Program(module, torch.zeros(2, 4, 8, 8), shapes, ("boxes",)), tmp_path / "a.xml", {})
    assert weights_of_layers(tmp_path / "a.xml") == ["Constant"]
    write_half(tmp_path / "a.xml", tmp_path / "half.xml")
    assert weights_of_layers(tmp_path / "half.xml") == ["Convert"]
    images = torch.rand(1, 4, 8, 8)
    for name, tolerance in (("a.xml", 1e-5), ("half.xml", 1e-3)):
        found = Reader(tmp_path / name).run(images.numpy())["boxes"]
        np.testing.assert_allclose(found, module(images)["boxes"], atol=tolerance)
