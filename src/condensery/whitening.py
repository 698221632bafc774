"""ZCA whitening of normalised images: a linear map fitted on training images, which keeps them looking like images.

Two variants, under the names of `WHITENINGS`. Both take the mean m of the flattened images and the matrix
W = U diag(s)^(-1/2) U^T from their covariance C = U diag(.) U^T, and give (x - m) W:

* "zca": of images standardised per channel, s = eigenvalues of C + 0.1 trace(C) / d. Where there are fewer images than
  the d numbers of one, the eigenvalues beyond as many count as 1. Source: `get_whitening_transform` of FRePo (Zhou et
  al., NeurIPS 2022; yongchaoz/FRePo d18c005, lib/dataset/ops.py), after KIP (Nguyen et al., 2021). KIP and RFAD take no
  mean away, which is small after standardising.
* "zca-kornia": of pixels in [0, 1] as they are, s = eigenvalues of C + 0.1, C divided by N - 1. Source: MTT
  (Cazenavette et al., CVPR 2022), which takes `kornia.enhance.ZCAWhitening(eps=0.1)`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from condensery.errors import BadInput

WHITENINGS = ("zca", "zca-kornia")
REGULARISATION = 0.1  # of both variants
LARGEST = 8192
"""Numbers in an image beyond which the matrix is refused: 256 MiB, and minutes to make."""


@dataclass(frozen=True, eq=False)
class Whitening:
    """A whitening that was fitted. Two are equal if they give the same bits.

    Attributes:
        kind: a name in `WHITENINGS`.
        mean: float32 (d,), d numbers being an image (channels, rows, columns).
        matrix: float32 (d, d), symmetric.
    """

    kind: str
    mean: Tensor
    matrix: Tensor
    _there: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in WHITENINGS:
            raise BadInput(f"unknown whitening {self.kind!r:.40}; choose one of {', '.join(WHITENINGS)}")
        d = self.mean.numel()
        if tuple(self.mean.shape) != (d,) or tuple(self.matrix.shape) != (d, d):
            raise BadInput(
                f"whitening of {tuple(self.mean.shape)} numbers has a matrix of {tuple(self.matrix.shape)}"
            )
        if {self.mean.dtype, self.matrix.dtype} != {torch.float32}:
            raise BadInput("mean and matrix of a whitening must be float32")
        if not bool(torch.isfinite(self.mean).all() and torch.isfinite(self.matrix).all()):
            raise BadInput("the whitening holds values that are not finite")

    def __call__(self, images: Tensor) -> Tensor:
        """Normalised images (N, C, H, W) -> whitened ones of the same shape."""
        mean, matrix = self._on(images)
        return ((self._flat(images) - mean) @ matrix).reshape(images.shape)

    def undone(self, images: Tensor) -> Tensor:
        """The inverse: whitened images (N, C, H, W) -> normalised ones."""
        mean, _ = self._on(images)
        return (self._flat(images) @ self._inverse.to(images) + mean).reshape(images.shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Whitening) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __str__(self) -> str:
        return f"{self.kind} {self.digest[:8]}"

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over the kind and all bits."""
        hashed = hashlib.sha256(self.kind.encode())
        for tensor in (self.mean, self.matrix):
            hashed.update(tensor.contiguous().numpy().tobytes())
        return hashed.hexdigest()

    @cached_property
    def _inverse(self) -> Tensor:
        try:
            return torch.linalg.inv(self.matrix.double()).float()
        except RuntimeError as error:
            raise BadInput("the whitening cannot be undone: its matrix is singular") from error

    def _on(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and matrix where the images are, moved there once."""
        place = f"{images.device} {images.dtype}"
        if place not in self._there:
            self._there[place] = self.mean.to(images), self.matrix.to(images)
        return self._there[place]

    def _flat(self, images: Tensor) -> Tensor:
        flat = images.reshape(len(images), -1)
        if flat.shape[1] != len(self.mean):
            raise BadInput(
                f"the whitening is of images of {len(self.mean):,} numbers, not of {tuple(images.shape[1:])}: "
                "leave out --whitening for what sees parts of images"
            )
        return flat

    @property
    def nbytes(self) -> int:
        """Of `tensors`."""
        d = len(self.mean)
        return 4 * (d + d * (d + 1) // 2)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What a file holds: the mean, and the upper triangle of the matrix, row by row, float32 (d (d + 1) / 2,)."""
        rows, columns = _upper(len(self.mean))
        return {"mean": self.mean, "upper": self.matrix[rows, columns]}

    @staticmethod
    def from_tensors(kind: str, tensors: dict[str, Tensor]) -> Whitening:
        """The inverse of `tensors`. Raises KeyError or BadInput for what is none."""
        mean, upper = tensors["mean"], tensors["upper"]
        d = mean.numel()
        if d > LARGEST or upper.shape != (d * (d + 1) // 2,):
            raise BadInput(f"whitening of {d:,} numbers has a triangle of {tuple(upper.shape)}")
        rows, columns = _upper(d)
        matrix = torch.zeros(d, d, dtype=upper.dtype)
        matrix[rows, columns] = upper
        matrix[columns, rows] = upper
        return Whitening(kind, mean.clone(), matrix)


def require_whitening(kind: str, numbers: int) -> None:
    """Raises BadInput unless images of so many numbers can be whitened in this way."""
    if kind not in WHITENINGS:
        raise BadInput(f"unknown whitening {kind!r:.40}; choose none or one of {', '.join(WHITENINGS)}")
    if numbers > LARGEST:
        raise BadInput(
            f"--whitening {kind} of images of {numbers:,} numbers needs a matrix of {numbers:,} x {numbers:,}; up to "
            f"{LARGEST:,} can be done: make them smaller with --size"
        )


def fit(kind: str, batches: Iterable[Tensor], numbers: int) -> Whitening:
    """The whitening of some images.

    Args:
        kind: a name in `WHITENINGS`.
        batches: float32 (n, C, H, W), normalised as the kind wants it: a first pass for the mean, and a second one.
        numbers: in an image, d.

    Raises:
        BadInput: an unknown kind, or images that are too large.
    """
    require_whitening(kind, numbers)
    total, count = torch.zeros(numbers, dtype=torch.float64), 0
    for batch in batches:
        total += batch.reshape(len(batch), -1).double().sum(0)
        count += len(batch)
    mean = (total / count).float()
    covariance = torch.zeros(numbers, numbers, dtype=torch.float64)
    for batch in batches:
        centred = batch.reshape(len(batch), -1) - mean
        covariance += centred.T @ centred
    covariance /= count if kind == "zca" else max(1, count - 1)
    scale = covariance.trace() / numbers if kind == "zca" else 1.0
    values, vectors = torch.linalg.eigh(covariance)  # ascending
    values = values.clamp(min=0) + REGULARISATION * scale
    if kind == "zca" and count < numbers:
        values[: numbers - count] = 1.0
    matrix = (vectors * values.rsqrt()) @ vectors.T
    return Whitening(kind, mean, ((matrix + matrix.T) / 2).float())


def _upper(d: int) -> tuple[Tensor, Tensor]:
    rows, columns = torch.triu_indices(d, d)
    return rows, columns
