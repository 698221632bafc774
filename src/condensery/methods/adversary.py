"""What methods that learn a generator share: pretraining, codes of a step, real associates, discriminator."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery.augment import Parameters, SiameseAugmentation
from condensery.matching.layers import dealt, layer_features
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
    """

    code_length: int
    width: int
    blocks: int
    steps: int
    class_weight: float
    classes: tuple[str, ...]

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
        return GeneratorTraining(task, make, steps=self.steps, batch=GAN_BATCH, words=words, rng=rng)


def codes_for(synthetic: Generated, labels: Tensor, rng: Rng) -> Tensor:
    """A code for each of `labels` (N,), drawn from those that its class has: (N, code_length)."""
    numbers = torch.rand(len(labels), generator=rng.torch())
    counts = torch.tensor(synthetic.counts)
    chosen = (numbers * counts[labels.cpu()]).long() + (counts.cumsum(0) - counts)[labels.cpu()]
    return own_codes(synthetic.codes, synthetic.counts)[chosen.to(labels.device)]


def drawn_images(synthetic: Generated, class_batch: int, code_batch: int, rng: Rng) -> tuple[Tensor, Tensor]:
    """Codes of a step, (N, code_length), and their classes (N,), class-major: all, or as many as are asked for."""
    counts = torch.tensor(synthetic.counts)
    have = counts.nonzero().flatten()
    classes = _some(have, class_batch, rng.fork("classes"))
    per_class = min(code_batch, int(counts[classes].min()))
    starts = (counts.cumsum(0) - counts)[classes].tolist()
    chosen = [
        start + _some(torch.arange(int(counts[c])), per_class, rng.fork("codes", int(c)))
        for start, c in zip(starts, classes, strict=True)
    ]
    device = synthetic.codes.device
    codes = own_codes(synthetic.codes, synthetic.counts)[torch.cat(chosen).to(device)]
    return codes, classes.repeat_interleave(per_class).to(device)


def _some(values: Tensor, count: int, rng: Rng) -> Tensor:
    """`count` of `values` in their order, drawn without replacement; all where there are no more."""
    if len(values) <= count:
        return values
    return values[torch.randperm(len(values), generator=rng.torch())[:count].sort().values]


@dataclass(frozen=True)
class Eye:
    """A network that looks at real and synthetic images with one transformation.

    Attributes:
        task: for its images.
        network: in evaluation mode.
        augmentation, parameters: the transformation.
    """

    task: Task
    network: nn.Module
    augmentation: SiameseAugmentation
    parameters: Parameters

    def layers(self, images: Tensor) -> list[Tensor]:
        """Features (N, D) of each layer."""
        moved = self.augmentation.apply(images, self.parameters)
        return [layer.flatten(1) for layer in layer_features(self.network, moved, self.task.chunk)]

    @torch.no_grad()
    def associates(self, classes: Sequence[int], real: int, groups: int, rng: Rng) -> list[Tensor]:
        """Mean features of the real images of each synthetic one: for each layer (len(classes) * groups, D).

        Up to `real` images of each class are drawn and dealt to `groups`.
        """
        found = []
        for c in classes:
            images = self.task.pool.sample(c, real, rng.fork("real batch", c))
            shares = dealt(len(images), groups).to(images.device)
            found.append([shares @ layer for layer in self.layers(self.task.forward_only(images))])
        return [torch.cat(layer) for layer in zip(*found, strict=True)]


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
