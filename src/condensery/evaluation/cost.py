"""How long an evaluation will take: each kind of work that it has is timed once, and what it makes is thrown away."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from condensery.data import ClassPool
from condensery.data.pool import batches
from condensery.evaluation.protocols import Protocol
from condensery.evaluation.scores import EQUAL_BYTES
from condensery.evaluation.scoring import Scorer
from condensery.evaluation.soft_labels import SoftLabels, teacher_to_train
from condensery.evaluation.stacked import Job, at_once, train_together
from condensery.matching.regression import fitted
from condensery.models.registry import NetworkFactory
from condensery.pretraining import KeptNetwork
from condensery.records import ImageData, SyntheticSet
from condensery.rng import Rng
from condensery.training import Augment, TensorImages, accuracy, default_chunk, forward_layout
from condensery.training_recipe import OwnRecipe, Recipe, Regression

_TEST_BATCH = 256


class EvaluationTimer:
    """Seconds of evaluations on one data set by one protocol, on this machine.

    Args:
        to_train: whether a network has still to be trained, since nothing that was asked about before leaves it behind.
    """

    def __init__(
        self,
        images: ImageData,
        protocol: Protocol,
        device: torch.device,
        to_train: Callable[[KeptNetwork], bool],
    ) -> None:
        self.images, self.protocol, self.device, self.to_train = images, protocol, device, to_train
        self.pool = ClassPool(images.train, images.spec, device)
        self.rng = Rng(0).fork("estimate")
        self._timed: dict[object, float] = {}

    def of_set(
        self,
        network: NetworkFactory,
        like: SyntheticSet,
        repeats: int,
        seed: int,
        *,
        soft_labels: SoftLabels | None = None,
        augmentation_robustness: bool = False,
        recipe: str = "both",
        baselines: Sequence[str] = (),
        **_: Any,
    ) -> float:
        """Seconds that `condensery.evaluate` takes for a set such as `like`, by its options.

        Of the baselines only random images of equal bytes count.
        """
        scorer = Scorer(self.images, self.protocol, seed, self.device, soft_labels)
        settings = scorer.settings(network, augmentation_robustness, like, recipe)
        each = [
            self.networks(repeats if one.draws else 1, network, len(like), *scorer.training_of(network, one))
            for one in settings
        ]
        if EQUAL_BYTES in baselines and like.counts_of_equal_bytes != like.stored_counts:
            how = scorer.training_of(network, settings[0])
            each.append(self.networks(repeats, network, sum(like.counts_of_equal_bytes), *how))
        teacher = self._teacher(network, soft_labels, seed) if soft_labels else 0.0
        return teacher + sum(each)

    def of_whole(self, network: NetworkFactory, repeats: int, epochs: int) -> float:
        """Seconds for networks that are trained on the whole training set and tested."""
        spec = self.images.spec
        recipe = replace(self.protocol.recipe(spec, network), epochs=epochs)
        augment = self.protocol.augment(spec, network)
        return repeats * self.networks(1, network, len(self.images.train), recipe, augment)

    def per_image(self, network: NetworkFactory) -> float:
        """Seconds of training for an image, without augmentation."""
        size = min(Recipe(1).batch_size, len(self.images.train))
        return self._step(1, network, Recipe(1), size, None) / size

    def networks(
        self, number: int, network: NetworkFactory, count: int, recipe: OwnRecipe, augment: Augment | None
    ) -> float:
        """To train so many networks on `count` images each, and to test them."""
        if isinstance(recipe, Regression):
            kind = ("regression", network.canonical, recipe, count)
            return number * self._once(kind, lambda: self._time_regression(network, count, recipe))
        network = network.computing_in(self.protocol.precision)
        full, rest = divmod(count, recipe.batch_size)
        epoch = full * self._step(number, network, recipe, recipe.batch_size, augment) if full else 0.0
        epoch += self._step(number, network, recipe, rest, augment) if rest else 0.0
        return number * (recipe.epochs * epoch + self._test(network))

    def _teacher(self, network: NetworkFactory, settings: SoftLabels, seed: int) -> float:
        """To train a teacher that is not kept, and to test it."""
        factory = settings.factory(network)
        kept, epochs = teacher_to_train(self.images, factory, settings, seed, self.device)
        images = epochs * len(self.images.train) if self.to_train(kept) else 0
        return (images * self.per_image(factory) if images else 0.0) + self._test(factory)

    def _step(
        self, number: int, network: NetworkFactory, recipe: Recipe, size: int, augment: Augment | None
    ) -> float:
        if number > 1:
            number = min(number, at_once(network, self.images.spec, size, self.device))
        kind = ("train", number, network.kept_as, recipe.optimizer, recipe.loss, size, augment is not None)
        return self._once(kind, lambda: self._time_step(number, network, recipe, size, augment))

    def _test(self, network: NetworkFactory) -> float:
        return self._once(("test", network.kept_as), lambda: self._time_test(network))

    def _time_step(
        self, number: int, network: NetworkFactory, recipe: Recipe, size: int, augment: Augment | None
    ) -> float:
        """Seconds for each of so many networks of one optimiser step on `size` images; a first one warms up."""
        count = min(size, len(self.images.train))
        labels = torch.tensor(self.images.train.labels[:count], device=self.device)
        images = TensorImages(self.pool.images_at(torch.arange(count).numpy()), labels)

        def epochs(steps: int) -> None:
            once = replace(recipe, epochs=steps, decay_after=())
            train_together(modules, jobs, once, augment=augment, device=self.device)

        modules = [network.build(self.images.spec, self.rng.fork("network")).to(self.device)] * number
        jobs = [Job(images, recipe, self.rng)] * number
        epochs(1)
        return self._seconds(lambda: epochs(3)) / 3 / number

    def _time_regression(self, network: NetworkFactory, count: int, recipe: Regression) -> float:
        """Seconds to solve it on `count` images, and of a pass over all test images."""
        labels = torch.tensor(self.images.train.labels[:count], device=self.device)
        images = TensorImages(self.pool.images_at(torch.arange(len(labels)).numpy()), labels)
        made: list[nn.Module] = []
        solve = self._seconds(
            lambda: made.append(
                fitted(recipe, network, self.images.spec, images, self.rng.fork("regression"), self.device)
            )
        )
        return solve + self._time_pass(network, made[0])

    def _time_test(self, network: NetworkFactory) -> float:
        """Seconds of a pass of a network over all test images."""
        return self._time_pass(
            network, network.build(self.images.spec, self.rng.fork("network")).to(self.device)
        )

    def _time_pass(self, network: NetworkFactory, module: nn.Module) -> float:
        """The same, from the first batch; a first pass over that warms up."""
        images, labels = next(batches(self.images.test, self.images.spec, self.device, _TEST_BATCH))
        images = forward_layout(images) if network.any_layout else images
        chunk, seconds = default_chunk(self.device, network.precision), 0.0
        for _ in range(2):
            seconds = self._seconds(lambda: accuracy(module, [(images, labels)], chunk))
        return seconds * len(self.images.test) / len(labels)

    def _seconds(self, work: Callable[[], object]) -> float:
        started = time.perf_counter()
        work()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter() - started

    def _once(self, kind: object, measure: Callable[[], float]) -> float:
        if kind not in self._timed:
            self._timed[kind] = measure()
        return self._timed[kind]
