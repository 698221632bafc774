"""What a file may store in place of images, and how images are made of it again.

A way of storing is a function from named tensors to images; the names begin with the way's own: "tiles.images" is the
tensor `images` of the way "tiles". A way that has images or codes calls them so, one entry for each image that is
stored. New ways are added to `DECODERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from condensery.errors import BadInput
from condensery.records import ImageSpec, SyntheticSet
from condensery.synthetic.eight_bits import from_pixels
from condensery.synthetic.generator import decode_generator
from condensery.synthetic.low_resolution import enlarged_tiles

Decoder = Callable[[Mapping[str, Tensor], ImageSpec], Tensor]
"""From tensors, named without the way's name, to images float32 (M, C, H, W) in normalised space."""


def _tiles(tensors: Mapping[str, Tensor], spec: ImageSpec) -> Tensor:
    images, factor = tensors["images"], tensors["factor"]
    if images.dtype == torch.uint8:
        images = from_pixels(tensors, spec)
    if images.dtype != torch.float32 or tuple(images.shape[1:]) != spec.shape:
        raise BadInput(
            f"tiles are stored as float32 or uint8 images of {spec.shape}, not {images.dtype} {tuple(images.shape)}"
        )
    if factor.dtype != torch.int64 or factor.ndim:
        raise BadInput("the factor of tiles is a single int64")
    return enlarged_tiles(images, int(factor))


DECODERS: dict[str, Decoder] = {"generator": decode_generator, "pixels": from_pixels, "tiles": _tiles}
"""pixels: `images` uint8 (M, C, H, W), normalised with the set's mean and std; with `range` float32 (2,), the least
and the greatest value in normalised space that 0 and 255 stand for. tiles: `images` float32 (S, C, H, W) in normalised
space, or uint8 as for pixels, and `factor` int64 (), see `enlarged_tiles`. generator: `codes` float32 (S, D), `classes`
float32 (classes, D), `counts` int64 (classes,), the weights of a generator, see `condensery.synthetic.generator`, and
`factor` int64 () if its images are cut into tiles."""


def decoded(stored: Mapping[str, Tensor], spec: ImageSpec) -> Tensor:
    """The images float32 (M, C, H, W) in normalised space that `stored` makes, on the device where it is.

    Raises:
        BadInput: an unknown way of storing, or tensors that are missing or do not fit it.
    """
    kinds = {name.partition(".")[0] for name in stored}
    if len(kinds) != 1 or not kinds <= set(DECODERS):
        raise BadInput(
            f"images are stored in an unknown way, {', '.join(sorted(kinds)) or 'none'}; "
            f"there are {', '.join(DECODERS)}"
        )
    (kind,) = kinds
    try:
        return DECODERS[kind]({name.partition(".")[2]: tensor for name, tensor in stored.items()}, spec)
    except KeyError as error:
        raise BadInput(f"the tensor {kind}.{error.args[0]} is missing") from error


def with_pixels(synthetic: SyntheticSet) -> SyntheticSet:
    """The set with its images, or its tiles, stored as 8-bit pixels: a quarter of the bytes.

    A set that is stored in another way, or in 8 bits already, is returned as it is. Real images come out bit for bit.
    Images that are no 8-bit pixels, such as learned ones, are rounded to 256 values between their least and their
    greatest, not clipped; the set that is returned has these rounded images.
    """
    spec, kept = synthetic.spec, dict(synthetic.stored)
    if kept and not kept.keys() <= {"tiles.images", "tiles.factor"}:
        return synthetic
    way = "tiles" if kept else "pixels"
    images = kept.get("tiles.images", synthetic.images).detach().cpu()
    if images.dtype == torch.uint8:
        return synthetic
    stored = {**kept, **{f"{way}.{name}": tensor for name, tensor in _in_8_bits(images, spec).items()}}
    return SyntheticSet(
        decoded(stored, spec),
        synthetic.labels,
        spec,
        synthetic.record,
        synthetic.targets,
        stored,
        synthetic.training,
    )


def _in_8_bits(images: Tensor, spec: ImageSpec) -> dict[str, Tensor]:
    """`images` (S, C, H, W) in normalised space as uint8, and the range of their values if they are no pixels."""
    if spec.whitening is None:  # whitened images are no pixels
        pixels = (spec.denormalise(images) * 255).round().clamp(0, 255).to(torch.uint8)
        if torch.equal(spec.normalise(pixels), images):
            return {"images": pixels}
    low, high = images.min(), images.max()
    high = high if bool(high > low) else low + 1
    pixels = ((images - low) / (high - low) * 255).round().clamp(0, 255).to(torch.uint8)
    return {"images": pixels, "range": torch.stack([low, high])}
