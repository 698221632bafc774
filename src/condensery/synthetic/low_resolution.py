"""Tiles of low resolution, factor x factor in an image, which are enlarged before use.

Kim et al., "Dataset Condensation via Efficient Synthetic-Data Parameterization" (IDC), ICML 2022 (arXiv 2205.14959),
section 4, whose multi-formation is a factor of 2 with bilinear interpolation.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from condensery.budgets import Counts
from condensery.errors import BadInput


def enlarged_tiles(images: Tensor, factor: int) -> Tensor:
    """Each image cut into factor x factor tiles, and each tile enlarged to the size of an image.

    Bilinear interpolation without aligned corners; differentiable.

    Args:
        images: float (S, C, H, W).

    Returns:
        (S * factor^2, C, H, W): tiles of an image stay together, row by row.

    Raises:
        BadInput: the factor does not divide the sides.
    """
    count, channels, height, width = images.shape
    require_factor(factor, height, width)
    rows, columns = height // factor, width // factor
    tiles = images.reshape(count, channels, factor, rows, factor, columns)
    tiles = tiles.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, rows, columns)
    return enlarged(tiles, (height, width))


def enlarged(images: Tensor, size: tuple[int, int]) -> Tensor:
    """`images` (N, C, h, w) at `size` (height, width), by bilinear interpolation without aligned corners."""
    if images.shape[-2:] == size:
        return images
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)


def require_factor(factor: int, height: int, width: int) -> None:
    """Raise BadInput if images of this size cannot be cut into factor x factor tiles."""
    if factor < 1 or height % factor or width % factor:
        fitting = [n for n in range(2, 9) if height % n == 0 and width % n == 0]
        choices = f"choose {' or '.join(map(str, fitting))}" if fitting else "leave it out"
        raise BadInput(
            f"a factor of {factor} does not divide the sides of {height}x{width} images: {choices}"
        )


def tiled(counts: Counts, factor: int) -> Counts:
    """Images that so many stored ones make."""
    return tuple(n * factor**2 for n in counts)
