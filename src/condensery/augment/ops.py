"""Differentiable image operations: `(images, parameters) -> images`, no randomness inside.

`images` are float (N, C, H, W) in normalised space. Every parameter is a tensor of shape (n,) with n = N
(one value per image) or n = 1 (one value for all, the Siamese case, which takes a cheaper way where there is
one). Parameters may lie on the CPU while the images are on a GPU. Nothing is changed in place.

Source: Zhao & Bilen, "Dataset Condensation with Differentiable Siamese Augmentation", ICML 2021; for
conventions of sign and axis, the functions `rand_*` in `utils.py` of the authors' repository.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def brightness(images: Tensor, offset: Tensor) -> Tensor:
    """Add `offset` (n,), in units of normalised pixels, to every pixel."""
    return images + _per_image(offset, images)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Scale each pixel's distance from its own mean over the channels by `factor` (n,).

    0 makes the image grey, 1 leaves it alone. Images of one channel have no saturation and stay as they are.
    """
    if images.shape[1] == 1:
        return images
    grey = images.mean(dim=1, keepdim=True)  # (N, 1, H, W)
    return (images - grey) * _per_image(factor, images) + grey


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Scale each pixel's distance from the mean of its image by `factor` (n,); 1 leaves the image alone."""
    mean = images.mean(dim=(1, 2, 3), keepdim=True)  # (N, 1, 1, 1)
    return (images - mean) * _per_image(factor, images) + mean


def crop(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Move the window by whole pixels: result[i, j] = image[i + rows, j + columns], 0 outside the image.

    `rows` and `columns` are int64 (n,); positive rows move the picture up, positive columns to the left.
    """
    if len(rows) == 1:
        down, right = int(rows), int(columns)
        return F.pad(images, (-right, right, -down, down))  # a negative side cuts off
    height, width = images.shape[-2:]
    i = _arange(height, images) + beside(rows, images)[:, None]  # (N, H)
    j = _arange(width, images) + beside(columns, images)[:, None]  # (N, W)
    outside = _outside(i, height)[:, :, None] | _outside(j, width)[:, None, :]  # (N, H, W)
    return take(images, i, j).masked_fill(outside[:, None], 0)


def cutout(images: Tensor, rows: Tensor, columns: Tensor, size: tuple[int, int]) -> Tensor:
    """Set a rectangle to 0, which is the mean colour in normalised space.

    `rows` and `columns` are int64 (n,): the pixel `size // 2` after the rectangle's first one. What hangs
    over the border is cut off. `size` is (height, width) in pixels; 0 leaves the image alone.
    """
    in_rows = _inside_hole(beside(rows, images), size[0], _arange(images.shape[-2], images))  # (n, H)
    in_columns = _inside_hole(beside(columns, images), size[1], _arange(images.shape[-1], images))  # (n, W)
    hole = in_rows[:, :, None] & in_columns[:, None, :]  # (n, H, W)
    return images.masked_fill(hole[:, None], 0)


def flip(images: Tensor, mirrored: Tensor) -> Tensor:
    """Mirror left and right those images whose entry in `mirrored` (bool, (n,)) is true."""
    if len(mirrored) == 1:
        return images.flip(3) if bool(mirrored) else images
    return torch.where(_per_image(mirrored, images), images.flip(3), images)


def scale(images: Tensor, x: Tensor, y: Tensor, *, align_corners: bool = True) -> Tensor:
    """Stretch the sampling grid by `x` (n,) along the width and `y` (n,) along the height.

    A value above 1 shrinks the picture, below 1 enlarges it. Bilinear, 0 outside the image.
    `align_corners` as in `torch.nn.functional.grid_sample`; torch 1.2, on which the papers' numbers were
    made, knew only True, and the same code runs with False from torch 1.3 on.
    """
    zero = torch.zeros_like(x)
    theta = torch.stack([torch.stack([x, zero, zero], 1), torch.stack([zero, y, zero], 1)], 1)  # (n, 2, 3)
    return _resample(images, theta, align_corners)


def rotate(images: Tensor, degrees: Tensor, *, align_corners: bool = True) -> Tensor:
    """Turn each picture by `degrees` (n,), anticlockwise where positive. Bilinear, 0 outside the image.

    The aspect ratio is kept on images that are not square, where the authors' formula would shear; on square
    images the two are the same. `align_corners` as in `scale`.
    """
    less = 1 if align_corners else 0
    height, width = (max(side - less, 1) for side in images.shape[-2:])
    angle = torch.deg2rad(degrees)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    first = torch.stack([cos, -sin * (height / width), zero], 1)  # (n, 3)
    second = torch.stack([sin * (width / height), cos, zero], 1)  # (n, 3)
    return _resample(images, torch.stack([first, second], 1), align_corners)


def take(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixels of each image at its own rows (N, H) and columns (N, W), clamped to it -> (N, C, H, W)."""
    batch, channels, height, width = images.shape
    flat = (
        rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None, :]
    )  # (N, H, W)
    index = flat.reshape(batch, 1, -1).expand(-1, channels, -1)  # (N, C, H * W)
    taken = images.reshape(batch, channels, -1).gather(2, index)
    return taken.view(batch, channels, rows.shape[1], columns.shape[1])


def beside(parameter: Tensor, images: Tensor) -> Tensor:
    """On the device of the images, without waiting for what that still has to do."""
    return parameter.to(images.device, non_blocking=True)


def _resample(images: Tensor, theta: Tensor, align_corners: bool) -> Tensor:
    """Bilinear sampling at the affine grid of `theta` (n, 2, 3); one grid is computed once and shared."""
    batch, channels, height, width = images.shape
    theta = beside(theta, images).to(images.dtype)
    grid = F.affine_grid(theta, [len(theta), channels, height, width], align_corners=align_corners)
    grid = grid.expand(batch, -1, -1, -1)  # (N, H, W, 2)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=align_corners)


def _per_image(parameter: Tensor, images: Tensor) -> Tensor:
    """A parameter (n,) so that it broadcasts against `images`."""
    if len(parameter) == 1 and parameter.device.type == "cpu":
        return parameter.reshape(())  # a CPU scalar goes along with a GPU kernel without a copy or a wait
    if parameter.dtype != torch.bool:
        parameter = parameter.to(images.dtype)
    return beside(parameter, images).view(-1, 1, 1, 1)


def _arange(length: int, images: Tensor) -> Tensor:
    return torch.arange(length, device=images.device)


def _outside(index: Tensor, length: int) -> Tensor:
    return (index < 0) | (index >= length)


def _inside_hole(centre: Tensor, length: int, position: Tensor) -> Tensor:
    """Whether each position (L,) lies in the hole of its image: bool (n, L)."""
    first = centre[:, None] - length // 2  # (n, 1)
    return (position >= first) & (position < first + length)
