"""Synthetic images learned pixel by pixel, `ipc` per class, class-major."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from condensery.data.pool import ClassPool
from condensery.errors import BadInput
from condensery.rng import Rng
from condensery.synthetic.learned import Content

INITS = ("noise", "real")


@dataclass(frozen=True)
class Pixels:
    """Images that are leaves themselves.

    Attributes:
        images: float32 (num_classes * ipc, C, H, W) in normalised space, never clipped, requires grad.
        ipc: images per class.
        targets: float32 (num_classes * ipc, num_classes), learned labels, requires grad; None if the labels are the
            classes.
    """

    images: Tensor
    ipc: int
    targets: Tensor | None = None

    @property
    def labels(self) -> Tensor:
        """int64 (num_classes * ipc,): 0, 0, ..., 1, 1, ... Never learned."""
        num_classes = len(self.images) // self.ipc
        return torch.arange(num_classes, device=self.images.device).repeat_interleave(self.ipc)

    def of_class(self, c: int) -> Tensor:
        """The images of class `c`: a view (ipc, C, H, W) through which gradients flow."""
        return self.images[c * self.ipc : (c + 1) * self.ipc]

    def leaves(self) -> dict[str, Tensor]:
        return (
            {"images": self.images}
            if self.targets is None
            else {"images": self.images, "targets": self.targets}
        )

    def content(self) -> Content:
        targets = None if self.targets is None else self.targets.detach().cpu().clone()
        return Content(self.images.detach().cpu().clone(), self.labels.cpu(), targets)

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
