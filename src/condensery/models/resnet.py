"""ResNet18 with a stem for small images, and its variant that pools where the original strides.

Source: He et al., CVPR 2016; sizes from classes `ResNet` and `ResNet_AP` in the DC authors' `networks.py`.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from condensery.models.layers import AveragePool, LinearHead, count_features, extra_padding, make_norm, stack

Norm = Literal["instance", "batch"]

_SMALLEST = 16  # pixels; below, the last stage would see single pixels, of which an instance norm makes zeros


class _Block(nn.Module):
    """Two 3x3 convolutions with norms, and a shortcut; the first one halves the size where `halve` is set.

    With `pool`, halving is an average pooling after stride-1 convolutions instead of a stride of 2.
    """

    def __init__(self, inputs: int, filters: int, halve: bool, pool: bool, norm: Norm) -> None:
        super().__init__()
        stride = 2 if halve and not pool else 1
        halving = [AveragePool(2)] if halve and pool else []
        self.residual = stack(
            nn.Conv2d(inputs, filters, 3, stride=stride, padding=1, bias=False),
            make_norm(norm, (filters, 0, 0)),  # neither kind needs height and width
            nn.ReLU(),
            halving,
            nn.Conv2d(filters, filters, 3, padding=1, bias=False),
            make_norm(norm, (filters, 0, 0)),
        )
        self.shortcut = nn.Sequential()
        if halve or inputs != filters:
            # Pooling commutes with a 1x1 convolution; pooling first, as here, is a quarter of the work.
            self.shortcut = stack(
                halving,
                nn.Conv2d(inputs, filters, 1, stride=stride, bias=False),
                make_norm(norm, (filters, 0, 0)),
            )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.residual(x) + self.shortcut(x))


class _Stages(nn.Sequential):
    """Stem and the four stages of two blocks each: images (N, C, H, W) -> features (N, 512, h, w)."""

    def __init__(self, channels: int, image_size: tuple[int, int], norm: Norm, pool: bool) -> None:
        rows, columns = extra_padding(image_size, _SMALLEST)
        layers: list[nn.Module] = [
            nn.Conv2d(channels, 64, 3, padding=(1 + rows, 1 + columns), bias=False),
            *make_norm(norm, (64, 0, 0)),
            nn.ReLU(),
        ]
        inputs = 64
        for filters in (64, 128, 256, 512):
            layers.append(_Block(inputs, filters, inputs != filters, pool, norm))
            layers.append(_Block(filters, filters, False, pool, norm))
            inputs = filters
        super().__init__(*layers)


class ResNet18(nn.Module):
    """Stem of one 3x3 convolution with stride 1 and no pooling, four stages, global average, linear head.

    Images below 16 pixels are padded to 16 by the stem.
    """

    default_norm = "instance"

    def __init__(
        self, channels: int, image_size: tuple[int, int], num_classes: int, *, norm: Norm = "instance"
    ) -> None:
        super().__init__()
        self.features = _Stages(channels, image_size, norm, pool=False)
        self.head = nn.Linear(512, num_classes)

    def embed(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> mean of the last features over all positions (N, 512), input of the head."""
        return self.features(x).mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, num_classes)."""
        return self.head(self.embed(x))


class ResNet18AP(LinearHead):
    """ResNet18 that halves by average pooling instead of strides; its head sees every position.

    Images below 16 pixels are padded to 16 by the stem.
    """

    default_norm = "instance"  # what stands in for batch norm; the paper uses the network with batch norm

    def __init__(
        self, channels: int, image_size: tuple[int, int], num_classes: int, *, norm: Norm = "batch"
    ) -> None:
        super().__init__()
        self.features = _Stages(channels, image_size, norm, pool=True)
        self.head = nn.Linear(count_features(self.features, channels, image_size), num_classes)
