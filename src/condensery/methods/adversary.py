"""What methods that learn a generator share: its pretraining, the images of a step, the discriminator."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery.matching.layers import layer_features
from condensery.method import Task
from condensery.pretraining import (
    ConditionalGan,
    FeatureDiscriminator,
    GeneratorTraining,
    discriminator_loss,
)
from condensery.rng import Rng
from condensery.synthetic import Generated, GeneratorNetwork, own_codes

GAN_BATCH = 128
BETAS = (0.5, 0.999)  # of Adam, for discriminators
HIDDEN = 256  # units of the feature discriminator's layers


@dataclass(frozen=True)
class GanSettings:
    """How the generator is pretrained.

    Attributes:
        code_length, width, blocks: of the generator.
        steps: of the training.
        class_weight: of the auxiliary classifier.
        classes: words that say what stands for the classes.
        balanced: whether the projection of classes starts as `balance` makes it.
    """

    code_length: int
    width: int
    blocks: int
    steps: int
    class_weight: float
    classes: tuple[str, ...]
    balanced: bool = True

    def training(self, task: Task, embeddings: Callable[[], Tensor], rng: Rng) -> GeneratorTraining:
        """The training as a conditional GAN, kept in the cache.

        Args:
            embeddings: gives what stands for the classes, (classes, E), once it is needed.
        """

        def make() -> ConditionalGan:
            classes, shape = embeddings(), task.spec.shape
            with rng.fork("generator").seeded():
                generator = GeneratorNetwork(
                    self.code_length, classes.shape[1], self.width, self.blocks, shape
                )
            if self.balanced:
                balance(generator.projection, classes, rng.fork("projection"))
            return ConditionalGan(
                generator.to(task.device),
                classes,
                shape,
                code_length=self.code_length,
                class_weight=self.class_weight,
                width=self.width,
                rng=rng,
            )

        words = ("conditional gan", json.dumps(asdict(self)))
        return GeneratorTraining(
            task, make, steps=self.steps, batch=GAN_BATCH, words=words, rng=rng, width=self.width
        )


@torch.no_grad()
def balance(projection: nn.Linear, classes: Tensor, rng: Rng) -> None:
    """Set `projection` so that it makes of each of `classes` (classes, E) a standard normal vector, as a code is.

    "A projection layer is applied to make it balance with z code" (Zhang et al., section 3.2). As it comes, a linear
    layer makes a third of that or less, and of classes that a teacher takes for each other nearly the same.
    """
    wanted = torch.randn(len(classes), projection.out_features, generator=rng.torch()).to(classes.device)
    mean = classes.mean(0)
    weight = (torch.linalg.pinv(classes - mean, rtol=1e-3) @ (wanted - wanted.mean(0))).T
    projection.weight.copy_(weight)
    projection.bias.copy_(wanted.mean(0) - weight @ mean)


def codes_for(synthetic: Generated, labels: Tensor, rng: Rng) -> Tensor:
    """A code for each of `labels` (N,), drawn from those that its class has: (N, code_length)."""
    numbers = torch.rand(len(labels), generator=rng.torch())
    counts = torch.tensor(synthetic.counts)
    chosen = (numbers * counts[labels.cpu()]).long() + (counts.cumsum(0) - counts)[labels.cpu()]
    return own_codes(synthetic.codes, synthetic.counts)[chosen.to(labels.device)]


@dataclass(frozen=True)
class Drawn:
    """The synthetic images of a step, class-major, equally many of each class.

    Attributes:
        classes: those that were drawn, ascending.
        numbers: int64 (classes, n), which of its class's images each is.
        labels: int64 (N,), on the device.
        places: int64 (N,), on the device, of the image's code among those of all images; fewer where a code makes the
            tiles of several images.
    """

    classes: list[int]
    numbers: Tensor
    labels: Tensor
    places: Tensor

    def by_class(self) -> list[Drawn]:
        """Those of each class alone."""
        count = len(self.classes)
        parts = self.numbers.split(1), self.labels.chunk(count), self.places.chunk(count)
        return [Drawn([c], *part) for c, *part in zip(self.classes, *parts, strict=True)]


def drawn_images(synthetic: Generated, class_batch: int, code_batch: int, rng: Rng) -> Drawn:
    """All images, or as many classes and images of each as are asked for."""
    counts = torch.tensor(synthetic.counts)
    classes = _some(counts.nonzero().flatten(), class_batch, rng.fork("classes"))
    per_class = min(code_batch, int(counts[classes].min()))
    numbers = torch.stack(
        [_some(torch.arange(int(counts[c])), per_class, rng.fork("codes", int(c))) for c in classes]
    )
    device, starts = synthetic.codes.device, (counts.cumsum(0) - counts)[classes]
    places = (starts[:, None] + numbers).flatten().to(device)
    each = synthetic.factor**2
    numbers = (numbers[:, :, None] * each + torch.arange(each)).flatten(1)
    return Drawn(classes.tolist(), numbers, classes.repeat_interleave(per_class * each).to(device), places)


def _some(values: Tensor, count: int, rng: Rng) -> Tensor:
    """`count` of `values` in their order, drawn without replacement; all where there are no more."""
    if len(values) <= count:
        return values
    return values[torch.randperm(len(values), generator=rng.torch())[:count].sort().values]


def new_discriminator(task: Task, network: nn.Module, class_length: int, rng: Rng) -> FeatureDiscriminator:
    """A discriminator of the features of `network`'s last layer, on the device."""
    with torch.no_grad():
        blank = torch.zeros(2, *task.spec.shape, device=task.device)
        length = layer_features(network.eval(), blank)[-1].flatten(1).shape[1]
    with rng.fork("discriminator").seeded():
        return FeatureDiscriminator(length, class_length, task.spec.num_classes, HIDDEN).to(task.device)


def train_discriminator(
    discriminator: nn.Module,
    optimizer: torch.optim.Optimizer,
    real: Tensor,
    made: Tensor,
    labels: Tensor,
    embeddings: Tensor,
) -> None:
    """One update on real and generated images, or features of them, of the same classes.

    The auxiliary classifier learns from the real ones.

    Args:
        real, made: (N, ...).
        labels, embeddings: their classes (N,), and what stands for them, (N, E).
    """
    genuine, said = discriminator(real, embeddings)
    loss = discriminator_loss(genuine, discriminator(made, embeddings)[0]) + F.cross_entropy(said, labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
