"""A teacher's training on the whole training set, kept in the cache epoch by epoch.

It goes on there after an interruption with the bits of an uninterrupted one. Layout below the cache folder:
teachers/<key>/00003.safetensors holds the weights after epoch 3 and the seconds that these epochs took, and
00003.optimizer.safetensors, which only the latest epoch has, the momentum. The key says what decides the bits.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor, nn

from condensery.augment import ops
from condensery.data import ClassPool, PoolImages
from condensery.data.cache import Cache, digest
from condensery.errors import BadInput
from condensery.models.registry import NetworkFactory
from condensery.records import ImageSpec
from condensery.rng import Rng
from condensery.teaching.own import Smaller
from condensery.teaching.settings import TeacherSettings
from condensery.training import Augment, default_chunk, train_epoch
from condensery.training_recipe import Recipe

_BATCH = 128
_LEAST_STEPS = 1000  # of a teacher, unless told otherwise


@dataclass(frozen=True)
class ShiftAndFlip:
    """The teacher's augmentation: a shift by up to an eighth of the side, border pixels repeated, and mirror images.

    Attributes:
        flip: whether half of the images are mirrored.
    """

    flip: bool

    def __call__(self, images: Tensor, rng: Rng) -> Tensor:
        count, (height, width) = len(images), images.shape[-2:]
        generator = rng.torch()
        rows = torch.arange(height) + _shifts(count, height, generator)
        columns = torch.arange(width) + _shifts(count, width, generator)
        moved = ops.take(images, rows.to(images.device), columns.to(images.device))
        return ops.flip(moved, torch.rand(count, generator=generator) < 0.5) if self.flip else moved


def _shifts(count: int, side: int, generator: Generator) -> Tensor:
    most = max(1, side // 8)
    return torch.randint(-most, most + 1, (count, 1), generator=generator)


def teacher_recipe(images: int, spec: ImageSpec, epochs: int | None = None) -> Recipe:
    """How a teacher of this many training images is trained; `epochs` None for the default."""
    default = max(3 if spec.channels == 1 else 10, epochs_of(_LEAST_STEPS, images))
    return Recipe(epochs or default, lr=0.2, batch_size=_BATCH, schedule="one-cycle", warmup=0.25)


def epochs_of(steps: int, images: int) -> int:
    """Epochs on so many training images that take a teacher this many steps, rounded up."""
    return math.ceil(steps / math.ceil(images / _BATCH))


class TeacherTraining:
    """A teacher's training, kept in the cache epoch by epoch."""

    def __init__(
        self, pool: ClassPool, factory: NetworkFactory, settings: TeacherSettings, device: torch.device
    ) -> None:
        self.pool, self.factory, self.device, self.settings = pool, factory, device, settings
        self.recipe = teacher_recipe(len(pool.labels), pool.spec, settings.epochs)
        if settings.stage and settings.stage > self.recipe.epochs:
            raise BadInput(
                f"--teacher-stage {settings.stage} comes after the last of {self.recipe.epochs} epochs"
            )
        self.rng = Rng(settings.seed).fork("label teacher", factory.canonical)
        self.folder = self._folder()
        self.seconds: float | None = 0.0  # that all epochs so far took; None where the cache does not say

    def _folder(self) -> Path | None:
        """None for a user's own network, which is known by name and may change."""
        if ":" in self.factory.canonical:
            return None
        threads = torch.get_num_threads() if self.device.type == "cpu" else 0
        words = (self.pool.fingerprint(), str(self.pool.spec.flip), self.factory.kept_as)
        words = (*words, json.dumps(self.recipe.to_json()), str(self.rng.entropy), self.device.type)
        words = words if self.settings.size is None else (*words, f"size {self.settings.size}")
        return Cache().folder / "teachers" / digest("teacher", *words, str(threads), torch.__version__)

    def _new(self) -> nn.Module:
        return self.settings.build(self.pool.spec, self.rng.fork("network")).to(self.device)

    def network_at(self, stage: int, callback: Callable[[int, int], None] | None) -> nn.Module:
        """The network after `stage` epochs."""
        network = self._new()
        if self._recalled(network, stage):
            return network
        optimizer = self.recipe.make_optimizer(network, self.recipe.lr)
        done = self._latest(network, optimizer, stage)
        whole, chunk = PoolImages(self.pool), default_chunk(self.device)
        per_epoch = math.ceil(len(whole) / self.recipe.batch_size)
        for epoch in range(done, stage):
            started = time.perf_counter()
            with self.rng.fork("layers", epoch).seeded(self.device):
                train_epoch(
                    network,
                    optimizer,
                    whole,
                    self.recipe.batch_size,
                    self.rng.fork("epoch", epoch),
                    augment=self._augment(network),
                    chunk=chunk,
                    rate=lambda i, before=epoch * per_epoch: self.recipe.rate(
                        before + i, self.recipe.epochs * per_epoch
                    ),
                )
            if self.seconds is not None:
                self.seconds += time.perf_counter() - started
            self._keep(network, optimizer, epoch + 1)
            if callback:
                callback(epoch + 1, stage)
        return network

    def _augment(self, network: nn.Module) -> Augment:
        """Of a training batch, which is made smaller first where the teacher sees smaller images."""
        augment = ShiftAndFlip(self.pool.spec.flip)
        return (
            (lambda images, rng: augment(network.seen(images), rng))
            if isinstance(network, Smaller)
            else augment
        )

    def missing(self, stage: int) -> list[int]:
        """Epochs up to `stage` that are to be trained before the network after it is there; none if it is not kept."""
        if self.folder is None:
            return []
        there = [e for e in range(1, stage + 1) if (self.folder / f"{e:05}.safetensors").exists()]
        going_on = [e for e in there if (self.folder / f"{e:05}.optimizer.safetensors").exists()]
        return [] if stage in there else list(range(max(going_on, default=0) + 1, stage + 1))

    def _latest(self, network: nn.Module, optimizer: torch.optim.Optimizer, stage: int) -> int:
        """Restore the latest epoch before `stage` that training can go on from; returns it, 0 if there is none."""
        for epoch in range(stage - 1, 0, -1):
            momentum = self._read(epoch, ".optimizer")
            if momentum is not None and self._recalled(network, epoch):
                state = {int(i): {"momentum_buffer": tensor} for i, tensor in momentum.items()}
                optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
                return epoch
        network.load_state_dict(self._new().state_dict())
        return 0

    def _recalled(self, network: nn.Module, epoch: int) -> bool:
        """Give `network` the weights after `epoch`; False if they are not there, or damaged."""
        weights = self._read(epoch)
        if weights is None:
            return False
        try:
            network.load_state_dict(weights)
        except RuntimeError:
            return False
        self.seconds = self._seconds(epoch)
        return True

    def _seconds(self, epoch: int) -> float | None:
        """What all epochs up to this one took, kept with its weights."""
        assert self.folder is not None
        with safe_open(self.folder / f"{epoch:05}.safetensors", "pt") as file:
            said = (file.metadata() or {}).get("seconds", "")
        with contextlib.suppress(ValueError):
            return float(said)
        return None

    def _keep(self, network: nn.Module, optimizer: torch.optim.Optimizer, epoch: int) -> None:
        state = optimizer.state_dict()["state"]
        momentum = {str(i): values["momentum_buffer"] for i, values in state.items()}
        self._write(epoch, network.state_dict())
        self._write(epoch, momentum, ".optimizer")
        if self.folder is not None:
            with contextlib.suppress(OSError):
                (self.folder / f"{epoch - 1:05}.optimizer.safetensors").unlink()

    def _read(self, epoch: int, part: str = "") -> dict[str, Tensor] | None:
        if self.folder is None:
            return None
        try:
            return load_file(self.folder / f"{epoch:05}{part}.safetensors")
        except (OSError, SafetensorError, ValueError):
            return None

    def _write(self, epoch: int, tensors: Mapping[str, Tensor], part: str = "") -> None:
        if self.folder is None:
            return
        with Cache().writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix="tmp-", dir=self.folder)
            os.close(handle)
            plain = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
            save_file(plain, name, {} if self.seconds is None else {"seconds": f"{self.seconds:.1f}"})
            os.replace(name, self.folder / f"{epoch:05}{part}.safetensors")
