"""DC's own augmentation for training on condensed images: one operation for each image, not differentiable.

Source: Zhao, Mopuri & Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021; function `augment` and
the strengths of `get_daparam` in the authors' `utils.py`. The paper's numbers use it for MNIST
("crop_scale_rotate") and for networks with batch norm ("crop_noise").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass
from functools import cache

import numpy as np
import torch
from torch import Generator, Tensor

from condensery.augment.ops import beside, take
from condensery.augment.siamese import split_strategy
from condensery.errors import BadInput
from condensery.rng import Rng

OPERATIONS = ("crop", "scale", "rotate", "noise")


@dataclass(frozen=True)
class PerImageAugmentation:
    """Each image gets one operation of the strategy, drawn uniformly, and its own strength.

    Attributes:
        strategy: operations joined by `_`, out of crop, scale, rotate, noise; "none" or "" changes nothing.
        crop: in pixels; shifts are drawn from -crop .. crop-1, the border is filled with the batch's mean.
        scale: both sides are multiplied by their own factor from U[1-scale, 1+scale]; nearest neighbour,
            centred, 0 where nothing is left.
        rotate: in degrees; whole angles from -rotate .. rotate-1; cubic, filled with the batch's mean.
        noise: standard deviation of added normal noise, in normalised pixels.

    Raises:
        BadInput: an unknown or repeated operation, or a strength outside its range.
    """

    strategy: str
    _: KW_ONLY
    crop: int = 4
    scale: float = 0.2
    rotate: int = 45
    noise: float = 0.001

    def __post_init__(self) -> None:
        split_strategy(self.strategy, OPERATIONS)
        if not 0 <= self.scale < 1:
            raise BadInput(f"the augmentation's scale must lie in 0..1, 1 excluded, not {self.scale}")
        for name in ("crop", "rotate", "noise"):
            if getattr(self, name) < 0:
                raise BadInput(f"the augmentation's {name} must be 0 or more, not {getattr(self, name)}")

    @torch.no_grad()
    def __call__(self, images: Tensor, rng: Rng) -> Tensor:
        """Images (N, C, H, W) -> a new tensor of the same shape, dtype and device; `images` are kept."""
        names = split_strategy(self.strategy, OPERATIONS)
        result = images.detach().clone()
        if not names or not len(images):
            return result
        generator = rng.torch()
        mean = images.mean(dim=(0, 2, 3))  # (C,), of the batch as it came
        choice = torch.randint(len(names), (len(images),), generator=generator)  # (N,)
        operations: dict[str, Callable[[Tensor, Tensor, Generator], Tensor]] = {
            "crop": self._crop,
            "scale": self._scale,
            "rotate": self._rotate,
            "noise": self._noise,
        }
        for k, name in enumerate(names):
            chosen = beside((choice == k).nonzero().flatten(), images)
            if len(chosen):
                result[chosen] = operations[name](images[chosen], mean, generator)
        return result

    def _crop(self, images: Tensor, mean: Tensor, generator: Generator) -> Tensor:
        drawn = torch.randint(-self.crop, max(self.crop, 1), (2, len(images)), generator=generator)
        return shift(images, drawn[0], drawn[1], mean)

    def _scale(self, images: Tensor, mean: Tensor, generator: Generator) -> Tensor:
        factor = torch.rand(2, len(images), generator=generator, dtype=torch.float64)
        factor = factor * (2 * self.scale) + (1 - self.scale)
        height, width = (
            (factor * torch.tensor(images.shape[-2:])[:, None]).long().clamp(min=1)
        )  # rounded down
        return stretch(images, height, width)

    def _rotate(self, images: Tensor, mean: Tensor, generator: Generator) -> Tensor:
        degrees = torch.randint(-self.rotate, max(self.rotate, 1), (len(images),), generator=generator)
        return turn(images, degrees, float(mean.mean()))

    def _noise(self, images: Tensor, mean: Tensor, generator: Generator) -> Tensor:
        noise = torch.randn(images.shape, generator=generator, dtype=images.dtype)
        return images + self.noise * beside(noise, images)


def shift(images: Tensor, rows: Tensor, columns: Tensor, fill: Tensor) -> Tensor:
    """result[i, j] = image[i + rows, j + columns], and the colour `fill` (C,) outside the image.

    `rows` and `columns` are int64 (N,), on the CPU.
    """
    i, no_row = _moved(images.shape[-2], rows)
    j, no_column = _moved(images.shape[-1], columns)
    outside = _either(no_row, no_column, images)
    return torch.where(outside, fill.view(1, -1, 1, 1), take(images, beside(i, images), beside(j, images)))


def stretch(images: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Resize each image to its own `height` and `width` (int64 (N,), on the CPU), keeping the canvas.

    Nearest neighbour, centred, 0 where a shrunk image leaves nothing; what an enlarged one has too much of is
    cut off.
    """
    canvas = torch.maximum(height, width).clamp(min=max(images.shape[-2:]))  # (N,), a square
    i, no_row = _nearest(images.shape[-2], height, canvas)
    j, no_column = _nearest(images.shape[-1], width, canvas)
    taken = take(images, beside(i, images), beside(j, images))
    return taken.masked_fill(_either(no_row, no_column, images), 0)


def turn(images: Tensor, degrees: Tensor, fill: float) -> Tensor:
    """Turn each image by its own whole `degrees` (N,), anticlockwise, with cubic splines; `fill` outside.

    The numbers of `scipy.ndimage.rotate(image, degrees, axes=(-2, -1), order=3, cval=fill)` and the middle of its
    canvas, for all images at once and on their device.
    """
    batch, channels, height, width = images.shape
    rows, columns = (beside(position, images) for position in _turned(degrees, height, width))  # (N, H, W)
    outside = (rows < 0) | (rows > height - 1) | (columns < 0) | (columns > width - 1)
    filters = (beside(_spline_filter(side), images) for side in (height, width))
    coefficients = next(filters) @ images.double() @ next(filters).T  # (N, C, H, W)
    flat = coefficients.reshape(batch, channels, -1)
    turned = torch.zeros_like(flat)
    for i, weight_i in _taps(rows, height):
        for j, weight_j in _taps(columns, width):
            index = (i * width + j).reshape(batch, 1, -1).expand(-1, channels, -1)
            turned += flat.gather(2, index) * (weight_i * weight_j).reshape(batch, 1, -1)
    turned = turned.reshape(images.shape).masked_fill(outside[:, None], fill)
    return turned.to(images.dtype)


def _turned(degrees: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where each pixel of the turned images comes from: row and column, float64 (N, H, W) each."""
    angle = degrees.double().numpy()[:, None, None]
    from scipy.special import cosdg, sindg  # a tenth of a second that most runs do not need

    cos, sin = (torch.from_numpy(f(angle)) for f in (cosdg, sindg))  # (N, 1, 1), exact at 90
    tall, wide = torch.full_like(cos, height), torch.full_like(cos, width)
    # The whole turned picture fits its canvas, as the authors have it. A turned long rectangle may become
    # narrower than it was, so there the canvas keeps the size of the image.
    if height == width:
        tall, wide = ((side * (cos.abs() + sin.abs()) + 0.5).floor() for side in (height, width))
    i = torch.arange(height).double()[:, None] + ((tall - height) / 2).floor()  # (N, H, 1), in the canvas
    j = torch.arange(width).double() + ((wide - width) / 2).floor()  # (N, 1, W)
    middle = (tall - 1) / 2, (wide - 1) / 2
    down = (height - 1) / 2 - (cos * middle[0] + sin * middle[1])
    right = (width - 1) / 2 - (cos * middle[1] - sin * middle[0])
    return down + cos * i + sin * j, right - sin * i + cos * j


@cache
def _spline_filter(side: int) -> Tensor:
    """float64 (side, side): from values along a side to the coefficients of the cubic spline through them."""
    from scipy.ndimage import spline_filter1d

    return torch.from_numpy(spline_filter1d(np.eye(side), order=3, axis=0))


def _taps(position: Tensor, side: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Indices, mirrored at the border, and weights of the four coefficients that make a cubic spline at `position`."""
    first = position.floor()
    y = position - first
    z = 1 - y
    one, two, zero = (y * y * (y - 2) * 3 + 4) / 6, (z * z * (z - 2) * 3 + 4) / 6, z * z * z / 6
    for k, weight in enumerate((zero, one, two, 1 - zero - one - two)):
        index = (first.long() + (k - 1)).abs()
        index = torch.where(index >= side, 2 * side - 2 - index, index)
        yield index.clamp(0, side - 1), weight


def _moved(side: int, by: Tensor) -> tuple[Tensor, Tensor]:
    """Indices 0..side-1 moved by `by` (N,), and which of them are off the image: (N, side) each."""
    index = torch.arange(side) + by[:, None]
    return index, (index < 0) | (index >= side)


def _nearest(side: int, new: Tensor, canvas: Tensor) -> tuple[Tensor, Tensor]:
    """Where each position of a resized, centred and cut-out side comes from.

    Args:
        side: length of the original and of the result.
        new: int64 (N,), length after resizing.
        canvas: int64 (N,), length of the canvas, at least `side` and `new`.

    Returns:
        Index into the original (N, side), and whether there is nothing at that position (N, side).
    """
    offset = (canvas - side) // 2 - (canvas - new) // 2  # (N,)
    position = torch.arange(side) + offset[:, None]  # (N, side), in the resized image
    ratio = torch.tensor(side, dtype=torch.float32) / new.float()  # float32 as in F.interpolate
    index = (position.float() * ratio[:, None]).floor().long()
    return index, (position < 0) | (position >= new[:, None])


def _either(rows: Tensor, columns: Tensor, images: Tensor) -> Tensor:
    """bool (N, H) and (N, W) -> (N, 1, H, W), on the device of `images`."""
    return beside((rows[:, :, None] | columns[:, None, :])[:, None], images)
