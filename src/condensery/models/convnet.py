"""ConvNet, the network on which all methods learn and are compared.

Source: Gidaris & Komodakis, CVPR 2018, as used by Zhao, Mopuri & Bilen, "Dataset Condensation with Gradient
Matching", ICLR 2021, section 3.1; sizes and variants from class `ConvNet` in the authors' `networks.py`.
"""

from __future__ import annotations

import math

from torch import nn

from condensery.errors import BadInput
from condensery.models.layers import (
    Activation,
    LinearHead,
    Norm,
    Pooling,
    make_activation,
    make_norm,
    make_pooling,
)


class ConvNet(LinearHead):
    """Blocks of 3x3 convolution, norm, activation and 2x2 pooling, then a linear head.

    Args:
        channels: of the images. Grey images get 2 more pixels of padding per side, so that 28 becomes 32.
        image_size: (height, width), any size that the poolings can halve `depth` times.
        num_classes: length of the output.
        width: filters of the first convolution.
        depth: number of blocks; None takes that of the papers for images of this size, see `published_depth`.
        growth: filters of a convolution over those of the one before; FRePo's network has 2.
        norm, activation, pooling: see `condensery.models.layers`.

    Raises:
        BadInput: the image is too small for that many poolings, or an option is out of range.
    """

    default_norm = "instance"

    def __init__(
        self,
        channels: int,
        image_size: tuple[int, int],
        num_classes: int,
        *,
        width: int = 128,
        depth: int | None = None,
        growth: int = 1,
        norm: Norm = "instance",
        activation: Activation = "relu",
        pooling: Pooling = "avg",
    ) -> None:
        super().__init__()
        depth = published_depth(image_size) if depth is None else depth
        if width < 1 or depth < 1:
            raise BadInput(f"a ConvNet needs width and depth of 1 or more, not {width} and {depth}")
        if growth < 1:
            raise BadInput(f"growth of a ConvNet must be 1 or more, not {growth}")
        extra = 2 if channels == 1 else 0
        rows, columns = image_size[0] + 2 * extra, image_size[1] + 2 * extra
        if pooling != "none":
            _check_depth(image_size, min(rows, columns), depth)
        layers: list[nn.Module] = []
        filters = width
        for block in range(depth):
            first = block == 0
            inputs, padding = (channels, 1 + extra) if first else (filters, 1)
            filters = width * growth**block
            layers.append(nn.Conv2d(inputs, filters, 3, padding=padding))
            layers += make_norm(norm, (filters, rows, columns))
            layers.append(make_activation(activation))
            if pooling != "none":
                layers += make_pooling(pooling)
                rows, columns = rows // 2, columns // 2
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(filters * rows * columns, num_classes)


def published_depth(image_size: tuple[int, int]) -> int:
    """Blocks for images of (height, width): 3 up to 45 pixels on the shorter side, and one more for each doubling.

    Source: 3 at 32 pixels, 4 at 64 and 5 at 128 as Cazenavette et al. (MTT), CVPR 2022, arXiv 2203.11932, section 4;
    6 at 224 as Sun et al. (RDED), CVPR 2024, arXiv 2312.03526.
    """
    return max(3, round(math.log2(min(image_size))) - 2)


def _check_depth(image_size: tuple[int, int], padded: int, depth: int) -> None:
    """Refuse a depth that would pool `padded` pixels, the shorter side, down to nothing."""
    deepest = padded.bit_length() - 1  # halvings, rounded down, until one pixel is left
    if depth > deepest:
        height, width = image_size
        raise BadInput(
            f"{height}x{width} images are too small for {depth} poolings; "
            f"use depth={deepest} or less, or pooling=none"
        )
