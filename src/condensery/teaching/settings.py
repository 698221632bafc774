"""Which teacher labels images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from condensery.errors import BadInput
from condensery.models.registry import NetworkFactory, resolve
from condensery.records import ImageSpec
from condensery.rng import Rng
from condensery.teaching.own import Smaller


@dataclass(frozen=True)
class TeacherSettings:
    """Which teacher labels images.

    Attributes:
        network: its architecture; None takes a ConvNet with instance norm, as networks are judged by, 32 filters wide
            for grey images and 64 for colour. Networks learn best from a teacher of their own kind
            (benchmarks/README.md).
        epochs: passes over the whole training set; None takes 3 for grey and 10 for colour images, but as many as make
            1,000 steps.
        stage: the epoch of that training whose weights are taken, from 1; None takes the last.
        seed: of its weights and order.
        weights: a .safetensors or .pt file with the weights of `network`, in place of training.
        size: pixels on the shorter side of what the teacher sees, to which images are averaged first: a teacher of
            large images in a fraction of the time; None shows them as they are.

    Raises:
        BadInput: a value out of range, or weights without a network.
    """

    network: str | None = None
    epochs: int | None = None
    stage: int | None = None
    seed: int = 0
    weights: str | Path | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        counts = (
            ("--teacher-epochs", self.epochs),
            ("--teacher-stage", self.stage),
            ("--teacher-size", self.size),
        )
        for name, value in counts:
            if value is not None and value < 1:
                raise BadInput(f"{name} must be at least 1, not {value}")
        if self.epochs and self.stage and self.stage > self.epochs:
            raise BadInput(f"--teacher-stage {self.stage} comes after the last of {self.epochs} epochs")
        if self.weights is not None:
            if self.network is None:
                raise BadInput("--teacher-weights need the network that they are of: name it with --teacher")
            if self.epochs or self.stage:
                raise BadInput(
                    "a teacher with --teacher-weights is not trained: leave out its epochs and stage"
                )

    def factory(self, spec: ImageSpec) -> NetworkFactory:
        """The teacher's architecture for images of `spec`."""
        return resolve(self.network or f"convnet+width={32 if spec.channels == 1 else 64}")

    def build(self, spec: ImageSpec, rng: Rng) -> nn.Module:
        """A new network of that architecture, which takes images of `spec`. Raises BadInput for a size beyond them."""
        side = min(spec.height, spec.width)
        if self.size is None or self.size == side:
            return self.factory(spec).build(spec, rng)
        if self.size > side:
            raise BadInput(
                f"--teacher-size {self.size} is more than the images have: choose up to {side}, or leave it out"
            )
        height, width = (round(length * self.size / side) for length in (spec.height, spec.width))
        return Smaller(
            self.factory(spec).build(replace(spec, height=height, width=width), rng), (height, width)
        )
