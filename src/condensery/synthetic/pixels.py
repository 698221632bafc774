"""Synthetic images learned pixel by pixel, `ipc` per class, class-major."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from condensery.data.pool import ClassPool
from condensery.errors import BadInput
from condensery.rng import Rng

INITS = ("noise", "real")


@dataclass(frozen=True)
class Pixels:
    """A leaf tensor of images.

    Attributes:
        images: float32 (num_classes * ipc, C, H, W) in normalised space, never clipped, requires grad.
        ipc: images per class.
    """

    images: Tensor
    ipc: int

    @property
    def labels(self) -> Tensor:
        """int64 (num_classes * ipc,): 0, 0, ..., 1, 1, ... Never learned."""
        num_classes = len(self.images) // self.ipc
        return torch.arange(num_classes, device=self.images.device).repeat_interleave(self.ipc)

    def of_class(self, c: int) -> Tensor:
        """The images of class `c`: a view (ipc, C, H, W) through which gradients flow."""
        return self.images[c * self.ipc : (c + 1) * self.ipc]

    def learnable(self) -> list[Tensor]:
        """What the optimiser of a method steps."""
        return [self.images]

    @staticmethod
    def start(pool: ClassPool, ipc: int, init: str, rng: Rng) -> Pixels:
        """Standard normal noise ("noise") or random real images of each class ("real").

        Raises:
            BadInput: `init` is neither.
        """
        if init == "noise":
            shape = (pool.spec.num_classes * ipc, *pool.spec.shape)
            images = torch.randn(shape, generator=rng.torch()).to(pool.device)
        elif init == "real":
            images = torch.cat([pool.sample(c, ipc, rng.fork(c)) for c in range(pool.spec.num_classes)])
        else:
            raise BadInput(f"unknown initialisation {init!r}; choose one of {', '.join(INITS)}")
        return Pixels(images.clone().requires_grad_(), ipc)
