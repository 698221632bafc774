"""What a method learns, whatever it is made of: pixels, labels, low-resolution tiles, codes and a generator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True)
class Content:
    """A learned set as it is evaluated and saved: detached, on the CPU, class-major.

    Attributes:
        images: float32 (M, C, H, W) in normalised space, what networks are trained on.
        labels: int64 (M,), the class of each image.
        targets: float32 (M, classes), learned labels or probabilities; None if the classes are the labels.
        stored: tensors that make the images again; empty if the images themselves are stored.
        training: how the set wants to be trained; empty for as the protocol says.
    """

    images: Tensor
    labels: Tensor
    targets: Tensor | None = None
    stored: dict[str, Tensor] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)


class Learned(Protocol):
    """Labelled images that are made, by differentiable functions, of the tensors that an optimiser steps."""

    @property
    def images(self) -> Tensor:
        """All images, float32 (M, C, H, W) in normalised space, class-major: gradients flow to the leaves."""
        ...

    @property
    def labels(self) -> Tensor:
        """int64 (M,): the class of each image."""
        ...

    def of_class(self, c: int) -> Tensor:
        """The images of class `c`, (M / classes, C, H, W); they make no use of what other classes alone have."""
        ...

    def leaves(self) -> dict[str, Tensor]:
        """What the optimiser steps, by name. The names stand in checkpoints."""
        ...

    def content(self) -> Content:
        """What is evaluated and saved."""
        ...
