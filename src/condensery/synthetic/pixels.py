"""Synthetic images learned pixel by pixel, `ipc` per class, class-major."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from condensery.data.pool import ClassPool
from condensery.errors import BadInput
from condensery.rng import Rng
from condensery.synthetic.learned import Content

INITS = ("noise", "real")


def require_init(init: str) -> None:
    """Raise BadInput unless `init` is one of `INITS`."""
    if init not in INITS:
        raise BadInput(f"unknown initialisation {init!r}; choose one of {', '.join(INITS)}")


def labels_as_leaves(targets: Tensor | None) -> dict[str, Tensor]:
    """Learned labels by the name of their leaf; nothing if labels are not learned."""
    return {} if targets is None else {"targets": targets}


def kept(targets: Tensor | None) -> Tensor | None:
    """Learned labels as they are saved."""
    return None if targets is None else targets.detach().cpu().clone()


@dataclass(frozen=True)
class Pixels:
    """Images that are leaves themselves.

    Attributes:
        images: float32 (num_classes * ipc, C, H, W) in normalised space, never clipped; a leaf if it requires grad,
            fixed otherwise.
        ipc: images per class.
        targets: float32 (num_classes * ipc, num_classes), learned labels, requires grad; None if the labels are the
            classes.
        training: how the set wants to be trained, see `Content`.
        rates: learning rates that are learned with the set, in any form; a leaf. None for none.
    """

    images: Tensor
    ipc: int
    targets: Tensor | None = None
    training: dict[str, Any] = field(default_factory=dict)
    rates: Tensor | None = None

    @property
    def labels(self) -> Tensor:
        """int64 (num_classes * ipc,): 0, 0, ..., 1, 1, ... Never learned."""
        num_classes = len(self.images) // self.ipc
        return torch.arange(num_classes, device=self.images.device).repeat_interleave(self.ipc)

    def of_class(self, c: int) -> Tensor:
        """The images of class `c`: a view (ipc, C, H, W) through which gradients flow."""
        return self.images[c * self.ipc : (c + 1) * self.ipc]

    def leaves(self) -> dict[str, Tensor]:
        images = {"images": self.images} if self.images.requires_grad else {}
        rates = {} if self.rates is None else {"rates": self.rates}
        return images | labels_as_leaves(self.targets) | rates

    def content(self) -> Content:
        images, labels = self.images.detach().cpu().clone(), self.labels.cpu()
        return Content(images, labels, kept(self.targets), training=self.training)

    @staticmethod
    def start(pool: ClassPool, ipc: int, init: str, rng: Rng) -> Pixels:
        """Standard normal noise ("noise") or random real images of each class ("real").

        Raises:
            BadInput: `init` is neither.
        """
        require_init(init)
        if init == "noise":
            shape = (pool.spec.num_classes * ipc, *pool.spec.shape)
            images = torch.randn(shape, generator=rng.torch()).to(pool.device)
        else:
            images = torch.cat([pool.sample(c, ipc, rng.fork(c)) for c in range(pool.spec.num_classes)])
        return Pixels(images.clone().requires_grad_(), ipc)
