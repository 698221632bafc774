"""Teachers: networks trained on the whole training set, which say what views of images show.

One is trained as `condensery.teaching.epochs` says; or it is the user's own, with weights from a file. An early epoch
of the same training is a weaker teacher, which suits few images (Qin et al., "A Label is Worth a Thousand Images in
Dataset Distillation", NeurIPS 2024, arXiv 2406.10485).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from condensery.data import ClassPool
from condensery.method import Preparation
from condensery.records import ImageData, ImageSpec
from condensery.rng import Rng
from condensery.teaching.epochs import TeacherTraining
from condensery.teaching.own import Smaller, load_weights, require_same_task
from condensery.teaching.settings import TeacherSettings
from condensery.training import (
    TensorImages,
    accuracy_on_test,
    default_chunk,
    logits_of,
    probabilities,
)

_BATCH = 256


@dataclass(frozen=True)
class Teacher:
    """A network that labels images.

    Attributes:
        network, name: the network, and its architecture.
        epochs, seed: of its training; 0 where it came with its weights.
        temperature: of `probabilities`, unless another one is asked for.
        accuracy: of the teacher itself on the test images, a fraction.
        seconds: spent on it here, training it or finding it in the cache, and testing it.
        training_seconds: all its epochs took, also where they were found in the cache; None if that is not known.
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
    training_seconds: float | None = None

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
        if self.training_seconds is not None:
            extra["training_seconds"] = round(self.training_seconds, 1)
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
        epochs, stage, trained = 0, None, None
    else:
        training = TeacherTraining(pool, factory, settings, device)
        network, weights = training.network_at(settings.stage or training.recipe.epochs, callback), None
        epochs, stage, trained = training.recipe.epochs, settings.stage, training.seconds
    require_same_task(network, pool)
    found = accuracy_on_test(network, factory, data, device)
    seconds = time.perf_counter() - started
    how = (factory.name, epochs, settings.seed, 1.0, found, seconds, stage, weights, settings.size, trained)
    return Teacher(network, *how)


def _with_weights(
    settings: TeacherSettings, spec: ImageSpec, device: torch.device
) -> tuple[nn.Module, dict[str, str]]:
    """A teacher that comes with its weights; name and SHA-256 of their file."""
    assert settings.weights is not None
    network = settings.build(spec, Rng(0)).to(device)
    inner = network.network if isinstance(network, Smaller) else network
    return network, load_weights(inner, Path(settings.weights), settings.factory(spec).name)


def teacher_network(pool: ClassPool, settings: TeacherSettings, device: torch.device) -> nn.Module:
    """The network of `get_teacher`, in evaluation mode, for methods that see no test image."""
    if settings.weights is not None:
        network, _ = _with_weights(settings, pool.spec, device)
    else:
        training = TeacherTraining(pool, settings.factory(pool.spec), settings, device)
        network = training.network_at(settings.stage or training.recipe.epochs, None)
    require_same_task(network, pool)
    return network.eval()


def teacher_preparation(
    pool: ClassPool, settings: TeacherSettings, device: torch.device
) -> Preparation | None:
    """The epochs of `teacher_network` that are still to be trained, beside which a method's steps take no time."""
    if settings.weights is not None:
        return None
    training = TeacherTraining(pool, settings.factory(pool.spec), settings, device)
    missing = training.missing(settings.stage or training.recipe.epochs)
    return Preparation(
        piece="teacher epoch",
        missing=tuple(f"{training.folder}/{epoch:05}" for epoch in missing),
        work=float(len(pool.labels)),
        make=lambda k: training.network_at(missing[k], None),
        without=None,
    )
