"""Soft labels that an evaluation makes: what a network trained on the whole training set says of each image."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch

from condensery.data import ClassPool, PoolImages
from condensery.errors import BadInput
from condensery.models.registry import NetworkFactory, resolve
from condensery.pretraining import KeptNetwork, kept_network
from condensery.records import ImageData
from condensery.rng import Rng
from condensery.teaching import Teacher
from condensery.training import accuracy_on_test, train
from condensery.training_recipe import Recipe

_LEAST_EPOCHS, _LEAST_STEPS = 5, 500  # of a teacher, unless told otherwise


@dataclass(frozen=True)
class SoftLabels:
    """Which teacher labels the images of a set, and of the random selections beside it.

    Attributes:
        network: the teacher's architecture; None takes the one that is trained on the set.
        epochs: passes over the whole training set; None takes 5, or as many as make 500 optimiser steps.
        temperature: logits are divided by it: above 1 the probabilities are more even.
        seed: of the teacher; None takes the evaluation's.

    Raises:
        BadInput: a number out of range.
    """

    network: str | None = None
    epochs: int | None = None
    temperature: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.epochs is not None and self.epochs < 1:
            raise BadInput(f"--teacher-epochs must be at least 1, not {self.epochs}")
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise BadInput(f"--temperature must be a positive number, not {self.temperature}")

    def factory(self, evaluated: NetworkFactory) -> NetworkFactory:
        """The architecture of the teacher for networks made by `evaluated`."""
        return resolve(self.network) if self.network else evaluated


def train_teacher(
    data: ImageData, factory: NetworkFactory, settings: SoftLabels, seed: int, device: torch.device
) -> Teacher:
    """The teacher of this architecture, which depends on the data, `settings` and seed, never on a set.

    It is trained without augmentation, with SGD as `Recipe` has it and a tenth of its learning rate after
    two thirds of the epochs, and kept in the cache: an evaluation that needs the same one finds it there.

    Args:
        factory: the teacher's architecture.
        seed: where `settings` names none.
    """
    started = time.perf_counter()
    plan = _plan(data, factory, settings, seed, device)
    network = factory.build(data.spec, plan.rng.fork("network")).to(device)
    whole = PoolImages(plan.pool)
    plan.kept.trained(
        network, lambda: train(network, whole, plan.recipe, plan.rng, augment=None, device=device)
    )
    found = accuracy_on_test(network, factory, data, device)
    seconds = time.perf_counter() - started
    return Teacher(network, factory.name, plan.recipe.epochs, plan.seed, settings.temperature, found, seconds)


def teacher_to_train(
    data: ImageData, factory: NetworkFactory, settings: SoftLabels, seed: int, device: torch.device
) -> tuple[KeptNetwork, int]:
    """Where the teacher of `train_teacher` is kept, and the epochs that it takes if it is not there."""
    plan = _plan(data, factory, settings, seed, device)
    return plan.kept, plan.recipe.epochs


@dataclass(frozen=True)
class _Plan:
    """What decides a teacher."""

    pool: ClassPool
    recipe: Recipe
    rng: Rng
    seed: int
    kept: KeptNetwork


def _plan(
    data: ImageData, factory: NetworkFactory, settings: SoftLabels, seed: int, device: torch.device
) -> _Plan:
    seed = seed if settings.seed is None else settings.seed
    pool = ClassPool(data.train, data.spec, device)
    epochs = settings.epochs or _default_epochs(len(pool.labels))
    recipe = Recipe(epochs=epochs, decay_after=(max(1, math.ceil(2 * epochs / 3)),))
    rng = Rng(seed).fork("teacher", factory.canonical, epochs)
    return _Plan(pool, recipe, rng, seed, kept_network(pool.fingerprint(), factory, recipe, rng, device))


def _default_epochs(images: int) -> int:
    return max(_LEAST_EPOCHS, math.ceil(_LEAST_STEPS / math.ceil(images / Recipe(1).batch_size)))
