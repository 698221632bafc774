"""Synthetic images learned pixel by pixel, class-major."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, cast

import torch
from torch import Tensor

from condensery.budgets import Counts
from condensery.data.pool import ClassPool
from condensery.errors import BadInput
from condensery.rng import Rng
from condensery.synthetic.learned import Content
from condensery.synthetic.starts import real_starts, typical_starts

INITS = ("noise", "real", "clusters")
_MANY = 1 << 22  # values, beyond which gradients of a class are sparse


def require_init(init: str) -> None:
    """Raise BadInput unless `init` is one of `INITS`."""
    if init not in INITS:
        raise BadInput(
            f"unknown initialisation {init!r}; choose one of {', '.join(INITS)}, or a file "
            "of another set, and there is none of that name"
        )


def class_labels(counts: Counts, device: torch.device) -> Tensor:
    """int64 (sum of counts,): 0, 0, ..., 1, 1, ..."""
    each = torch.tensor(counts, device=device)
    return torch.arange(len(counts), device=device).repeat_interleave(each, output_size=sum(counts))


def _joined(parts: Iterator[Tensor], counts: Counts) -> Tensor:
    """The images of all classes as `torch.cat` joins them, strides included, without holding them twice."""
    first = next(parts)
    if first.is_contiguous(memory_format=torch.channels_last):  # grey images are both
        return torch.cat([first, *parts])
    whole = first.new_empty(sum(counts), *first.shape[1:])
    for place, part in zip(whole.split(list(counts)), chain([first], parts), strict=True):
        place.copy_(part)
    return whole


def of_class(images: Tensor, counts: Counts, c: int) -> Tensor:
    """A view (counts[c], C, H, W) of class-major `images`.

    Its gradient for many images is sparse: a dense one is zero but for this class, and a step over all classes would
    write all images once for each of them.
    """
    start = sum(counts[:c])
    stop = start + counts[c]
    if images.numel() < _MANY or not images.requires_grad:
        return images[start:stop]
    return cast(Tensor, _SparselyDifferentiated.apply(images, start, stop))


class _SparselyDifferentiated(torch.autograd.Function):
    """images[start:stop], whose gradient is a sparse tensor with these rows."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, start: int, stop: int) -> Tensor:
        ctx.shape, ctx.rows = images.shape, (start, stop)
        return images[start:stop]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,), (start, stop) = gradients, ctx.rows
        rows = torch.arange(start, stop, device=gradient.device)[None]
        sparse = torch.sparse_coo_tensor(
            rows, gradient, tuple(ctx.shape), check_invariants=False, is_coalesced=True
        )
        return sparse, None, None


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
        images: float32 (M, C, H, W) in normalised space, never clipped; a leaf if it requires grad, fixed otherwise.
        counts: images of each class, M in all.
        targets: float32 (M, num_classes), learned labels, requires grad; None if the labels are the classes.
        training: how the set wants to be trained, see `Content`.
        rates: numbers that are learned with the set, such as learning rates or a temperature; a leaf. None for none.
    """

    images: Tensor
    counts: Counts
    targets: Tensor | None = None
    training: dict[str, Any] = field(default_factory=dict)
    rates: Tensor | None = None

    @property
    def labels(self) -> Tensor:
        """int64 (M,): 0, 0, ..., 1, 1, ... Never learned."""
        return class_labels(self.counts, self.images.device)

    def of_class(self, c: int) -> Tensor:
        """The images of class `c`: a view (counts[c], C, H, W) through which gradients flow."""
        return of_class(self.images, self.counts, c)

    def leaves(self) -> dict[str, Tensor]:
        images = {"images": self.images} if self.images.requires_grad else {}
        rates = {} if self.rates is None else {"rates": self.rates}
        return images | labels_as_leaves(self.targets) | rates

    def content(self) -> Content:
        images, labels = self.images.detach().cpu().clone(), self.labels.cpu()
        return Content(images, labels, kept(self.targets), training=self.training)

    @staticmethod
    def start(pool: ClassPool, counts: Counts, init: str, rng: Rng, factor: int = 1) -> Pixels:
        """Standard normal noise ("noise"), or real images of each class: random ones ("real"), see `real_starts`, or
        typical ones ("clusters"), see `typical_starts`.

        Args:
            factor: by which they are made smaller later.

        Raises:
            BadInput: `init` is none of them.
        """
        require_init(init)
        if init == "noise":
            shape = (sum(counts), *pool.spec.shape)
            images = torch.randn(shape, generator=rng.torch()).to(pool.device)
        elif init == "real":
            images = _joined((real_starts(pool, c, n, rng.fork(c)) for c, n in enumerate(counts)), counts)
        else:
            each = (typical_starts(pool, c, n, factor, rng.fork(c)) for c, n in enumerate(counts))
            images = _joined(each, counts)
        return Pixels(images.clone().requires_grad_(), counts)
