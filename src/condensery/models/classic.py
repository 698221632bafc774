"""The other plain networks of the comparisons: MLP, LeNet, AlexNet, VGG11, AlexCifarNet.

Source: sizes from `networks.py` of the DC authors' repository; AlexCifarNet from Wang et al., "Dataset
Distillation", 2018. All take images of any size: where the authors pad 28-pixel grey images to 32, smaller
images are padded to 32 as well, and the heads are sized from what the convolutions make of an image.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from condensery.models.layers import LinearHead, count_features, extra_padding, make_norm, stack

_SMALLEST = 32  # pixels; three to five poolings need that much


class MLP(nn.Module):
    """Two hidden layers of 128 units on flattened images. No embedding."""

    def __init__(self, channels: int, image_size: tuple[int, int], num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(channels * image_size[0] * image_size[1], 128),
            nn.ReLU(),
            nn.Linear(128, 128),
            nn.ReLU(),
            nn.Linear(128, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, num_classes)."""
        return self.layers(x.flatten(1))


class LeNet(nn.Module):
    """Two 5x5 convolutions of 6 and 16 filters, each max-pooled, then 120 and 84 units. No embedding."""

    def __init__(self, channels: int, image_size: tuple[int, int], num_classes: int) -> None:
        super().__init__()
        padding = _padding(channels, image_size, 0)
        self.features = nn.Sequential(
            nn.Conv2d(channels, 6, 5, padding=padding),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.head = nn.Sequential(
            nn.Linear(count_features(self.features, channels, image_size), 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, num_classes)."""
        return self.head(self.features(x).flatten(1))


class AlexNet(LinearHead):
    """Five convolutions (128 and 192 of 5x5, then 256, 192, 192 of 3x3), 3 max-poolings, a linear head."""

    default_norm = "none"

    def __init__(
        self,
        channels: int,
        image_size: tuple[int, int],
        num_classes: int,
        *,
        norm: Literal["none", "batch"] = "none",
    ) -> None:
        super().__init__()

        def block(inputs: int, filters: int, kernel: int, padding: int | tuple[int, int]) -> nn.Sequential:
            normalise = make_norm(norm, (filters, 0, 0))  # neither kind needs height and width
            return stack(nn.Conv2d(inputs, filters, kernel, padding=padding), normalise, nn.ReLU())

        self.features = nn.Sequential(
            block(channels, 128, 5, _padding(channels, image_size, 2)),
            nn.MaxPool2d(2),
            block(128, 192, 5, 2),
            nn.MaxPool2d(2),
            block(192, 256, 3, 1),
            block(256, 192, 3, 1),
            block(192, 192, 3, 1),
            nn.MaxPool2d(2),
        )
        self.head = nn.Linear(count_features(self.features, channels, image_size), num_classes)


class VGG11(LinearHead):
    """Eight 3x3 convolutions, each with a norm, five max-poolings, a linear head."""

    default_norm = "instance"
    _filters = ((64,), (128,), (256, 256), (512, 512), (512, 512))  # a max-pooling after each group

    def __init__(
        self,
        channels: int,
        image_size: tuple[int, int],
        num_classes: int,
        *,
        norm: Literal["instance", "batch"] = "instance",
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs, padding = channels, _padding(channels, image_size, 1)
        for group in self._filters:
            for filters in group:
                layers.append(nn.Conv2d(inputs, filters, 3, padding=padding))
                layers += make_norm(norm, (filters, 0, 0))  # neither kind needs height and width
                layers.append(nn.ReLU())
                inputs, padding = filters, (1, 1)
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(count_features(self.features, channels, image_size), num_classes)


class AlexCifarNet(nn.Module):
    """The CIFAR-10 network of Dataset Distillation (Wang et al., 2018). No embedding.

    Two 5x5 convolutions of 64 filters with overlapping max-pooling and local response norm, then 384 and 192
    units.
    """

    def __init__(self, channels: int, image_size: tuple[int, int], num_classes: int) -> None:
        super().__init__()

        def response_norm() -> nn.Module:
            return nn.LocalResponseNorm(4, alpha=0.001 / 9, beta=0.75, k=1)

        self.features = nn.Sequential(
            nn.Conv2d(channels, 64, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
            response_norm(),
            nn.Conv2d(64, 64, 5, padding=2),
            nn.ReLU(),
            response_norm(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.head = nn.Sequential(
            nn.Linear(count_features(self.features, channels, image_size), 384),
            nn.ReLU(),
            nn.Linear(384, 192),
            nn.ReLU(),
            nn.Linear(192, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, num_classes)."""
        return self.head(self.features(x).flatten(1))


def _padding(channels: int, image_size: tuple[int, int], usual: int) -> tuple[int, int]:
    """Padding of the first convolution: `usual`, 2 more for grey images, more for images below 32 pixels."""
    rows, columns = extra_padding(image_size, _SMALLEST, extra=2 if channels == 1 else 0)
    return usual + rows, usual + columns
