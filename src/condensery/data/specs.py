"""The known image sets: how they look, how published runs normalised them, where the Hub has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MEAN_TOLERANCE = 1e-3
"""How far (on the [0, 1] scale) a measured channel mean may lie from the known one."""


@dataclass(frozen=True)
class KnownSet:
    """A set with published results.

    Attributes:
        name: the short name a user types.
        hub_id: its id on the Hugging Face Hub; empty for a bundled set.
        channels, height, width: of every image, in pixels.
        num_classes, train_count: by which (with shape and mean) a set read from files is recognised.
        mean, std: per channel, [0, 1] scale: the constants behind the published numbers, used to normalise.
        flip: whether a mirrored image keeps its label.
        config: the Hub configuration, None where there is only one.
        label_column: the label column on the Hub, None where there is only one.
        folders: names that its downloads unpack to, besides `name`.
        measured_mean: the training images' own mean where `mean` is another set's, None where they agree.
    """

    name: str
    hub_id: str
    channels: int
    height: int
    width: int
    num_classes: int
    train_count: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool
    config: str | None = None
    label_column: str | None = None
    measured_mean: tuple[float, ...] | None = None
    folders: tuple[str, ...] = ()

    @property
    def true_mean(self) -> tuple[float, ...]:
        """The per-channel mean that the training images really have."""
        return self.measured_mean or self.mean


KNOWN_SETS: dict[str, KnownSet] = {
    known.name: known
    for known in (
        # Bundled with scikit-learn; the constants are measured on the default split.
        KnownSet("digits", "", 1, 8, 8, 10, 1438, (0.3064,), (0.3766,), flip=False),
        KnownSet(
            "mnist",
            "ylecun/mnist",
            *(1, 28, 28, 10, 60_000),
            mean=(0.1307,),
            std=(0.3081,),
            flip=False,
            folders=("MNIST",),
        ),
        KnownSet(
            "fashion-mnist",
            "zalando-datasets/fashion_mnist",
            *(1, 28, 28, 10, 60_000),
            mean=(0.2861,),
            std=(0.3530,),
            flip=True,
            folders=("FashionMNIST",),
        ),
        KnownSet(
            "svhn",
            "ufldl-stanford/svhn",
            *(3, 32, 32, 10, 73_257),
            mean=(0.4377, 0.4438, 0.4728),
            std=(0.1980, 0.2010, 0.1970),
            flip=False,
            config="cropped_digits",
            folders=("SVHN",),
        ),
        KnownSet(
            "cifar10",
            "uoft-cs/cifar10",
            *(3, 32, 32, 10, 50_000),
            mean=(0.4914, 0.4822, 0.4465),
            std=(0.2023, 0.1994, 0.2010),
            flip=True,
            folders=("cifar-10-batches-py", "cifar-10-batches-bin"),
        ),
        KnownSet(
            "cifar100",
            "uoft-cs/cifar100",
            *(3, 32, 32, 100, 50_000),
            mean=(0.5071, 0.4866, 0.4409),
            std=(0.2673, 0.2564, 0.2762),
            flip=True,
            label_column="fine_label",
            folders=("cifar-100-python", "cifar-100-binary"),
        ),
        KnownSet(
            "tiny-imagenet",
            "zh-plus/tiny-imagenet",
            *(3, 64, 64, 200, 100_000),
            mean=(0.485, 0.456, 0.406),  # ImageNet's own, as in the published runs
            std=(0.229, 0.224, 0.225),
            flip=True,
            measured_mean=(0.4802, 0.4481, 0.3975),
            folders=("tiny-imagenet-200",),
        ),
    )
}


def recognise(train_pixels: tuple[int, ...], num_classes: int, mean: Sequence[float]) -> KnownSet | None:
    """The known set that a training part belongs to, or None.

    Args:
        train_pixels: shape (N, H, W, C) of the training pixels.
        num_classes: how many classes they have.
        mean: measured per-channel mean on the [0, 1] scale.

    Returns:
        The set with the same shape, class count and training count, and a mean that agrees to
        `MEAN_TOLERANCE` in every channel. Names of files and folders play no part.
    """
    for known in KNOWN_SETS.values():
        shape = (known.train_count, known.height, known.width, known.channels)
        if shape != tuple(train_pixels) or known.num_classes != num_classes:
            continue
        if all(abs(a - b) <= MEAN_TOLERANCE for a, b in zip(mean, known.true_mean, strict=True)):
            return known
    return None
