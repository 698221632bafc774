"""Images stored as 8-bit pixels, in normalised space again."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from condensery.errors import BadInput
from condensery.records import ImageSpec


def from_pixels(tensors: Mapping[str, Tensor], spec: ImageSpec) -> Tensor:
    """Images, or tiles, of 8-bit pixels in normalised space; see `DECODERS`. Raises BadInput for what is none."""
    pixels = tensors["images"]
    if pixels.dtype != torch.uint8 or tuple(pixels.shape[1:]) != spec.shape:
        raise BadInput(f"pixels are uint8 images of {spec.shape}, not {pixels.dtype} {tuple(pixels.shape)}")
    if "range" not in tensors:
        return spec.normalise(pixels)
    span = tensors["range"]
    if span.dtype != torch.float32 or tuple(span.shape) != (2,) or not bool(span[1] > span[0]):
        raise BadInput("the range of pixels is two float32, the second greater than the first")
    return span[0] + (span[1] - span[0]) * (pixels.float() / 255)
