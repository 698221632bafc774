"""The whole training set as images to train on."""

from __future__ import annotations

import torch
from torch import Tensor

from condensery.data import ClassPool
from condensery.records import ImageData


class WholeSet:
    """The whole training set, normalised batch by batch.

    Attributes:
        bytes: of its uint8 pixels and its labels.
    """

    def __init__(self, data: ImageData, device: torch.device) -> None:
        self.pool = ClassPool(data.train, data.spec, device)
        self.labels = torch.tensor(data.train.labels)
        self.bytes = data.train.pixels.nbytes + data.train.labels.nbytes

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        return self.pool.images_at(indices.numpy()), self.labels[indices].to(self.pool.device)
