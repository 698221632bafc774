"""Which views of images are labelled: crops, mirror images and patches, drawn at random.

Source: random resized crops with patches of other images, as RDED trains on them (Sun et al., CVPR 2024, arXiv
2312.03526, validation/main.py); the shapes of crops are torchvision's, those of patches CutMix's (Yun et al., ICCV
2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from condensery.errors import BadInput
from condensery.rng import Rng
from condensery.views import FULL, crop_and_enlarge, index_dtype

_NARROWEST = 3 / 4  # width of a crop by its height, and the inverse
_GUIDED = 0.5  # least share of the area of a crop that guides what is learned, which is no view with a label


@dataclass(frozen=True)
class ViewSampling:
    """How views of an image are drawn.

    Attributes:
        count: views of each image.
        smallest: least share of the image's area that a crop has, in (0, 1]; it is drawn from U[smallest, 1].
        patches: share of views that get a patch of another image, whose area is drawn from U[0, 1].

    Raises:
        BadInput: a value out of range.
    """

    count: int = 30
    smallest: float = 0.3
    patches: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 10_000:
            raise BadInput(f"--views must be 1 to 10000 views an image, not {self.count}")
        if not 0 < self.smallest <= 1:
            raise BadInput(f"--smallest-crop must be a share of the area in (0, 1], not {self.smallest}")
        if not 0 <= self.patches <= 1:
            raise BadInput(f"--patches must be a share of views between 0 and 1, not {self.patches}")

    def draw(self, images: int, flip: bool, rng: Rng) -> dict[str, Tensor]:
        """Parameters of views of `images` images, by their names in `condensery.views.Views`.

        Args:
            flip: whether half of the views are mirrored.
        """
        shape = (images, self.count)
        drawn = {"boxes": random_boxes(shape, self.smallest, rng.fork("boxes"))}
        if flip:
            drawn["flips"] = torch.randint(2, shape, generator=rng.fork("flips").torch()).to(torch.uint8)
        if self.patches and images > 1:
            others = torch.randint(1, images, shape, generator=rng.fork("partners").torch())
            partners = (torch.arange(images)[:, None] + others) % images  # never the image itself
            drawn["partners"] = partners.to(index_dtype(images))
            drawn["patches"] = _patches(shape, self.patches, rng.fork("patches"))
        return drawn

    def to_json(self) -> dict[str, Any]:
        return {"count": self.count, "smallest": self.smallest, "patches": self.patches}


def random_boxes(shape: tuple[int, ...], smallest: float, rng: Rng) -> Tensor:
    """uint8 (*shape, 4): boxes of area U[smallest, 1] and logarithmic aspect ratio, anywhere in the image."""
    area, ratio, down, right = torch.rand(4, *shape, generator=rng.torch())
    area = smallest + (1 - smallest) * area
    aspect = torch.exp((2 * ratio - 1) * math.log(_NARROWEST)).sqrt()
    sides = torch.stack([(area.sqrt() / aspect), (area.sqrt() * aspect)], -1).clamp(max=1)
    sides = (FULL * sides).round().clamp(min=1)
    corners = (torch.stack([down, right], -1) * (FULL + 1 - sides)).floor()
    return torch.cat([corners, sides], -1).to(torch.uint8)


def random_crops(images: Tensor, flip: bool, rng: Rng) -> Tensor:
    """A random crop of each image, enlarged, without patches: float (N, C, H, W), differentiable in `images`.

    Args:
        flip: whether about half of them are mirrored.
    """
    drawn = ViewSampling(1, smallest=_GUIDED, patches=0).draw(len(images), flip, rng)
    parts = {name: parameters[:, 0].to(images.device) for name, parameters in drawn.items()}
    return crop_and_enlarge(images, **parts)


def _patches(shape: tuple[int, int], share: float, rng: Rng) -> Tensor:
    """uint8 (*shape, 4): boxes of area U[0, 1] around a point anywhere, cut off at the border."""
    area, wanted, down, right = torch.rand(4, *shape, generator=rng.torch())
    half = area.sqrt()[..., None] / 2
    centres = torch.stack([down, right], -1)
    first = (FULL * (centres - half).clamp(min=0)).round()
    last = (FULL * (centres + half).clamp(max=1)).round()
    boxes = torch.cat([first, last - first], -1)
    return torch.where((wanted < share)[..., None], boxes, torch.zeros(())).to(torch.uint8)
