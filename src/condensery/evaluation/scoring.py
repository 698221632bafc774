"""Networks trained and tested on one data set under one protocol: on sets, random images and the whole set."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from condensery.coresets import random_selection
from condensery.data import ClassPool, PoolImages
from condensery.errors import BadInput
from condensery.evaluation.news import Trained, Training
from condensery.evaluation.protocols import Protocol, SiameseGroups
from condensery.evaluation.scores import BASELINES, COMMON, EQUAL_BYTES, OWN, Score
from condensery.evaluation.soft_labels import SoftLabels, train_teacher
from condensery.evaluation.stacked import Job, train_all
from condensery.models.registry import NetworkFactory
from condensery.records import ImageData, SyntheticSet
from condensery.rng import Rng
from condensery.synthetic import with_pixels
from condensery.teaching import LabelSettings, Teacher, TeacherSettings, get_teacher, label_images
from condensery.training import Augment, Images, TensorImages, ViewImages, accuracy_on_test
from condensery.training_recipe import OwnRecipe, Recipe, Regression, own_recipe
from condensery.views import Views

HARD, SOFT, LEARNED = "hard", "soft", "learned"


@dataclass(frozen=True)
class TrainingSetting:
    """One way of training on a set.

    Attributes:
        labels: "hard", the classes; "soft", a teacher's for this evaluation; or what the set holds, see
            `SyntheticSet.label_kind`.
        augmentation: "protocol", whatever the protocol says, or "none".
        held: whether these are labels that the set holds.
        training: how the set wants to be trained; None for the common protocol.
    """

    labels: str = HARD
    augmentation: str = "protocol"
    held: bool = False
    training: dict[str, Any] | None = field(default=None, hash=False)

    @property
    def recipe(self) -> str:
        return COMMON if self.training is None else OWN

    @property
    def draws(self) -> bool:
        """Whether another classifier comes of the same images; a regression in closed form has no second."""
        return self.training is None or own_recipe(self.training)[0].draws


def equal_epochs(recipe: Recipe, count: int, whole: int) -> int:
    """Epochs on a set of `whole` images with at least the optimiser steps that `recipe` makes on `count` images."""
    return max(1, math.ceil(recipe.steps(count) / math.ceil(whole / recipe.batch_size)))


class Scorer:
    """Trains and tests networks on one data set under one protocol.

    The same network number gets the same weights, order and images in every setting, so that settings differ in
    nothing but what they are about.
    """

    def __init__(
        self,
        data: ImageData,
        protocol: Protocol,
        seed: int,
        device: torch.device,
        soft_labels: SoftLabels | None = None,
        callback: Callable[[Trained], None] | None = None,
        teacher_weights: str | Path | None = None,
        every_epoch: Callable[[Training], None] | None = None,
    ) -> None:
        self.data, self.protocol, self.seed = data, protocol, seed
        self.device, self.soft_labels, self.callback = device, soft_labels, callback
        self.teacher_weights, self.every_epoch = teacher_weights, every_epoch
        self.rng = Rng(seed).fork("evaluate")
        self.teachers: dict[str, Teacher] = {}  # by architecture, each trained when it is first asked
        self.held_teachers: dict[str, Teacher] = {}  # who labelled the sets, by what is known of them
        self.done = self.total = 0

    def settings(
        self,
        factory: NetworkFactory,
        without_augmentation: bool,
        synthetic: SyntheticSet,
        recipe: str = "both",
    ) -> list[TrainingSetting]:
        """Every way to train networks of this architecture on a set; the first is hard labels as ever.

        Args:
            recipe: "common" leaves out the set's own recipe, "own" all but that.
        """
        labels = [HARD, SOFT] if self.soft_labels else [HARD]
        plain = without_augmentation and self.augments(factory)
        common = [TrainingSetting(kind, how) for how in ("protocol", "none")[: 1 + plain] for kind in labels]
        every = common + _held_settings(synthetic)
        return [one for one in every if recipe == "both" or (one.recipe == OWN) == (recipe == "own")]

    def training_of(
        self, factory: NetworkFactory, setting: TrainingSetting
    ) -> tuple[OwnRecipe, Augment | None]:
        """How networks of this architecture are trained on a set in this setting."""
        spec = self.data.spec
        if setting.training is None:
            recipe, augment = self.protocol.recipe(spec, factory), self.protocol.augment(spec, factory)
        else:
            recipe, strategy = own_recipe(setting.training)
            augment = SiameseGroups(strategy)(spec, factory)
        if setting.training is None and setting.labels.startswith("views"):
            augment = None  # views take the place of the protocol's augmentation
        return recipe, None if setting.augmentation == "none" else augment

    def teachers_needed(self, factories: Sequence[NetworkFactory]) -> int:
        """How many teachers label images for networks of these architectures."""
        return len({self.soft_labels.factory(f).canonical for f in factories}) if self.soft_labels else 0

    def augments(self, factory: NetworkFactory) -> bool:
        """Whether the protocol transforms training batches of these images at all."""
        return self.protocol.augment(self.data.spec, factory) is not None

    def score_sets(
        self, sets: Sequence[SyntheticSet], factory: NetworkFactory, repeats: int, setting: TrainingSetting
    ) -> Score:
        subject = str(sets[0].record.get("method", "set"))
        if subject in BASELINES:  # a selection that has the name of a baseline
            subject += " set"
        return self._score_sets(subject, factory, sets, repeats, setting)

    def score_random(
        self,
        like: SyntheticSet,
        factory: NetworkFactory,
        count: int,
        setting: TrainingSetting,
        subject: str = "random",
    ) -> Score:
        """`count` random selections of as many images as `like` stores, in the same form, one network each.

        With the subject `EQUAL_BYTES` as many as have its bytes, or all there are.

        Where `like` holds a teacher's labels, they get labels of the same teacher, in the same number and bytes.
        Learned labels cannot be had for them: they are trained with their classes.
        """
        pool = ClassPool(self.data.train, self.data.spec, self.device)
        asked = like.counts_of_equal_bytes if subject == EQUAL_BYTES else like.stored_counts
        counts = tuple(map(min, asked, pool.counts))
        picks = [random_selection(pool, counts, self.rng.fork("random selection", i)) for i in range(count)]
        if any(tensor.dtype == torch.uint8 for tensor in like.stored.values()):
            picks = [with_pixels(pick) for pick in picks]
        if setting.held and setting.labels == LEARNED:
            setting = replace(setting, labels=HARD, held=False)
        elif setting.held:
            picks = [self._labelled_like(like, pick, i) for i, pick in enumerate(picks)]
        if setting.training:
            setting = replace(setting, training=_for_images(setting.training, len(picks[0])))
        return self._score_sets(subject, factory, picks, 1, setting)

    def score_whole(self, factory: NetworkFactory, repeats: int, epochs: int) -> Score:
        """The whole training set."""
        whole = PoolImages(ClassPool(self.data.train, self.data.spec, self.device))
        recipe = self.protocol.recipe(self.data.spec, factory)
        decay = max(1, round(epochs * recipe.decay_after[0] / recipe.epochs)) if recipe.decay_after else 0
        recipe = replace(recipe, epochs=epochs, decay_after=(decay,))
        augment = self.protocol.augment(self.data.spec, factory)
        return self._score(
            "whole", factory, [whole], repeats, TrainingSetting(), [recipe], augment, whole.bytes
        )

    def labelling_obstacle(self, like: SyntheticSet) -> str | None:
        """Why random images cannot get labels of the teacher that labelled a set; None if they can, or need none."""
        if like.label_kind in (HARD, LEARNED):
            return None
        try:
            _teacher_settings(like.record.get("labels", {}).get("teacher", {}), self.teacher_weights)
            LabelSettings.from_json(like.record["labels"])
        except BadInput as error:
            return str(error)
        return None

    def labeller(self, like: SyntheticSet) -> Teacher:
        """The teacher whose labels a set holds, trained again or found in the cache.

        Raises:
            BadInput: the set does not say who it was, or it was a network that only its owner has.
        """
        said = like.record.get("labels", {}).get("teacher", {})
        key = repr(sorted(said.items()))
        if key not in self.held_teachers:
            settings = _teacher_settings(said, self.teacher_weights)
            teacher = get_teacher(self.data, settings, self.device)
            if teacher.weights != said.get("weights"):
                raise BadInput(
                    f"{self.teacher_weights} are not the weights of the teacher that labelled the set: their "
                    f"SHA-256 is {(teacher.weights or {}).get('sha256', '')[:12]}, not {said['weights']['sha256'][:12]}"
                )
            self.held_teachers[key] = teacher
        return self.held_teachers[key]

    def _labelled_like(self, like: SyntheticSet, pick: SyntheticSet, number: int) -> SyntheticSet:
        """Random images with as many labels as the set has, and trained for as many steps, also where it has tiles."""
        settings = LabelSettings.from_json(like.record["labels"])
        share = max(1, round(len(like) / len(pick)))  # tiles to an image
        if settings.views:
            settings = replace(settings, views=replace(settings.views, count=share * settings.views.count))
        seed = self.rng.fork("labels", number).entropy
        labelled = label_images(pick, self.labeller(like), replace(settings, seed=seed))
        training = dict(like.training)
        if "epochs" in training:
            training["epochs"] *= share
        return replace(labelled, training=training)

    def _score_sets(
        self,
        subject: str,
        factory: NetworkFactory,
        sets: Sequence[SyntheticSet],
        repeats: int,
        setting: TrainingSetting,
    ) -> Score:
        recipe, augment = self.training_of(factory, setting)
        learned = [one.training if setting.training else {} for one in sets]  # each set's own numbers
        recipes = [own_recipe(own)[0] if own else recipe for own in learned]
        images = [self._images(one, factory, setting, recipe) for one in sets]
        size = sets[0].bytes if setting.held else sets[0].hard().bytes
        if setting.labels == SOFT and not setting.held:
            size += images[0].bytes - sets[0].images.nbytes - sets[0].labels.nbytes  # type: ignore[union-attr]
        score = self._score(subject, factory, images, repeats, setting, recipes, augment, size)
        return replace(score, stored_images=sets[0].stored_images)

    def _images(
        self, synthetic: SyntheticSet, factory: NetworkFactory, setting: TrainingSetting, recipe: OwnRecipe
    ) -> TensorImages | ViewImages:
        # Convolutions round differently on other layouts; the view gives images of one channel the strides of NCHW too.
        images = synthetic.images.to(self.device).contiguous().flatten().view(synthetic.images.shape)
        if setting.held and isinstance(synthetic.targets, Views):
            # The common protocol has no temperature: its cross entropy gets the labels at 1.
            degrees = recipe.temperature if isinstance(recipe, Recipe) and recipe.loss == "kl" else 1.0
            return ViewImages(images, synthetic.targets.to(self.device), degrees)
        if setting.held and isinstance(synthetic.targets, Tensor):
            return TensorImages(images, synthetic.targets.to(self.device))
        plain = TensorImages(images, synthetic.labels.to(self.device))
        return self._teacher(factory).label(plain) if setting.labels == SOFT else plain

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
        sets: Sequence[Images],
        repeats: int,
        setting: TrainingSetting,
        recipes: Sequence[OwnRecipe],
        augment: Augment | None,
        size: int,
    ) -> Score:
        started = time.perf_counter()
        if not isinstance(recipes[0], Regression):
            factory = factory.computing_in(self.protocol.precision)
        jobs = [
            Job(images, recipe, self.rng.fork(subject, factory.canonical, i, k))
            for i, (images, recipe) in enumerate(zip(sets, recipes, strict=True))
            for k in range(repeats)
        ]
        epochs, found = recipes[0].epochs, []
        heard = partial(self._report_epoch, subject, factory, epochs)
        how: dict[str, Any] = {"augment": augment, "device": self.device, "on_epoch": heard}
        for network in train_all(factory, self.data.spec, jobs, **how):
            found.append(accuracy_on_test(network, factory, self.data, self.device))
            self._report(subject, factory, found[-1])
        rows = tuple(tuple(found[i : i + repeats]) for i in range(0, len(found), repeats))
        return Score(
            subject=subject,
            network=factory.name,
            images=len(sets[0]),
            bytes=size,
            accuracies=rows,
            epochs=epochs,
            seconds=time.perf_counter() - started,
            labels=setting.labels,
            augmentation=setting.augmentation,
            recipe=setting.recipe,
        )

    def _report_epoch(
        self, subject: str, factory: NetworkFactory, epochs: int, at_once: int, epoch: int
    ) -> None:
        if self.every_epoch:
            news = Training(subject, factory.name, epoch + 1, epochs, at_once, self.done, self.total)
            self.every_epoch(news)

    def _report(self, subject: str, factory: NetworkFactory, value: float) -> None:
        self.done += 1
        if self.callback:
            self.callback(Trained(subject, factory.name, value, self.done, self.total))


def _held_settings(synthetic: SyntheticSet) -> list[TrainingSetting]:
    """Labels that the set holds under the common protocol, and the set's own recipe, if it has them.

    Values that are learned for squared errors are no probabilities, which the common protocol's cross entropy needs.
    """
    kind, held = synthetic.label_kind, synthetic.targets is not None
    values = synthetic.training.get("loss") == "mse"
    common = [TrainingSetting(kind, held=True)] if held and not values else []
    own = [TrainingSetting(kind, held=held, training=synthetic.training)] if synthetic.training else []
    return common + own


def _for_images(training: dict[str, Any], count: int) -> dict[str, Any]:
    """A set's own recipe for another number of images: without its order, and for about as many steps."""
    order = training.get("order", [])
    if len(order) in (0, count):
        return training
    batch = training.get("batch_size", Recipe(1).batch_size)
    steps = training["epochs"] * math.ceil(len(order) / batch)
    others = {name: value for name, value in training.items() if name != "order"}
    return {**others, "epochs": max(1, round(steps / math.ceil(count / batch)))}


def _teacher_settings(said: dict[str, Any], weights: str | Path | None) -> TeacherSettings:
    """Which teacher a record names. What a file says decides neither which code runs nor which file is read."""
    network = said.get("network")
    if not isinstance(network, str):
        raise BadInput(
            "the set does not say whose labels it holds: leave out random images with --baselines none"
        )
    if ":" in network:
        raise BadInput(
            f"the set was labelled by a network of its maker's, {network}: leave random images out "
            "with --baselines none"
        )
    if "weights" in said:
        if weights is None:
            file = said["weights"].get("file")
            raise BadInput(
                f"the set was labelled by weights from a file, {file!r:.60}: give it as --teacher-weights"
            )
        return TeacherSettings(network, weights=weights, size=said.get("size"))
    return TeacherSettings(
        network, said.get("epochs"), said.get("stage"), said.get("seed", 0), size=said.get("size")
    )
