"""The value types that travel through condensery: frozen, validated, shapes documented."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from condensery.errors import BadInput
from condensery.views import Views
from condensery.whitening import Whitening

_TOLERANCE = 1e-3  # by which probabilities in single precision may miss a sum of 1


def all_finite(tensor: Tensor) -> bool:
    """Whether all values are finite: of others the least or the greatest is not. Makes no copy of the tensor."""
    return bool(torch.stack(torch.aminmax(tensor)).isfinite().all())


@dataclass(frozen=True)
class ImageSpec:
    """What is known of an image set besides its images.

    Attributes:
        channels: 1 (grey) or 3 (colour).
        height, width: in pixels.
        class_names: one name per class; label `c` means `class_names[c]`.
        mean, std: per channel, of pixels scaled to [0, 1]; images are normalised with them once.
        name: short name of a known set, otherwise "custom".
        flip: whether a mirrored image keeps its label (false for digits); decides the default augmentation.
        whitening: what normalised images are whitened with; None for not at all.
    """

    channels: int
    height: int
    width: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    name: str = "custom"
    flip: bool = True
    whitening: Whitening | None = None

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise BadInput(
                f"images must have 1 or 3 channels, not {self.channels}; convert them with --channels"
            )
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise BadInput(
                f"mean {self.mean} and std {self.std} must have one value for each of {self.channels} channels"
            )
        if not all(math.isfinite(x) for x in (*self.mean, *self.std)):
            raise BadInput(f"mean {self.mean} and std {self.std} must be finite numbers")
        if min(self.std) <= 0:
            raise BadInput(f"std must be positive, not {self.std}: are all images the same?")
        if self.num_classes < 2:
            raise BadInput(f"a classifier needs at least 2 classes, found {list(self.class_names)}")
        if self.whitening is not None and len(self.whitening.mean) != math.prod(self.shape):
            raise BadInput(f"images of {self.shape} have a whitening of {len(self.whitening.mean):,} numbers")

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)"""
        return self.channels, self.height, self.width

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 pixels (N, C, H, W) in 0..255 -> float32 (N, C, H, W) in normalised space."""
        return self.from_unit(pixels.float() / 255)

    def from_unit(self, images: Tensor) -> Tensor:
        """float images (N, C, H, W) scaled to [0, 1] -> normalised space: standardised, and whitened if so said."""
        mean = torch.tensor(self.mean, device=images.device, dtype=images.dtype).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=images.device, dtype=images.dtype).view(1, -1, 1, 1)
        standardised = (images - mean) / std
        return standardised if self.whitening is None else self.whitening(standardised)

    def denormalise(self, images: Tensor) -> Tensor:
        """float images (N, C, H, W) in normalised space -> [0, 1]-scaled, not clipped."""
        images = images if self.whitening is None else self.whitening.undone(images)
        mean = torch.tensor(self.mean, device=images.device, dtype=images.dtype).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=images.device, dtype=images.dtype).view(1, -1, 1, 1)
        return images * std + mean

    def normalises_as(self, other: ImageSpec) -> bool:
        """Whether both give the same numbers to the same pixels."""
        return (self.mean, self.std, self.whitening) == (other.mean, other.std, other.whitening)

    def normalised_as(self, other: ImageSpec) -> ImageSpec:
        """The same images with the mean, std and whitening of others."""
        return replace(self, mean=other.mean, std=other.std, whitening=other.whitening)

    def to_json(self) -> dict[str, Any]:
        """JSON-able facts; of a whitening its kind alone."""
        whitening = {} if self.whitening is None else {"whitening": self.whitening.kind}
        return {
            "name": self.name,
            "channels": self.channels,
            "height": self.height,
            "width": self.width,
            "class_names": list(self.class_names),
            "mean": list(self.mean),
            "std": list(self.std),
            "flip": self.flip,
            **whitening,
        }

    @staticmethod
    def from_json(record: dict[str, Any], whitening: dict[str, Tensor] | None = None) -> ImageSpec:
        """Inverse of `to_json`; a whitening is there if its tensors are given.

        Raises KeyError, TypeError, ValueError or BadInput if the record is not one of ours.
        """
        return ImageSpec(
            channels=int(record["channels"]),
            height=int(record["height"]),
            width=int(record["width"]),
            class_names=tuple(str(name) for name in record["class_names"]),
            mean=tuple(float(x) for x in record["mean"]),
            std=tuple(float(x) for x in record["std"]),
            name=str(record["name"]),
            flip=bool(record["flip"]),
            whitening=Whitening.from_tensors(str(record["whitening"]), whitening) if whitening else None,
        )


@dataclass(frozen=True)
class LabeledImages:
    """Real images as they were stored.

    Attributes:
        pixels: uint8 (N, H, W, C); usually a read-only memory map.
        labels: int64 (N,), each in 0..num_classes-1.
        originals: the files that resized images came from, a `condensery.data.originals.Originals`; None where images
            are as they lie in their source, or were made in memory.
    """

    pixels: np.ndarray
    labels: np.ndarray
    originals: Any = None

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 4:
            raise BadInput(f"pixels must be uint8 (N, H, W, C), not {self.pixels.dtype} {self.pixels.shape}")
        if self.labels.shape != (len(self.pixels),):
            raise BadInput(f"{len(self.pixels)} images but labels of shape {self.labels.shape}")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ImageData:
    """A labelled image set with its training and test part: what `condensery.data.load` returns.

    Attributes:
        spec: what both parts have in common.
        train, test: the two parts.
        source: what the user asked for, for messages and records.
        fingerprint: SHA-256 (hex) over pixels, labels and class names of both parts.
        options: JSON-able options of `condensery.data.load` that give this from the source, for records.
        found: what was found in the source, a `condensery.data.found.Found`; None for images made in memory.
    """

    spec: ImageSpec
    train: LabeledImages
    test: LabeledImages
    source: str
    fingerprint: str
    options: dict[str, Any] = field(default_factory=dict)
    found: Any = None


@dataclass(frozen=True)
class SyntheticSet:
    """A small training set, condensed or selected: the one result type of every method and selector.

    Three numbers are kept apart: `len(set)`, images that a network is trained on; `stored_images`; and `bytes`.

    Attributes:
        images: float32 (M, C, H, W) in normalised space, not clipped: what a network is trained on.
        labels: int64 (M,), the class of each image, class-major: 0, 0, ..., 1, 1, ...
        spec: names, mean and std; the same as the real set's.
        record: JSON-able facts: method and all its fields, ipc, seed, data fingerprint, versions, accuracies.
        targets: what a network is trained towards: None, the classes; float32 (M, classes), probabilities of all
            classes or, where `training` asks for squared errors, learned values; or views of the images with a label
            for each.
        stored: what makes the images again, in place of them, see `condensery.synthetic.stored`; empty where the images
            themselves are stored. The names of the tensors begin with that of their decoder: "tiles.images".
        training: how the set wants to be trained, see `condensery.training_recipe.own_recipe`; empty: as a protocol
            says.
    """

    images: Tensor
    labels: Tensor
    spec: ImageSpec
    record: dict[str, Any] = field(default_factory=dict)
    targets: Tensor | Views | None = None
    stored: dict[str, Tensor] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or tuple(self.images.shape[1:]) != self.spec.shape:
            raise BadInput(
                f"images have shape {tuple(self.images.shape)}, expected (M, {', '.join(map(str, self.spec.shape))})"
            )
        if self.images.dtype != torch.float32 or self.labels.dtype != torch.int64:
            raise BadInput(
                f"images must be float32 and labels int64, not {self.images.dtype} and {self.labels.dtype}"
            )
        if self.labels.shape != (len(self.images),):
            raise BadInput(f"{len(self.images)} images but labels of shape {tuple(self.labels.shape)}")
        if len(self.labels) == 0:
            raise BadInput("the set holds no image")
        if int(self.labels.min()) < 0 or int(self.labels.max()) >= self.spec.num_classes:
            raise BadInput(
                f"labels reach from {int(self.labels.min())} to {int(self.labels.max())}, "
                f"but there are {self.spec.num_classes} classes"
            )
        if not all_finite(self.images):
            raise BadInput("the images hold values that are not finite")
        if isinstance(self.targets, Views):
            self._check_views(self.targets)
        elif self.targets is not None:
            self._check_targets(self.targets)
        self._check_stored()

    def _check_views(self, views: Views) -> None:
        if views.boxes.shape[0] != len(self):
            raise BadInput(f"{len(self)} images but views of {views.boxes.shape[0]}")
        if views.num_classes != self.spec.num_classes:
            raise BadInput(
                f"labels of views have {views.num_classes} classes, but there are {self.spec.num_classes}"
            )

    def _check_targets(self, targets: Tensor) -> None:
        shape = (len(self), self.spec.num_classes)
        if tuple(targets.shape) != shape or targets.dtype != torch.float32:
            raise BadInput(f"targets must be float32 {shape}, not {targets.dtype} {tuple(targets.shape)}")
        if not bool(torch.isfinite(targets).all()):
            raise BadInput("the targets hold values that are not finite")
        if self.training.get("loss") == "mse":
            return
        sums = targets.double().sum(1)
        wrong = ((sums - 1).abs() > _TOLERANCE) | (targets < 0).any(1)
        if bool(wrong.any()):
            i = int(wrong.nonzero()[0])
            raise BadInput(
                f"the targets of image {i} are no probabilities: the least is {float(targets[i].min()):.3g} and they "
                f'sum to {float(sums[i]):.4g}; values that are learned need the loss "mse" in training'
            )

    def _check_stored(self) -> None:
        kinds = {name.partition(".")[0] for name in self.stored}
        if len(kinds) > 1:
            raise BadInput(f"the images can be stored in one way only, not as {' and '.join(sorted(kinds))}")
        if self.stored and self._stored_content is None:
            raise BadInput(
                f"what is stored as {kinds.pop()!r} has no images and no codes, only {', '.join(sorted(self.stored))}"
            )

    @property
    def _stored_content(self) -> Tensor | None:
        """One entry for each image that is stored."""
        found = [t for name, t in self.stored.items() if name.partition(".")[2] in ("images", "codes")]
        return found[0] if found and found[0].ndim else None

    def __len__(self) -> int:
        """Images that a network is trained on."""
        return len(self.labels)

    @property
    def stored_images(self) -> int:
        """Images, or codes of images, that the file holds."""
        content = self._stored_content
        return len(self) if content is None else len(content)

    @property
    def counts(self) -> tuple[int, ...]:
        """Images of each class that a network is trained on."""
        return tuple(torch.bincount(self.labels, minlength=self.spec.num_classes).tolist())

    @property
    def stored_counts(self) -> tuple[int, ...]:
        """Images of each class that the file holds; those that are generated where it holds a generator.

        A class has its share of what is stored, at least one.
        """
        if not self._generated:
            return self._shares(self.stored_images)
        factors = [int(tensor) for name, tensor in self.stored.items() if name.endswith(".factor")]
        return self._shares(len(self) // (factors[0] ** 2 if factors else 1))

    @property
    def counts_of_equal_bytes(self) -> tuple[int, ...]:
        """Images of each class, in the form of this set's, with the bytes of what the file stores in place of them.

        A class has its share, at least one. Only a generator's bytes are not those of `stored_counts`.
        """
        return (
            self._shares(round(self.image_bytes / self.images[0].nbytes))
            if self._generated
            else self.stored_counts
        )

    def _shares(self, total: int) -> tuple[int, ...]:
        return tuple(max(1, n * total // len(self)) for n in self.counts)

    @property
    def _generated(self) -> bool:
        return any(name.endswith(".codes") for name in self.stored)

    @property
    def label_kind(self) -> str:
        """What a network is trained towards: "hard" (classes), "soft" (probabilities), "learned" or "views (30)"."""
        if isinstance(self.targets, Views):
            return f"views ({self.targets.per_image})"
        if self.targets is None:
            return "hard"
        own = bool(self.training) and "labels" not in self.record  # no teacher stands behind them
        return "learned" if own or self.training.get("loss") == "mse" else "soft"

    @property
    def bytes(self) -> int:
        """Bytes of the tensors in a file of the set: images or what makes them, classes, targets and whitening."""
        targets = 0 if self.targets is None else self.targets.nbytes
        whitening = 0 if self.spec.whitening is None else self.spec.whitening.nbytes
        return self.image_bytes + self.labels.nbytes + targets + whitening

    @property
    def image_bytes(self) -> int:
        """Bytes of the images, or of what makes them."""
        return sum(t.nbytes for t in self.stored.values()) if self.stored else self.images.nbytes

    def hard(self) -> SyntheticSet:
        """The same images with their classes alone, and no wishes about training."""
        return replace(self, targets=None, training={})

    def dataset(self) -> torch.utils.data.Dataset[tuple[Tensor, ...]]:
        """A `torch.utils.data.Dataset` of (image float32 (C, H, W) in normalised space, what to train towards).

        That is the class, int64 (); or the image's target, float32 (classes,). A set with views has M * V items, (view,
        probabilities): item v * M + i is view v of image i.
        """
        if isinstance(self.targets, Views):
            return _ViewDataset(self.images, self.targets)
        return torch.utils.data.TensorDataset(
            self.images, self.labels if self.targets is None else self.targets
        )


class _ViewDataset(torch.utils.data.Dataset[tuple[Tensor, ...]]):
    """All views of all images, made when they are asked for."""

    def __init__(self, images: Tensor, views: Views) -> None:
        self.images, self.views = images, views

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, item: int) -> tuple[Tensor, ...]:
        return self.__getitems__([item])[0]

    def __getitems__(self, items: list[int]) -> list[tuple[Tensor, ...]]:
        """A batch at once, which torch's loaders ask for."""
        for item in items:
            if not 0 <= item < len(self):
                raise IndexError(f"there are {len(self)} views, not {item}")  # ends a plain for loop
        numbered = torch.tensor(items)
        numbers, indices = numbered // len(self.images), numbered % len(self.images)
        views = self.views.of(self.images, indices, numbers)
        return list(zip(views, self.views.probabilities(indices, numbers), strict=True))
