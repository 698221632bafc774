"""A teacher's labels for the images of a set: one an image, or one for each of several views of it.

Source: labels of stored views, Shen & Xing, FKD (ECCV 2022, arXiv 2112.01528); one label an image, Qin et al. (NeurIPS
2024, arXiv 2406.10485); how a set with labels of views is trained on, Sun et al., RDED (CVPR 2024, arXiv 2312.03526).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from condensery.augment import SiameseAugmentation, resolve_strategy
from condensery.errors import BadInput
from condensery.records import SyntheticSet
from condensery.rng import Rng
from condensery.teaching.sampling import ViewSampling
from condensery.teaching.teacher import Teacher
from condensery.training_recipe import Recipe
from condensery.views import Views, quantise

ALL_CLASSES = 20
"""Up to so many classes, labels of views hold all of them; beyond, the ten largest."""
_LARGEST = 10
_MOVED_GREY = "scale_rotate"
"""How views of grey images are moved while networks train on them, unless told otherwise."""
_WARM, _COOL = 4.0, 1.0  # temperatures of labels of views and of images
_SEEN, _FEWEST, _MOST = 100_000, 300, 1000  # images that a network sees in all; epochs
_BATCHES = {40: 2, 100: 5, 400: 10}
"""Up to so many images, batches of so many: more steps in as many epochs."""
_LARGE_BATCH = 50


@dataclass(frozen=True)
class LabelSettings:
    """How the images of a set are labelled.

    Attributes:
        views: how views are drawn; None for one label an image.
        temperature: labels are softmax(logits / temperature); None takes 4 for views, which their own recipe trains
            at too, and 1 for one label an image.
        bits: 8 or 16, for each class of a view's label.
        largest: classes kept of a view's label; None keeps all up to 20 classes, and beyond that the 10 largest.
        epochs: of the recipe by which a set with views wants to be trained; None as `view_recipe` has it.
        augmentation: of that recipe, Siamese groups or "none": how a view is moved each time that it is shown, while
            its label stays. None scales and turns views of grey images and leaves those of colour as they are
            (benchmarks/README.md).
        seed: decides the views.

    Raises:
        BadInput: a value out of range.
    """

    views: ViewSampling | None = field(default_factory=ViewSampling)
    temperature: float | None = None
    bits: int = 8
    largest: int | None = None
    epochs: int | None = None
    augmentation: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.temperature is not None and not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise BadInput(f"--temperature must be a positive number, not {self.temperature}")
        if self.bits not in (8, 16):
            raise BadInput(f"--label-bits must be 8 or 16, not {self.bits}")
        if self.largest is not None and self.largest < 1:
            raise BadInput(f"--largest must be at least 1 class, not {self.largest}")
        if self.epochs is not None and self.epochs < 1:
            raise BadInput(f"--epochs must be at least 1, not {self.epochs}")
        if self.augmentation is not None:  # refuses groups that there are not
            SiameseAugmentation(resolve_strategy(self.augmentation, flip=True))

    @property
    def degrees(self) -> float:
        """The temperature that is used."""
        return self.temperature or (_COOL if self.views is None else _WARM)

    def to_json(self) -> dict[str, Any]:
        views = None if self.views is None else self.views.to_json()
        named = {"views": views, "temperature": self.degrees, "bits": self.bits, "seed": self.seed}
        return named if self.largest is None else {**named, "largest": self.largest}

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> LabelSettings:
        """Inverse of `to_json`; raises BadInput if the record is not one of ours."""
        try:
            views = None if record["views"] is None else ViewSampling(**record["views"])
            names = ("temperature", "bits", "seed", "largest")
            return LabelSettings(views, **{name: record[name] for name in names if name in record})
        except (KeyError, TypeError) as error:
            raise BadInput(f"the record of the set's labels is damaged: {error!r:.60}") from error


def label_images(synthetic: SyntheticSet, teacher: Teacher, settings: LabelSettings) -> SyntheticSet:
    """The set with the teacher's labels in place of any that it had; images and classes stay as they are.

    A set with labels of views wants to be trained by the recipe of `view_recipe`.

    Args:
        synthetic: any set.
        teacher: who labels, on the device where it is.

    Raises:
        BadInput: more classes are to be kept than there are.
    """
    started = time.perf_counter()
    rng = Rng(settings.seed).fork("labels")
    device = next(iter(teacher.network.parameters())).device
    images = synthetic.images.detach().to(device)
    said = {**settings.to_json(), "teacher": teacher.to_json()}
    if settings.views is None:
        targets = replace(teacher, temperature=settings.degrees).probabilities(images).cpu()
        training: dict[str, Any] = {}
    else:
        targets = _labelled_views(images, synthetic, teacher, settings, rng)
        recipe = view_recipe(len(synthetic), settings.degrees)
        training = replace(recipe, epochs=settings.epochs or recipe.epochs).to_json()
        by_default = _MOVED_GREY if synthetic.spec.channels == 1 else "none"
        moved = by_default if settings.augmentation is None else settings.augmentation or "none"
        if moved != "none":
            training["augmentation"] = moved
    said["seconds"] = round(time.perf_counter() - started, 1)
    record = {**synthetic.record, "labels": said}
    return replace(synthetic, targets=targets, training=training, record=record)


def _labelled_views(
    images: torch.Tensor, synthetic: SyntheticSet, teacher: Teacher, settings: LabelSettings, rng: Rng
) -> Views:
    assert settings.views is not None
    spec, count = synthetic.spec, settings.views.count
    drawn = settings.views.draw(len(images), spec.flip, rng)
    blank = torch.zeros(len(images), count, spec.num_classes, dtype=torch.uint8)
    views = Views(**drawn, levels=blank, step=1.0, temperature=settings.degrees, num_classes=spec.num_classes)
    on_device, every = views.to(images.device), torch.arange(len(images), device=images.device)
    logits = torch.stack(
        [teacher.logits(on_device.of(images, every, v)) for v in range(count)], 1
    )  # (M, V, classes)
    largest = settings.largest
    if largest is None and spec.num_classes > ALL_CLASSES:
        largest = _LARGEST
    levels, step, classes = quantise(logits.cpu(), settings.bits, largest)
    return replace(views, levels=levels, step=step, classes=classes)


def view_recipe(images: int, temperature: float) -> Recipe:
    """How a set with labels of views is trained on, unless its maker says otherwise.

    AdamW at 0.001, down to 0 in half a cosine wave, and the Kullback-Leibler divergence at the labels' temperature, as
    RDED's validation/main.py; weight decay 0.1; batches of 2 for at most 40 images, of 5 for at most 100, of 10 for at
    most 400, or else 50; as many epochs as show 100,000 images, between 300 and 1,000. Temperature, weight decay and
    batches are ours, from held-out training images (benchmarks/README.md): more steps, and a temperature that few
    steps can follow.

    Args:
        images: in the set.
    """
    return Recipe(
        epochs=min(_MOST, max(_FEWEST, math.ceil(_SEEN / images))),
        lr=1e-3,
        weight_decay=0.1,
        batch_size=next((size for most, size in _BATCHES.items() if images <= most), _LARGE_BATCH),
        loss="kl",
        temperature=temperature,
        optimizer="adamw",
        schedule="cosine",
    )
