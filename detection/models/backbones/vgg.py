"""VGG16 with atrous fc6 and fc7, as SSD uses it (SSD paper, section 3)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import VGG16_Weights

from detection.bounds import Natural
from detection.models.backbones.base import IMAGENET_MEAN, IMAGENET_STD, Backbone
from detection.models.backbones.weights import State, load_submodule, read_weights

_STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # (convolutions, channels), VGG paper, table 1, D
_CONV4_3 = 23  # how many of the layers below end with the ReLU of conv4_3


class L2Norm(nn.Module):
    """Scales every cell's feature vector to a learned length per channel (ParseNet).

    conv4_3 has far larger activations than the deeper maps; SSD starts all lengths at 20 (section 3.1).
    """

    def __init__(self, channels: int, scale: float = 20.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: Tensor) -> Tensor:
        """Normalises ``(B, C, H, W)`` over ``C``, in float32: squares of activations overflow in half."""
        return (self.scale.view(1, -1, 1, 1) * F.normalize(x.float(), dim=1)).to(x.dtype)


class VGG16AtrousBackbone(Backbone):
    """VGG16 whose fully connected layers became convolutions; maps conv4_3 (stride 8) and fc7 (stride 16).

    ``mean`` and ``std`` follow the weights. The published file (``IMAGENET1K_FEATURES``) was converted
    from Caffe: it wants ``std`` 1 and has no usable classifier, so fc6 and fc7 start from Xavier. A file
    with a classifier (``IMAGENET1K_V1``) was trained by torchvision, wants the ordinary ImageNet ``mean``
    and ``std``, and its classifier is subsampled into fc6 and fc7.

    Args:
        weights: ``"imagenet"``, a path, or None for random.
        frozen_blocks: how many of the five stages, from the input on, keep their weights.

    Raises:
        ValueError: if the weights cannot be had or do not fit.
    """

    family = "vgg16_atrous"
    channels = (512, 1024)
    strides = (8, 16)
    mean = (123.0, 117.0, 104.0)
    std = (1.0, 1.0, 1.0)

    def __init__(self, weights: str | None = "imagenet", frozen_blocks: Natural = 0) -> None:
        super().__init__(frozen_blocks=frozen_blocks)
        self.features = _vgg16_features()
        self.norm4 = L2Norm(512)
        self.fc6 = nn.Conv2d(512, 1024, 3, padding=6, dilation=6)
        self.fc7 = nn.Conv2d(1024, 1024, 1)
        for conv in (self.fc6, self.fc7):
            nn.init.xavier_uniform_(conv.weight)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        if weights is not None:
            state = read_weights(weights, VGG16_Weights.IMAGENET1K_FEATURES)
            prefix = load_submodule(self.features, state, weights)
            self._load_classifier(state, prefix.removesuffix("features.") + "classifier.")
        self.train()

    def _load_classifier(self, state: State, prefix: str) -> None:
        tensors = [state.get(prefix + key) for key in ("0.weight", "0.bias", "3.weight", "3.bias")]
        # The Caffe conversion has a classifier of NaN.
        if any(tensor is None or not tensor.isfinite().all() for tensor in tensors):
            return
        fc6_weight, fc6_bias, fc7_weight, fc7_bias = (tensor for tensor in tensors if tensor is not None)
        _fill(self.fc6, *linear_to_conv(fc6_weight, fc6_bias, (4096, 512, 7, 7), (4, 1, 3, 3)))
        _fill(self.fc7, *linear_to_conv(fc7_weight, fc7_bias, (4096, 4096, 1, 1), (4, 4, 1, 1)))
        self.mean, self.std = IMAGENET_MEAN, IMAGENET_STD

    def blocks(self) -> Sequence[nn.Module]:
        """The five stages, each up to its pool."""
        pools = [i + 1 for i, layer in enumerate(self.features) if isinstance(layer, nn.MaxPool2d)]
        return [self.features[start:stop] for start, stop in zip([0, *pools], pools, strict=False)]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Returns conv4_3, normalised, and fc7. The layers after conv4_3 see it un-normalised."""
        conv4_3 = self.features[:_CONV4_3](images)
        x = self.features[_CONV4_3:](conv4_3)
        x = F.relu(self.fc7(F.relu(self.fc6(x))))
        return [self.norm4(conv4_3), x]


def _vgg16_features() -> nn.Sequential:
    """The 13 convolutions, in torchvision's order, with SSD's pools.

    Pools round up, so that 75 cells become 38, and pool5 keeps the resolution for the atrous fc6.
    """
    layers: list[nn.Module] = []
    in_channels = 3
    for num_convs, channels in _STAGES:
        for _ in range(num_convs):
            conv = nn.Conv2d(in_channels, channels, 3, padding=1)
            # Without batch norm, PyTorch's default would let the signal vanish over 13 layers.
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
            layers += [conv, nn.ReLU(inplace=True)]
            in_channels = channels
        layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
    layers[-1] = nn.MaxPool2d(3, 1, padding=1)
    return nn.Sequential(*layers)


def linear_to_conv(
    weight: Tensor, bias: Tensor, shape: tuple[int, int, int, int], every: tuple[int, int, int, int]
) -> tuple[Tensor, Tensor]:
    """Subsamples a fully connected layer into a smaller convolution (SSD paper, section 3, after DeepLab).

    fc6 sees 7x7 cells; taking every 3rd gives a 3x3 kernel, and the dilation of the convolution spreads
    it over the old field again. Of the 4096 channels every 4th is kept.

    Args:
        weight: ``(O, I * H * W)`` of the linear layer.
        bias: ``(O,)``.
        shape: ``(O, I, H, W)``, how the linear layer reads its input.
        every: which fraction of each of those four is kept, counted from index 0.

    Returns:
        The weight and bias of the convolution.
    """
    out_step, in_step, row_step, col_step = every
    kernel = weight.reshape(shape)
    return kernel[::out_step, ::in_step, ::row_step, ::col_step].clone(), bias[::out_step].clone()


def _fill(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    conv.load_state_dict({"weight": weight, "bias": bias})
