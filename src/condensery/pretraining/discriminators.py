"""Discriminators: what tells real from generated, given what stands for the class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvolutionalTrunk(nn.Module):
    """Three blocks of stride-2 convolution, batch norm and LeakyReLU (Zhao, 2022, appendix A.3) on images and classes.

    What stands for the class enters as one more channel, a linear map of it. What the thesis leaves open: kernels of 4,
    `width` filters, doubled from block to block, no norm in the first block, slope 0.2.

    Attributes:
        length: of its output.
    """

    def __init__(self, shape: tuple[int, int, int], class_length: int, width: int) -> None:
        super().__init__()
        channels, rows, columns = shape
        self.plane = nn.Linear(class_length, rows * columns)
        layers: list[nn.Module] = []
        inputs, filters = channels + 1, width
        for block in range(3):
            padding = (1 if rows > 1 else 2, 1 if columns > 1 else 2)  # a single pixel stays one
            layers.append(nn.Conv2d(inputs, filters, 4, stride=2, padding=padding))
            layers += [nn.BatchNorm2d(filters)] if block else []
            layers.append(nn.LeakyReLU(0.2))
            rows, columns = _halved(rows), _halved(columns)
            inputs, filters = filters, 2 * filters
        self.layers = nn.Sequential(*layers)
        self.length = inputs * rows * columns

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Images (N, C, H, W), classes (N, class_length) -> features (N, length)."""
        plane = self.plane(classes).view(len(images), 1, *images.shape[2:])
        return self.layers(torch.cat([images, plane], 1)).flatten(1)


class ImageDiscriminator(nn.Module):
    """Sees images: a convolutional trunk with linear heads for the source and, as auxiliary classifier, the class."""

    def __init__(self, shape: tuple[int, int, int], class_length: int, classes: int, width: int) -> None:
        super().__init__()
        self.trunk = ConvolutionalTrunk(shape, class_length, width)
        self.source = nn.Linear(self.trunk.length, 1)
        self.classifier = nn.Linear(self.trunk.length, classes)

    def forward(self, images: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W), classes (N, class_length) -> logits: of being real (N,), of classes (N, classes)."""
        x = self.trunk(images, classes)
        return self.source(x).squeeze(1), self.classifier(x)


def _halved(side: int) -> int:
    return max(1, side // 2)


class FeatureDiscriminator(nn.Module):
    """Sees features: a multilayer perceptron whose last layer is a sigmoid (Zhang et al., section 4.2), here its logit.

    The auxiliary classifier (section 3.2) is a linear head on the same features. What the paper leaves open: two hidden
    layers of `width` units, LeakyReLU of slope 0.2.
    """

    def __init__(self, length: int, class_length: int, classes: int, width: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Linear(length + class_length, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
        )
        self.source = nn.Linear(width, 1)
        self.classifier = nn.Linear(length, classes)

    def forward(self, features: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, length), classes (N, class_length) -> logits: of being real (N,), of classes (N, classes)."""
        seen = self.hidden(torch.cat([features, classes], 1))
        return self.source(seen).squeeze(1), self.classifier(features)


def discriminator_loss(real: Tensor, generated: Tensor) -> Tensor:
    """-E log D(x) - E log(1 - D(G(z))), what the discriminator minimises (eq. 1), of logits (N,) and (M,)."""
    return F.softplus(-real).mean() + F.softplus(generated).mean()


def generator_loss(generated: Tensor) -> Tensor:
    """-E log D(G(z)) of logits (M,): E log(1 - D(G(z))), as eq. 1 has it, fades where D is sure."""
    return F.softplus(-generated).mean()
