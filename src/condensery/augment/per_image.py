"""DC's own augmentation for training on condensed images: one operation for each image, not differentiable.

Source: Zhao, Mopuri & Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021; function `augment` and
the strengths of `get_daparam` in the authors' `utils.py`. The paper's numbers use it for MNIST
("crop_scale_rotate") and for networks with batch norm ("crop_noise").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

import numpy as np
import scipy.ndimage
import torch
from torch import Generator, Tensor

from condensery.augment.ops import take
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
            chosen = (choice == k).nonzero().flatten().to(images.device)
            if len(chosen):
                result[chosen] = operations[name](images[chosen], mean, generator)
        return result

    def _crop(self, images: Tensor, mean: Tensor, generator: Generator) -> Tensor:
        """Shift by whole pixels, filled with the mean colour."""
        height, width = images.shape[-2:]
        shift = torch.randint(-self.crop, max(self.crop, 1), (2, len(images)), generator=generator)
        rows = (torch.arange(height) + shift[0][:, None]).to(images.device)  # (N, H)
        columns = (torch.arange(width) + shift[1][:, None]).to(images.device)  # (N, W)
        outside = ((rows < 0) | (rows >= height))[:, :, None] | ((columns < 0) | (columns >= width))[
            :, None, :
        ]
        return torch.where(outside[:, None], mean.view(1, -1, 1, 1), take(images, rows, columns))

    def _scale(self, images: Tensor, mean: Tensor, generator: Generator) -> Tensor:
        """Stretch by nearest neighbour, centre on a canvas of zeros, cut out the middle."""
        height, width = images.shape[-2:]
        factor = torch.rand(2, len(images), generator=generator, dtype=torch.float64)
        factor = factor * (2 * self.scale) + (1 - self.scale)
        new = (factor * torch.tensor([[height], [width]])).long().clamp(min=1)  # (2, N), rounded down
        canvas = new.amax(dim=0).clamp(min=max(height, width))  # (N,)
        rows, no_row = _nearest(height, new[0], canvas)
        columns, no_column = _nearest(width, new[1], canvas)
        outside = (no_row[:, :, None] | no_column[:, None, :])[:, None].to(images.device)  # (N, 1, H, W)
        return take(images, rows.to(images.device), columns.to(images.device)).masked_fill(outside, 0)

    def _rotate(self, images: Tensor, mean: Tensor, generator: Generator) -> Tensor:
        """Turn by whole degrees with cubic interpolation, cut out the middle."""
        height, width = images.shape[-2:]
        degrees = torch.randint(-self.rotate, max(self.rotate, 1), (len(images),), generator=generator)
        fill = float(mean.mean())
        turned = torch.empty_like(images, device="cpu")
        for k, image in enumerate(images.cpu().numpy()):
            canvas = self._turn(image, int(degrees[k]), fill)
            top, left = (canvas.shape[1] - height) // 2, (canvas.shape[2] - width) // 2
            turned[k] = torch.from_numpy(canvas[:, top : top + height, left : left + width])
        return turned.to(images.device)

    @staticmethod
    def _turn(image: np.ndarray, degrees: int, fill: float) -> np.ndarray:
        """One image (C, H, W), turned on a canvas that is never smaller than the image."""
        _, height, width = image.shape
        # The whole turned picture fits its canvas, as the authors have it. A turned long rectangle may become
        # narrower than it was, so there the canvas keeps the size of the image.
        whole = height == width
        return np.asarray(
            scipy.ndimage.rotate(image, degrees, axes=(-2, -1), reshape=whole, order=3, cval=fill)
        )

    def _noise(self, images: Tensor, mean: Tensor, generator: Generator) -> Tensor:
        """Add normal noise."""
        noise = torch.randn(images.shape, generator=generator, dtype=images.dtype)
        return images + self.noise * noise.to(images.device)


def _nearest(side: int, new: Tensor, canvas: Tensor) -> tuple[Tensor, Tensor]:
    """Where each position of the cut-out middle comes from, along one side.

    Args:
        side: length of the original and of the result.
        new: int64 (N,), length after stretching.
        canvas: int64 (N,), length of the canvas, at least `side` and `new`.

    Returns:
        Index into the original (N, side), and whether there is nothing at that position (N, side).
    """
    offset = (canvas - side) // 2 - (canvas - new) // 2  # (N,)
    position = torch.arange(side) + offset[:, None]  # (N, side), in the stretched image
    ratio = torch.tensor(side, dtype=torch.float32) / new.float()  # float32 as in F.interpolate
    index = (position.float() * ratio[:, None]).floor().long()
    return index, (position < 0) | (position >= new[:, None])
