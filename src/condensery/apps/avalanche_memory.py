"""A condensed memory for Avalanche, a library of continual learning: `pip install 'condensery[avalanche]'`.

from avalanche.training.plugins import ReplayPlugin
from condensery.apps.avalanche_memory import CondensedBuffer

memory = CondensedBuffer(200, num_classes=10, mean=(0.1307,), std=(0.3081,), method="dm", steps=300)
plugins = [ReplayPlugin(mem_size=200, storage_policy=memory)]
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from condensery.coresets import SELECTORS
from condensery.errors import BadInput
from condensery.records import ImageData, ImageSpec, LabeledImages, SyntheticSet
from condensery.runner import condense
from condensery.selection import select

try:
    from avalanche.benchmarks.utils import AvalancheDataset, DataAttribute, TransformGroups  # type: ignore
    from avalanche.training.storage_policy import ExemplarsBuffer  # type: ignore
except ImportError as error:
    raise BadInput(f"Avalanche cannot be imported ({error}): pip install 'condensery[avalanche]'") from error


class CondensedBuffer(ExemplarsBuffer):
    """A storage policy that keeps what a method or selector makes of each experience's classes.

    Every class gets `max_size // num_classes` images. What the benchmark's evaluation transformation gives is taken as
    images normalised by `mean` and `std`; it is de-normalised, condensed, and kept without clipping. Replayed images
    are augmented by `augment`, which has to repeat the benchmark's training augmentation, and normalised.

    Args:
        max_size: images in the whole memory; `ReplayPlugin` needs the same `mem_size`.
        num_classes: of the whole stream.
        mean, std: per channel, by which the benchmark's transformations normalise; 0 and 1 where they do not.
        method: name of a method or selector; `seed`, `network` and `fields` are its settings.
        augment: transforms a single image (C, H, W), [0, 1]-scaled, for training; None leaves it alone.
        flip: whether mirrored images keep their class, which decides a method's own augmentation.

    Raises:
        BadInput: the memory is too small for one image of each class.
    """

    def __init__(
        self,
        max_size: int,
        *,
        num_classes: int,
        mean: Sequence[float],
        std: Sequence[float],
        method: str = "dm",
        seed: int = 0,
        network: str = "convnet",
        augment: Callable[[Tensor], Tensor] | None = None,
        flip: bool = True,
        **fields: Any,
    ) -> None:
        super().__init__(max_size)
        if max_size < num_classes:
            raise BadInput(
                f"a memory of {max_size} images has no place for {num_classes} classes: enlarge max_size"
            )
        self.num_classes, self.mean, self.std = num_classes, tuple(mean), tuple(std)
        self.method, self.seed, self.network, self.flip, self.fields = method, seed, network, flip, fields
        self.augment = augment
        self.sets: list[SyntheticSet] = []
        """Of each experience so far, by its own labels."""
        self._kept: list[
            tuple[Tensor, Tensor, int | None]
        ] = []  # images, classes and task of each experience

    def post_adapt(self, agent_state: Any, exp: Any) -> None:
        """Condense the classes of the experience that was learned, and add them."""
        images, classes = self._images(exp)
        make = select if self.method in SELECTORS else condense
        count = self.max_size // self.num_classes
        made = make(images, self.method, ipc=count, seed=self.seed, network=self.network, **self.fields)
        self.sets.append(made)
        task = int(exp.task_label) if hasattr(exp.dataset, "targets_task_labels") else None
        self._kept.append((made.spec.denormalise(made.images), classes[made.labels], task))
        self._rebuild()

    def resize(self, strategy: Any, new_size: int) -> None:
        """Keep the first images of each class."""
        count = new_size // self.num_classes
        if not count:
            raise BadInput(f"a memory of {new_size} images has no place for {self.num_classes} classes")
        self.max_size = new_size
        for i, (images, labels, task) in enumerate(self._kept):
            place = torch.stack(
                [(labels[:k] == c).sum() for k, c in enumerate(labels)]
            )  # earlier ones of its class
            self._kept[i] = images[place < count], labels[place < count], task
        self._rebuild()

    def _images(self, exp: Any) -> tuple[ImageData, Tensor]:
        """The images of an experience, and int64 (K,) the class that each of their labels means."""
        pixels, labels = [], []
        for image, label, *_ in exp.dataset.eval():
            mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
            pixels.append((image * std + mean).mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy())
            labels.append(int(label))
        classes, own = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise BadInput(
                f"an experience with the class {classes[0]} alone cannot be condensed: make it 2 or more"
            )
        part = LabeledImages(np.stack(pixels), own.astype(np.int64))
        channels = part.pixels.shape[3]
        shares = part.pixels.reshape(-1, channels) / 255
        spec = ImageSpec(
            channels=channels,
            height=part.pixels.shape[1],
            width=part.pixels.shape[2],
            class_names=tuple(map(str, classes)),
            mean=tuple(shares.mean(0).tolist()),
            std=tuple(shares.std(0).tolist()),
            flip=self.flip,
        )
        fingerprint = hashlib.sha256(part.pixels.tobytes() + part.labels.tobytes()).hexdigest()
        data = ImageData(spec, part, part, "an experience of Avalanche", fingerprint)
        return data, torch.from_numpy(classes.astype(np.int64))

    def _rebuild(self) -> None:
        images = torch.cat([images for images, _, _ in self._kept])
        targets = torch.cat([labels for _, labels, _ in self._kept]).tolist()
        tasks = [task for images, _, task in self._kept for _ in images]
        attributes = [DataAttribute(targets, "targets")]
        if None not in tasks:  # a benchmark whose items end in a task label
            attributes.append(DataAttribute(tasks, "targets_task_labels", use_in_getitem=True))
        groups = TransformGroups({"train": (self._augmented, None), "eval": (self._normalised, None)})
        data = _Items(images, targets)
        self.buffer = AvalancheDataset([data], data_attributes=attributes, transform_groups=groups)

    def _augmented(self, image: Tensor) -> Tensor:
        return self._normalised(self.augment(image) if self.augment else image)

    def _normalised(self, image: Tensor) -> Tensor:
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        return (image - mean) / std


class _Items(TensorDataset):
    """(image, class as a number), as Avalanche's own sets have it."""

    def __init__(self, images: Tensor, targets: list[int]) -> None:
        super().__init__(images)
        self.targets = targets

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return (*super().__getitem__(index), self.targets[index])
