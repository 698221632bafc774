"""Differentiable Siamese augmentation (DSA): sample parameters once, apply them to both branches.

Source: Zhao & Bilen, "Dataset Condensation with Differentiable Siamese Augmentation", ICML 2021, section 3.3;
strengths from class `ParamDiffAug` in the authors' `utils.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field

import torch
from torch import Generator, Tensor

from condensery.augment import ops
from condensery.errors import BadInput, did_you_mean
from condensery.rng import Rng

GROUPS = ("color", "crop", "cutout", "flip", "scale", "rotate")


@dataclass(frozen=True, eq=False)
class Parameters:
    """One sampled transform, ready to be applied to any number of batches.

    Attributes:
        group: which of the six groups was drawn, or "none" for the identity.
        values: CPU tensors of shape (n,), n = 1 (shared by all images) or one value per image.
    """

    group: str
    values: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class SiameseAugmentation:
    """Draws one group of operations uniformly, and its strength, then applies it.

    All strengths act in normalised space. At their defaults the distributions are those of the paper's code.

    Attributes:
        strategy: groups joined by `_`, any subset of color, crop, cutout, flip, scale, rotate; "none" or ""
            leaves the images alone.
        prob_flip: probability of mirroring left and right.
        scale: largest factor, at least 1; both axes draw on their own from U[1/scale, scale].
        rotate: largest angle, in degrees; the angle is drawn from U[-rotate, rotate].
        crop: largest shift, as a fraction of the side, rounded to whole pixels.
        cutout: side of the hole, as a fraction of the image's side.
        brightness: width of the interval around 0 from which the offset is drawn.
        saturation: width of the interval around 1 from which the factor is drawn. (The authors multiply a
            number from U[0, 1) by it, which is the same at their 2.0, and turns images grey at 0.)
        contrast: half the width of the interval around 1 from which the factor is drawn. (The authors add it
            to a number from U[0, 1), which is the same at their 0.5, and no identity at 0.)
        align_corners: grid convention of scale and rotate. True is what torch 1.2 did, on which the papers'
            numbers were made; their code run on a newer torch silently uses False.

    Raises:
        BadInput: an unknown or repeated group, or a strength outside its range.
    """

    strategy: str
    _: KW_ONLY
    prob_flip: float = 0.5
    scale: float = 1.2
    rotate: float = 15.0
    crop: float = 0.125
    cutout: float = 0.5
    brightness: float = 1.0
    saturation: float = 2.0
    contrast: float = 0.5
    align_corners: bool = True

    def __post_init__(self) -> None:
        split_strategy(self.strategy, GROUPS)
        if not (math.isfinite(self.scale) and self.scale >= 1):
            raise BadInput(f"the augmentation's scale must be at least 1 (no scaling), not {self.scale}")
        for name in ("prob_flip", "crop", "cutout"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(f"the augmentation's {name} must lie in 0..1, not {getattr(self, name)}")
        for name in ("rotate", "brightness", "saturation", "contrast"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise BadInput(f"the augmentation's {name} must be 0 or more, not {getattr(self, name)}")

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of the strategy, in the order written; empty for the identity."""
        return split_strategy(self.strategy, GROUPS)

    def sample(self, rng: Rng, size: tuple[int, int], count: int | None = None) -> Parameters:
        """Draw one group uniformly, and its parameters, on the CPU.

        Args:
            rng: fork it for every draw; the same source gives the same parameters on every device.
            size: (height, width) of the images, in pixels.
            count: None for one parameter that all images share (condensing), or the number of images for one
                parameter each (training).
        """
        groups = self.groups
        if not groups:
            return Parameters("none")
        generator = rng.torch()
        group = groups[int(torch.randint(len(groups), (), generator=generator))]
        return Parameters(group, self._draw(group, generator, size, 1 if count is None else count))

    def apply(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Transform images (N, C, H, W) -> (N, C, H, W); differentiable, nothing in place.

        Raises:
            BadInput: the parameters were drawn for another number of images.
        """
        values = parameters.values
        for drawn in values.values():
            if len(drawn) not in (1, len(images)):
                raise BadInput(
                    f"augmentation drawn for {len(drawn)} images cannot be applied to {len(images)}"
                )
        match parameters.group:
            case "color":
                images = ops.brightness(images, values["brightness"])
                images = ops.saturation(images, values["saturation"])
                return ops.contrast(images, values["contrast"])
            case "crop":
                return ops.crop(images, values["rows"], values["columns"])
            case "cutout":
                hole = (_pixels(images.shape[2], self.cutout), _pixels(images.shape[3], self.cutout))
                return ops.cutout(images, values["rows"], values["columns"], hole)
            case "flip":
                return ops.flip(images, values["mirrored"])
            case "scale":
                return ops.scale(images, values["x"], values["y"], align_corners=self.align_corners)
            case "rotate":
                return ops.rotate(images, values["degrees"], align_corners=self.align_corners)
            case _:
                return images

    def __call__(self, images: Tensor, rng: Rng) -> Tensor:
        """Augment one training batch (N, C, H, W): one group for the batch, one parameter for each image."""
        size = (images.shape[2], images.shape[3])
        return self.apply(images, self.sample(rng, size, len(images)))

    def _draw(self, group: str, generator: Generator, size: tuple[int, int], count: int) -> dict[str, Tensor]:
        """The parameters of one group: tensors of shape (count,)."""

        def uniform(low: float, high: float) -> Tensor:
            return torch.rand(count, generator=generator) * (high - low) + low

        def integer(low: int, high: int) -> Tensor:  # both ends included
            return torch.randint(low, high + 1, (count,), generator=generator)

        match group:
            case "color":
                return {
                    "brightness": uniform(-self.brightness / 2, self.brightness / 2),
                    "saturation": uniform(1 - self.saturation / 2, 1 + self.saturation / 2),
                    "contrast": uniform(1 - self.contrast, 1 + self.contrast),
                }
            case "crop":
                shift = [_pixels(side, self.crop) for side in size]
                return {"rows": integer(-shift[0], shift[0]), "columns": integer(-shift[1], shift[1])}
            case "cutout":
                # The centre of an even hole may lie on either border of the image, hence one place more.
                last = [side - _pixels(side, self.cutout) % 2 for side in size]
                return {"rows": integer(0, last[0]), "columns": integer(0, last[1])}
            case "flip":
                return {"mirrored": torch.rand(count, generator=generator) < self.prob_flip}
            case "scale":
                return {name: uniform(1 / self.scale, self.scale) for name in ("x", "y")}
            case _:
                return {"degrees": uniform(-self.rotate, self.rotate)}


def default_strategy(flip: bool) -> str:
    """The papers' strategy: all six groups, or five where a mirrored image loses its label (digits)."""
    return "_".join(group for group in GROUPS if flip or group != "flip")


def resolve_strategy(strategy: str, flip: bool) -> str:
    """`strategy` itself, or the papers' if it is "auto"."""
    return default_strategy(flip) if strategy == "auto" else strategy


def split_strategy(strategy: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """The groups in a strategy; none for "none" and "".

    Raises:
        BadInput: a group is not among `known`, or is named twice.
    """
    if strategy.lower() in ("", "none"):
        return ()
    groups = tuple(strategy.split("_"))
    for group in groups:
        if group not in known:
            raise BadInput(
                f"no augmentation is called '{group}'; join some of {', '.join(known)} by '_', or use 'none'"
                f"{did_you_mean(group, known)}"
            )
        if groups.count(group) > 1:
            raise BadInput(f"the augmentation '{strategy}' names '{group}' twice")
    return groups


def _pixels(side: int, fraction: float) -> int:
    """A fraction of a side, rounded to the nearest whole pixel."""
    return int(side * fraction + 0.5)
