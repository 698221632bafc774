"""Networks trained and tested on one data set under one protocol: on sets, random images and the whole set."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from condensery.coresets import random_selection
from condensery.data import ClassPool, PoolImages
from condensery.evaluation.networks import accuracy_on_test, train_network
from condensery.evaluation.protocols import Protocol
from condensery.evaluation.scores import Score
from condensery.evaluation.teacher import SoftLabels, Teacher, train_teacher
from condensery.models.registry import NetworkFactory
from condensery.records import ImageData, SyntheticSet
from condensery.rng import Rng
from condensery.training import Augment, Images, Recipe, TensorImages

BASELINES = ("random", "whole")


@dataclass(frozen=True)
class Trained:
    """News for a callback: one network is done.

    Attributes:
        subject, network: what was trained on, and which architecture; a subject "teacher" was trained on the
            whole set.
        accuracy: of that network on the test images, a fraction.
        done, total: networks so far and in all.
    """

    subject: str
    network: str
    accuracy: float
    done: int
    total: int


@dataclass(frozen=True)
class Arm:
    """One way of training on a set.

    Attributes:
        labels: "hard", the images' own, or "soft", a teacher's.
        augmentation: "protocol", whatever the protocol says, or "none".
    """

    labels: str = "hard"
    augmentation: str = "protocol"


def equal_epochs(recipe: Recipe, count: int, whole: int) -> int:
    """Epochs on a set of `whole` images with at least the optimiser steps that `recipe` makes on `count` images."""
    steps = recipe.epochs * math.ceil(count / recipe.batch_size)
    return max(1, math.ceil(steps / math.ceil(whole / recipe.batch_size)))


class Bench:
    """Trains and tests networks on one data set under one protocol.

    The same network number gets the same weights, order and images in every arm, so that arms differ in
    nothing but what they are about.
    """

    def __init__(
        self,
        data: ImageData,
        protocol: Protocol,
        seed: int,
        device: torch.device,
        soft_labels: SoftLabels | None,
        callback: Callable[[Trained], None] | None,
    ) -> None:
        self.data, self.protocol, self.seed = data, protocol, seed
        self.device, self.soft_labels, self.callback = device, soft_labels, callback
        self.rng = Rng(seed).fork("evaluate")
        self.teachers: dict[str, Teacher] = {}  # by architecture, each trained when it is first asked
        self.done = self.total = 0

    def arms(self, factory: NetworkFactory, without_augmentation: bool) -> list[Arm]:
        """Every way to train networks of this architecture on a set; the first is hard labels as ever."""
        labels = ["hard", "soft"] if self.soft_labels else ["hard"]
        plain = without_augmentation and self.augments(factory)
        return [Arm(kind, how) for how in ("protocol", "none")[: 1 + plain] for kind in labels]

    def teachers_needed(self, factories: Sequence[NetworkFactory]) -> int:
        """How many teachers label images for networks of these architectures."""
        return len({self.soft_labels.factory(f).canonical for f in factories}) if self.soft_labels else 0

    def augments(self, factory: NetworkFactory) -> bool:
        """Whether the protocol transforms training batches of these images at all."""
        return self.protocol.augment(self.data.spec, factory) is not None

    def score_sets(
        self, sets: Sequence[SyntheticSet], factory: NetworkFactory, repeats: int, arm: Arm
    ) -> Score:
        subject = str(sets[0].record.get("method", "set"))
        if subject in BASELINES:  # a selection that has the name of a baseline
            subject += " set"
        return self._score(subject, factory, self._images(sets, factory, arm), repeats, arm)

    def score_random(self, like: SyntheticSet, factory: NetworkFactory, count: int, arm: Arm) -> Score:
        """`count` random selections of the size of `like`, one network each."""
        pool = ClassPool(self.data.train, self.data.spec, self.device)
        ipc = len(like) // like.spec.num_classes
        picks = [random_selection(pool, ipc, self.rng.fork("random selection", i)) for i in range(count)]
        return self._score("random", factory, self._images(picks, factory, arm), 1, arm)

    def score_whole(self, factory: NetworkFactory, repeats: int, epochs: int) -> Score:
        """The whole training set."""
        whole = PoolImages(ClassPool(self.data.train, self.data.spec, self.device))
        recipe = self.protocol.recipe(self.data.spec, factory)
        decay = max(1, round(epochs * recipe.decay_after[0] / recipe.epochs)) if recipe.decay_after else 0
        recipe = replace(recipe, epochs=epochs, decay_after=(decay,))
        return self._score("whole", factory, [whole], repeats, Arm(), recipe)

    def _images(self, sets: Sequence[SyntheticSet], factory: NetworkFactory, arm: Arm) -> list[TensorImages]:
        images = [TensorImages(s.images.to(self.device), s.labels.to(self.device)) for s in sets]
        return [self._teacher(factory).label(i) for i in images] if arm.labels == "soft" else images

    def _teacher(self, factory: NetworkFactory) -> Teacher:
        """Who labels images for networks made by `factory`: one for each architecture of a teacher."""
        settings = self.soft_labels or SoftLabels()
        wanted = settings.factory(factory)
        if wanted.canonical not in self.teachers:
            teacher = train_teacher(self.data, wanted, settings, self.seed, self.device)
            self.teachers[wanted.canonical] = teacher
            self._report("teacher", wanted, teacher.accuracy)
        return self.teachers[wanted.canonical]

    def _score(
        self,
        subject: str,
        factory: NetworkFactory,
        sets: Sequence[TensorImages] | Sequence[PoolImages],
        repeats: int,
        arm: Arm,
        recipe: Recipe | None = None,
    ) -> Score:
        started = time.perf_counter()
        recipe = recipe or self.protocol.recipe(self.data.spec, factory)
        augment = self.protocol.augment(self.data.spec, factory) if arm.augmentation == "protocol" else None
        rows = []
        for i, images in enumerate(sets):
            row = []
            for k in range(repeats):
                rng = self.rng.fork(subject, factory.canonical, i, k)
                row.append(self._train_and_test(factory, images, recipe, rng, augment))
                self._report(subject, factory, row[-1])
            rows.append(tuple(row))
        return Score(
            subject=subject,
            network=factory.name,
            images=len(sets[0]),
            bytes=sets[0].bytes,
            accuracies=tuple(rows),
            epochs=recipe.epochs,
            seconds=time.perf_counter() - started,
            labels=arm.labels,
            augmentation=arm.augmentation,
        )

    def _train_and_test(
        self, factory: NetworkFactory, images: Images, recipe: Recipe, rng: Rng, augment: Augment | None
    ) -> float:
        network = train_network(
            factory, self.data.spec, images, recipe, rng, augment=augment, device=self.device
        )
        return accuracy_on_test(network, factory, self.data, self.device)

    def _report(self, subject: str, factory: NetworkFactory, value: float) -> None:
        self.done += 1
        if self.callback:
            self.callback(Trained(subject, factory.name, value, self.done, self.total))
