"""Generative models trained on the real images piece by piece, each piece kept, so that runs share them.

Layout below the cache folder: generators/<key>/00003.safetensors holds everything of a training after its third piece:
networks, their averages and optimisers. An interrupted training goes on with the latest of these to the bits of an
uninterrupted one. The key says what decides the bits.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from condensery.data.cache import Cache, digest
from condensery.errors import BadInput
from condensery.method import Method, Preparation, State, Task
from condensery.rng import Rng
from condensery.synthetic import Learned

PIECE = 250  # steps


class GenerativeModel(Protocol):
    """A generative model in training. All that changes is in its networks and optimisers."""

    networks: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]

    def step(self, images: Tensor, labels: Tensor, rng: Rng) -> None:
        """One update on real images (B, C, H, W) and their classes (B,)."""
        ...


class GeneratorTraining:
    """The training of one generative model, kept in the cache.

    Args:
        make: a new model on the task's device.
        steps, batch: of the training.
        words: all that decides the bits beside the images, `rng`, steps and batch.
        rng: of all draws.
        width: of the model.
        cost: of an image in a step of a model 64 wide, in training steps of a ConvNet; as measured on 32x32 pixels.
    """

    def __init__(
        self,
        task: Task,
        make: Callable[[], GenerativeModel],
        *,
        steps: int,
        batch: int,
        words: tuple[str, ...],
        rng: Rng,
        width: int = 64,
        cost: float = 2.0,
    ) -> None:
        self.task, self.make, self.steps, self.batch, self.rng = task, make, steps, batch, rng
        self.cost = cost * (width / 64) ** 1.5
        threads = torch.get_num_threads() if task.device.type == "cpu" else 0
        key = (task.pool.fingerprint(), *words, str(steps), str(batch), str(rng.entropy), task.device.type)
        self.folder = (
            Cache().folder / "generators" / digest("generator", *key, str(threads), torch.__version__)
        )

    @property
    def pieces(self) -> int:
        return math.ceil(self.steps / PIECE)

    def missing(self) -> list[int]:
        """Numbers of the pieces that are still to be made, from 1."""
        there = [piece for piece in range(1, self.pieces + 1) if self._file(piece).exists()]
        return list(range(max(there, default=0) + 1, self.pieces + 1))

    def trained(self, piece: int | None = None) -> GenerativeModel:
        """The model after `piece`, None for the last: from the cache, or trained on from the latest that is there."""
        piece = self.pieces if piece is None else piece
        model, done = self._latest(piece)
        for following in range(done + 1, piece + 1):
            for step in range(PIECE * (following - 1), min(PIECE * following, self.steps)):
                rng = self.rng.fork("step", step)
                model.step(*self.task.real_batch(self.batch, rng), rng)
            self._keep(model, following)
        return model

    def preparation(self, without: Method | None) -> Preparation:
        """What is still to be trained; see `Preparation`."""
        missing = self.missing()
        return Preparation(
            piece="piece",
            missing=tuple(str(self._file(piece)) for piece in missing),
            work=min(PIECE, self.steps) * self.batch * self.cost,
            make=lambda k: self.trained(missing[k]),
            without=without,
            network="convnet",
        )

    def _latest(self, piece: int) -> tuple[GenerativeModel, int]:
        """The model after the latest piece up to `piece` that is there as a whole, and its number; 0 for a new one."""
        model = self.make()
        for done in range(piece, 0, -1):
            with contextlib.suppress(OSError, SafetensorError, ValueError, BadInput):
                _state(model).restored(load_file(self._file(done)), done)
                return model, done
        return self.make(), 0

    def _keep(self, model: GenerativeModel, piece: int) -> None:
        for name, network in model.networks.items():
            if not all(bool(torch.isfinite(tensor).all()) for tensor in network.state_dict().values()):
                raise BadInput(
                    f"the training of the generative model diverged: its {name} is not finite after "
                    f"{min(self.steps, PIECE * piece)} steps; another --seed or --generator-width may help"
                )
        tensors = _state(model).tensors().items()
        with Cache().replacing(self._file(piece)) as file:
            save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors}, file)
        with contextlib.suppress(OSError):
            self._file(piece - 1).unlink()

    def _file(self, piece: int) -> Path:
        return self.folder / f"{piece:05}.safetensors"


def joined(first: Preparation | None, second: Preparation) -> Preparation:
    """Two preparations, one after the other, as one."""
    if first is None or not first.missing:
        return second
    count, total = len(first.missing), len(first.missing) + len(second.missing)

    def make(k: int) -> Any:
        return first.make(k) if k < count else second.make(k - count)

    work = (first.work * count + second.work * (total - count)) / total
    missing = first.missing + second.missing
    parts = (*first.parts, *second.parts)
    return Preparation("piece", missing, work, make, second.without, joined=parts)


class _Nothing:
    def leaves(self) -> dict[str, Tensor]:
        return {}


def _state(model: GenerativeModel) -> State:
    """The model as a state without a set, which knows how to name its tensors and how to take them back."""
    return State(cast(Learned, _Nothing()), model.optimizers, model.networks)
