"""Teachers: networks trained on the whole training set, which say what views of images show.

One is trained as in docs/evaluation.md, kept in the cache after each epoch, and goes on there after an interruption
with the bits of an uninterrupted one; or it is the user's own, with weights from a file. An early epoch of the same
training is a weaker teacher, which suits few images (Qin et al., "A Label is Worth a Thousand Images in Dataset
Distillation", NeurIPS 2024, arXiv 2406.10485).

Layout below the cache folder: teachers/<key>/00003.safetensors holds the weights after epoch 3, and
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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor, nn

from condensery.augment import ops
from condensery.data import ClassPool, PoolImages
from condensery.data.cache import Cache, digest
from condensery.errors import BadInput
from condensery.method import Preparation
from condensery.models.registry import NetworkFactory, resolve
from condensery.records import ImageData, ImageSpec
from condensery.rng import Rng
from condensery.teaching.own import Smaller, load_weights, require_same_task
from condensery.training import (
    Augment,
    TensorImages,
    accuracy_on_test,
    default_chunk,
    logits_of,
    probabilities,
    train_epoch,
)
from condensery.training_recipe import Recipe

_LEAST_STEPS = 1000  # of a teacher, unless told otherwise
_BATCH = 256


@dataclass(frozen=True)
class TeacherSettings:
    """Which teacher labels images.

    Attributes:
        network: its architecture; None takes a ConvNet with batch norm, 32 filters wide for grey images and 64 for
            colour.
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
        return resolve(self.network or f"convnet+norm=batch+width={32 if spec.channels == 1 else 64}")

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


@dataclass(frozen=True)
class Teacher:
    """A network that labels images.

    Attributes:
        network, name: the network, and its architecture.
        epochs, seed: of its training; 0 where it came with its weights.
        temperature: of `probabilities`, unless another one is asked for.
        accuracy: of the teacher itself on the test images, a fraction.
        seconds: spent on it here, training it or finding it in the cache, and testing it.
        stage: the epoch whose weights it has, if not the last.
        weights: name and SHA-256 of the file of its weights, if it came with one.
        size: pixels on the shorter side of what it sees, if not those of the images.
    """

    network: nn.Module
    name: str
    epochs: int
    seed: int
    temperature: float
    accuracy: float
    seconds: float
    stage: int | None = None
    weights: dict[str, str] | None = None
    size: int | None = None

    def label(self, images: TensorImages) -> TensorImages:
        """The same images with the teacher's probabilities, float32 (N, classes), in place of their labels."""
        return replace(images, labels=self.probabilities(images.images))

    def probabilities(self, images: Tensor) -> Tensor:
        """softmax(logits / temperature), float32 (N, classes), of normalised images (N, C, H, W)."""
        return probabilities(self.network, images, self.temperature)

    def logits(self, images: Tensor) -> Tensor:
        """Outputs float32 (N, classes) for normalised images (N, C, H, W), in evaluation mode."""
        return logits_of(self.network, images, default_chunk(images.device) or _BATCH)

    @property
    def bytes(self) -> int:
        """Bytes of its weights and buffers as they are."""
        return sum(tensor.nbytes for tensor in self.network.state_dict().values())

    def to_json(self) -> dict[str, Any]:
        record = {
            "network": self.name,
            "epochs": self.epochs,
            "seed": self.seed,
            "temperature": self.temperature,
            "accuracy": self.accuracy,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 1),
        }
        extra = {"stage": self.stage, "weights": self.weights, "size": self.size}
        return {**record, **{key: value for key, value in extra.items() if value is not None}}


def get_teacher(
    data: ImageData,
    settings: TeacherSettings,
    device: torch.device,
    callback: Callable[[int, int], None] | None = None,
) -> Teacher:
    """The teacher that `settings` ask for, trained or found in the cache, or loaded from a file; and tested.

    Args:
        callback: called after each epoch of training with the epochs done and those in all.

    Raises:
        BadInput: an unknown network, weights that do not fit it, or a teacher of another task, which is far too often
            wrong on real training images, or right once its classes are renamed.
    """
    started = time.perf_counter()
    factory = settings.factory(data.spec)
    pool = ClassPool(data.train, data.spec, device)
    if settings.weights is not None:
        network, weights = _with_weights(settings, data.spec, device)
        epochs, stage = 0, None
    else:
        training = _Training(pool, factory, settings, device)
        network, weights = training.network_at(settings.stage or training.recipe.epochs, callback), None
        epochs, stage = training.recipe.epochs, settings.stage
    require_same_task(network, pool)
    found = accuracy_on_test(network, factory, data, device)
    seconds = time.perf_counter() - started
    how = (factory.name, epochs, settings.seed, 1.0, found, seconds, stage, weights, settings.size)
    return Teacher(network, *how)


def _with_weights(
    settings: TeacherSettings, spec: ImageSpec, device: torch.device
) -> tuple[nn.Module, dict[str, str]]:
    """A teacher that comes with its weights; name and SHA-256 of their file."""
    assert settings.weights is not None
    network = settings.build(spec, Rng(0)).to(device)
    inner = network.network if isinstance(network, Smaller) else network
    return network, load_weights(inner, Path(settings.weights), settings.factory(spec).name)


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
    recipe = Recipe(1, lr=0.2, batch_size=128, schedule="one-cycle", warmup=0.25)
    default = max(
        3 if spec.channels == 1 else 10, math.ceil(_LEAST_STEPS / math.ceil(images / recipe.batch_size))
    )
    return replace(recipe, epochs=epochs or default)


class _Training:
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

    def _folder(self) -> Path | None:
        """None for a user's own network, which is known by name and may change."""
        if ":" in self.factory.canonical:
            return None
        threads = torch.get_num_threads() if self.device.type == "cpu" else 0
        words = (self.pool.fingerprint(), str(self.pool.spec.flip), self.factory.canonical)
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
        return True

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
            save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, name)
            os.replace(name, self.folder / f"{epoch:05}{part}.safetensors")


def teacher_network(pool: ClassPool, settings: TeacherSettings, device: torch.device) -> nn.Module:
    """The network of `get_teacher`, in evaluation mode, for methods that see no test image."""
    if settings.weights is not None:
        network, _ = _with_weights(settings, pool.spec, device)
    else:
        training = _Training(pool, settings.factory(pool.spec), settings, device)
        network = training.network_at(settings.stage or training.recipe.epochs, None)
    require_same_task(network, pool)
    return network.eval()


def teacher_preparation(
    pool: ClassPool, settings: TeacherSettings, device: torch.device
) -> Preparation | None:
    """The epochs of `teacher_network` that are still to be trained, beside which a method's steps take no time."""
    if settings.weights is not None:
        return None
    training = _Training(pool, settings.factory(pool.spec), settings, device)
    missing = training.missing(settings.stage or training.recipe.epochs)
    return Preparation(
        piece="teacher epoch",
        missing=tuple(f"{training.folder}/{epoch:05}" for epoch in missing),
        work=float(len(pool.labels)),
        make=lambda k: training.network_at(missing[k], None),
        without=None,
    )
