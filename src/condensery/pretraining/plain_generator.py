"""The generator of the baselines.

Bo Zhao's thesis (2022), appendix A.3: "two blocks which consists of the Up-sampling (scale_factor=2), Convolution
(stride=1), BatchNorm and LeakyReLU layers". What it leaves open: a linear layer before them, 3x3 kernels, slope 0.2,
and a convolution to the channels of an image after them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class PlainGenerator(nn.Module):
    """Makes images of a code and what stands for a class.

    Args:
        code_length, class_length: of its two inputs.
        width: channels of all layers.
        shape: of an image, (C, H, W); where doubling twice overshoots it, the border is cut off.
    """

    def __init__(self, code_length: int, class_length: int, width: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape
        self.first = (width, math.ceil(shape[1] / 4), math.ceil(shape[2] / 4))
        self.input = nn.Linear(code_length + class_length, math.prod(self.first))
        layers: list[nn.Module] = []
        for _ in range(2):
            layers.append(nn.Upsample(scale_factor=2))
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, shape[0], 3, padding=1))

    def forward(self, codes: Tensor, classes: Tensor) -> Tensor:
        """Codes (N, code_length), classes (N, class_length) -> images (N, C, H, W)."""
        x = self.input(torch.cat([codes, classes], 1)).view(len(codes), *self.first)
        return self.layers(x)[:, :, : self.shape[1], : self.shape[2]]
