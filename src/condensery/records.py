"""The value types that travel through condensery: frozen, validated, shapes documented."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from condensery.errors import BadInput


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
    """

    channels: int
    height: int
    width: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    name: str = "custom"
    flip: bool = True

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

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)"""
        return self.channels, self.height, self.width

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 pixels (N, C, H, W) in 0..255 -> float32 (N, C, H, W) in normalised space."""
        mean = torch.tensor(self.mean, device=pixels.device).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).view(1, -1, 1, 1)
        return (pixels.float() / 255 - mean) / std

    def denormalise(self, images: Tensor) -> Tensor:
        """float images (N, C, H, W) in normalised space -> [0, 1]-scaled, not clipped."""
        mean = torch.tensor(self.mean, device=images.device, dtype=images.dtype).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=images.device, dtype=images.dtype).view(1, -1, 1, 1)
        return images * std + mean

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "channels": self.channels,
            "height": self.height,
            "width": self.width,
            "class_names": list(self.class_names),
            "mean": list(self.mean),
            "std": list(self.std),
            "flip": self.flip,
        }

    @staticmethod
    def from_json(record: dict[str, Any]) -> ImageSpec:
        """Inverse of `to_json`. Raises KeyError, TypeError or ValueError if the record is not one of ours."""
        return ImageSpec(
            channels=int(record["channels"]),
            height=int(record["height"]),
            width=int(record["width"]),
            class_names=tuple(str(name) for name in record["class_names"]),
            mean=tuple(float(x) for x in record["mean"]),
            std=tuple(float(x) for x in record["std"]),
            name=str(record["name"]),
            flip=bool(record["flip"]),
        )


@dataclass(frozen=True)
class LabeledImages:
    """Real images as they were stored.

    Attributes:
        pixels: uint8 (N, H, W, C); usually a read-only memory map.
        labels: int64 (N,), each in 0..num_classes-1.
    """

    pixels: np.ndarray
    labels: np.ndarray

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

    Attributes:
        images: float32 (M, C, H, W) in normalised space, not clipped.
        labels: int64 (M,), class-major: 0, 0, ..., 1, 1, ...
        spec: names, mean and std; the same as the real set's.
        record: JSON-able facts: method and all its fields, ipc, seed, data fingerprint, versions, accuracies.
    """

    images: Tensor
    labels: Tensor
    spec: ImageSpec
    record: dict[str, Any] = field(default_factory=dict)

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
        if not bool(torch.isfinite(self.images).all()):
            raise BadInput("the images hold values that are not finite")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def bytes(self) -> int:
        """Bytes that images and labels take in memory."""
        return (
            self.images.numel() * self.images.element_size()
            + self.labels.numel() * self.labels.element_size()
        )

    def dataset(self) -> torch.utils.data.TensorDataset:
        """A `torch.utils.data.Dataset` of (image float32 (C, H, W) in normalised space, label int64 ())."""
        return torch.utils.data.TensorDataset(self.images, self.labels)
