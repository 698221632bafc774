"""Reads a file with labels of views without condensery: the tensors are described in docs/file-format.md.

    python examples/read_labels_of_views.py runs/digits-views2/set.safetensors

It is for files with `images` or 8-bit pixels and without `views.classes`, which sets of few classes lack.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor


def read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name, `images` (M, C, H, W) among them, and the header."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        header = json.loads(file.metadata()["condensery"])
    if "images" not in tensors:  # real images: pixels without a range
        mean, std = (torch.tensor(header["spec"][key]).view(1, -1, 1, 1) for key in ("mean", "std"))
        tensors["images"] = (tensors["stored.pixels.images"].float() / 255 - mean) / std
    return tensors, header


def crops(tensors: dict[str, Tensor], v: int) -> Tensor:
    """View v of every image before patches, (M, C, H, W)."""
    images, boxes = tensors["images"], tensors["views.boxes"].float() / 255
    count, (height, width) = len(images), images.shape[2:]
    top, left, tall, wide = boxes[:, v].unbind(1)
    y = 2 * (top[:, None] + (torch.arange(height) + 0.5) / height * tall[:, None]) - 1
    x = 2 * (left[:, None] + (torch.arange(width) + 0.5) / width * wide[:, None]) - 1
    grid = torch.stack(
        [x[:, None, :].expand(count, height, width), y[:, :, None].expand(count, height, width)], 3
    )
    found = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    if "views.flips" in tensors:
        found = torch.where(tensors["views.flips"][:, v].bool().view(-1, 1, 1, 1), found.flip(3), found)
    return found


def inside(start: Tensor, length: Tensor, side: int) -> Tensor:
    """Which pixels of a line lie in a patch, (M, side)."""
    first, end = (start * side + 127) // 255, ((start + length) * side + 127) // 255
    return (torch.arange(side) >= first[:, None]) & (torch.arange(side) < end[:, None])


def view(tensors: dict[str, Tensor], header: dict[str, Any], v: int) -> tuple[Tensor, Tensor]:
    """View v of every image, and its probabilities (M, classes)."""
    found = crops(tensors, v)
    if "views.patches" in tensors:
        top, left, tall, wide = tensors["views.patches"][:, v].long().unbind(1)
        rows, columns = inside(top, tall, found.shape[2]), inside(left, wide, found.shape[3])
        patch = rows[:, None, :, None] & columns[:, None, None, :]
        found = torch.where(patch, found[tensors["views.partners"][:, v].long()], found)
    said = header["views"]
    levels = tensors["views.levels"][:, v].float()
    return found, (levels * said["step"] / said["temperature"]).softmax(1)


def main(path: str) -> int:
    tensors, header = read(path)
    for v in range(tensors["views.boxes"].shape[1]):
        _, probabilities = view(tensors, header, v)  # train on these, one view in each epoch
        print(f"view {v}: the teacher is {100 * probabilities.amax(1).mean():.1f} % sure")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
