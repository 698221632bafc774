"""The settings of condensation into a generative model, and what follows from them. See `generative.py`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from condensery.augment import SiameseAugmentation, resolve_strategy
from condensery.data.bounded import require_memory
from condensery.errors import BadInput
from condensery.method import Task
from condensery.methods.adversary import GanSettings
from condensery.optimizers import SGD, Adam
from condensery.pretraining import GeneratorTraining, Inversion, random_codes
from condensery.rng import Rng
from condensery.synthetic import Generated, GeneratorNetwork, default_blocks, require_blocks
from condensery.synthetic.generator import stored_shapes
from condensery.synthetic.low_resolution import require_factor
from condensery.teaching import Guide, TeacherSettings, teacher_network
from condensery.teaching.classes import ClassMeans, class_means, standardised
from condensery.text import count
from condensery.training_recipe import Recipe

MANY_CLASSES = 200  # from which "auto" takes soft labels; the paper does for 1,000 and does not for 100
THRESHOLD = 0.7  # of truncated codes
_INVERSION_LR = {"code_lr": 0.03, "generator_lr": 0.003}  # of Adam


@dataclass(frozen=True)
class GenerativeSettings:
    """Fields, refusals, the pretraining and the first codes and weights.

    Abstract: `Generative` adds `preparation`, `start`, `terms` and `advance`, and overrides nothing.
    """

    name: ClassVar[str]
    scheduled: ClassVar[bool] = True
    later_fields: ClassVar[tuple[str, ...]] = ("factor", "teacher_weight")

    iterations: int = 20_000
    """updates of codebook and generator"""
    real_batch: int = 100
    """real images per class and step, divided among the synthetic images of the class"""
    associates: str = "clusters"
    """real images of a synthetic one: a cluster of its class ("clusters"; with learned codes), some "dealt" each step;
    or all for all: "class" compares the mean of a class's synthetic images with that of its real ones"""
    inversion_steps: int = 0
    """updates before these, which fit codes and generator to the real images nearest to the means of clusters"""
    factor: int = 1
    """tiles along each side of a generated image, enlarged before use: 2 makes four images to train on of each"""
    code_length: int = 64
    """numbers in a code, and in what a class becomes beside it"""
    generator_width: int = 64
    """channels of the generator's layers"""
    blocks: int = 0
    """doublings of the sides in the generator; 0 for 3 at 28 and 32 pixels, 4 at 64, and so on"""
    condition: str = "class"
    """what stands for a class: "class" (a teacher's mean features), "online" (the feature network's), or "one-hot" """
    projection: str = "balanced"
    """of what stands for a class, at first: "balanced" with the codes, each class as far from others, or "default",
    which "online" always has"""
    codes: str = "learned"
    """"learned" codebook, or codes drawn anew at each step: "gaussian", or "truncated" at 0.7"""
    codebook: str = "shared"
    """"shared" by all classes, or "own": a code for each image"""
    generator: str = "learned"
    """"learned" with the codes, or "fixed" after its pretraining"""
    gan_steps: int = 3000
    """updates of the conditional GAN that the generator is first trained as; kept in the cache"""
    teacher_epochs: int = 0
    """epochs of the teacher that class embeddings and soft labels are from; 0 as for labels: at least 1,000 steps"""
    optimizer: str = "sgd"
    """of codes and generator: "sgd" or "adam" """
    code_lr: float = 0.01
    """learning rate of the codes at first; it falls to 0 in a straight line by the last step"""
    generator_lr: float = 0.001
    """learning rate of the generator at first; it falls in the same way"""
    momentum: float = 0.9
    """of SGD for codes and generator"""
    network_lr: float = 0.01
    """learning rate of the feature network at first; it falls to 0 over its updates"""
    network_updates: int = 100
    """updates of the feature network on real images, after which it is drawn anew"""
    network_batch: int = 256
    """real images of all classes in an update of the feature network, and of the discriminator"""
    generator_updates: int = 1
    """updates of codes and generator between two of the feature network"""
    matched: str = "layers"
    """what is matched with the means of real images: features of all "layers", of the "last", or "logits" """
    judged: str = "features"
    """what the discriminator sees: "features" or "pixels" """
    discriminator_lr: float = 0.001
    """learning rate of Adam, which trains the discriminator and its classifier"""
    adversarial_weight: float = 1.0
    """of the loss against the discriminator"""
    class_weight: float = 1.0
    """of the auxiliary classifier's loss"""
    match_weight: float = 100.0
    """of matching"""
    intra_weight: float = 1.0
    """of the diversity within classes"""
    inter_weight: float = 1.0
    """of the margin between classes"""
    teacher_weight: float = 0.0
    """of a teacher's cross entropy on random crops of the images; 0 needs no teacher"""
    centre: str = "class"
    """what holds the diverse images of a class together: its "class" centre, or "none" """
    temperature: float = 0.5
    """of the diversity within classes"""
    margin: float = 1.0
    """between mean features of classes, in mean distances of real classes"""
    class_batch: int = 20
    """classes per step, drawn where there are more"""
    code_batch: int = 50
    """codes per class and step, drawn where there are more"""
    soft_labels: str = "auto"
    """of the auxiliary classifier, a teacher's means for each class: "yes", "no", or "auto" (from 200 classes)"""
    augmentation: str = "none"
    """Siamese augmentation of images whose features are compared: groups joined by "_", "none", or "auto" """

    def steps(self, ipc: int) -> int:
        return self.iterations

    def check(self, task: Task) -> list[str]:
        self._refuse(task)
        require_factor(self.factor, *task.spec.shape[1:])
        codes, pixels = self._code_count(task), 4 * sum(task.counts) * math.prod(task.spec.shape)
        blocks, sizes = self._blocks(task), {"length": self.code_length, "width": self.generator_width}
        shapes = stored_shapes(task.spec, codes=codes, blocks=blocks, **sizes)
        taken = 4 * sum(math.prod(shape) for shape in shapes.values())
        what = f"{count(codes, 'code')} of --code-length {self.code_length} and a generator of --generator-width "
        require_memory(taken, f"{what}{self.generator_width}", "ask for smaller ones, or for fewer images")
        each = f"each generated image is cut into {self.factor}x{self.factor} tiles, which are enlarged to images"
        return [
            *([each] if self.factor > 1 else []),
            f"{count(blocks, 'block')}: generator and codes take {taken:,} bytes; as pixels the images take {pixels:,}",
            f"classes by {self.condition}; soft labels {'yes' if self._soft(task) else 'no'}; Siamese augmentation "
            f"{self._augmentation(task).strategy or 'none'}",
            *self._guide(task).notes(),
        ]

    def _refuse(self, task: Task) -> None:
        """Raises BadInput where the method cannot work."""
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise BadInput(f"unknown {name} {getattr(self, name)!r}; choose one of {', '.join(choices)}")
        if not task.network.has_embedding(task.spec):
            raise BadInput(
                f"{self.name} compares embeddings and {task.network.name} has none: "
                "choose a network with embed(), such as convnet"
            )
        if not self.temperature:
            raise BadInput("--temperature must be more than 0: similarities are divided by it")
        if self.codes != "learned" and self.generator == "fixed":
            raise BadInput(
                f"nothing is learned with --codes {self.codes} --generator fixed: leave one of them out"
            )
        if self.inversion_steps and self.codes != "learned":
            raise BadInput(f"--codes {self.codes} are drawn anew: use --inversion-steps 0")
        if self._taught(task) and ":" in task.network.canonical:
            raise BadInput(
                f"{task.network.name} is a network of your own, which may change, and what it knows of the classes is "
                "kept by name: use --condition one-hot --soft-labels no"
            )
        require_blocks(self._blocks(task), *task.spec.shape[1:])

    def _embeddings(self, task: Task, known: ClassMeans | None) -> Tensor:
        """What stands for the classes at first, (classes, E)."""
        if self.condition == "one-hot" or known is None:
            return torch.eye(task.spec.num_classes, device=task.device)
        return standardised(known.features)

    def _known(self, task: Task) -> ClassMeans | None:
        """The teacher's means of the classes, where they are needed."""
        if not self._taught(task):
            return None
        return class_means(teacher_network(task.pool, self._teacher(task), task.device), task.pool)

    def _taught(self, task: Task) -> bool:
        return self.condition != "one-hot" or self._soft(task)

    def _teacher(self, task: Task) -> TeacherSettings:
        return TeacherSettings(task.network.name, self.teacher_epochs or None)

    def _training(self, task: Task, rng: Rng) -> GeneratorTraining:
        taught = (task.network.canonical, str(self.teacher_epochs), str(task.spec.flip))
        settings = GanSettings(
            code_length=self.code_length,
            width=self.generator_width,
            blocks=self._blocks(task),
            steps=self.gan_steps,
            class_weight=self.class_weight,
            classes=("one-hot",) if self.condition == "one-hot" else taught,
            balanced=self.projection == "balanced" and self.condition != "online",
        )
        return settings.training(
            task, lambda: self._embeddings(task, self._known(task)), rng.fork("pretraining")
        )

    def _inversion(
        self, task: Task, synthetic: Callable[[], Generated], targets: Callable[[], Tensor], rng: Rng
    ) -> GeneratorTraining:
        """The inversion of the pretrained generator, kept in the cache.

        Args:
            synthetic: gives the set as it begins.
            targets: gives a real image for each of its images.
        """

        def make() -> Inversion:
            return Inversion(synthetic(), targets, steps=self.inversion_steps, **_INVERSION_LR)

        gan, plays = self._training(task, rng), ("factor", "codebook", "generator", "condition")
        words = ("inversion", gan.folder.name, str(task.counts), *(str(getattr(self, f)) for f in plays))
        sizes = {"steps": self.inversion_steps, "batch": 1, "width": self.generator_width}
        return GeneratorTraining(task, make, words=words, rng=rng, cost=float(sum(task.counts)), **sizes)

    def _generated(self, task: Task, network: nn.Module, embeddings: nn.Embedding, rng: Rng) -> Generated:
        """The set as it begins: random codes and the pretrained generator."""
        codes = self._random_codes(self._code_count(task), rng).to(task.device)
        weights, size = cast(GeneratorNetwork, network).folded(), task.spec.shape[1:]
        learned = {"codes"} if self.codes == "learned" else set[str]()
        learned |= set(weights) if self.generator == "learned" else set()
        for name, tensor in {"codes": codes, **weights}.items():
            tensor.requires_grad_(name in learned)
        return Generated(codes, weights, embeddings, task.counts, size, frozenset(learned), self.factor)

    @property
    def _divides(self) -> bool:
        return self.associates == "clusters" and self.codes == "learned"

    def _guide(self, task: Task) -> Guide:
        return Guide(task.pool, task.device, self.teacher_weight, 0)

    def _code_count(self, task: Task) -> int:
        return sum(task.counts) if self.codebook == "own" else max(task.counts)

    def _synthetic_optimizer(self, synthetic: Generated) -> torch.optim.Optimizer:
        groups = []
        for name, leaf in synthetic.leaves().items():
            rate = self.code_lr if name == "codes" else self.generator_lr
            groups.append({"params": [leaf], "lr": rate, "initial_lr": rate})
        if self.optimizer == "adam":
            return Adam(groups)
        return SGD(groups, momentum=self.momentum)

    def _random_codes(self, count: int, rng: Rng) -> Tensor:
        return random_codes(count, self.code_length, rng, THRESHOLD if self.codes == "truncated" else 0.0)

    def _augmented(self, task: Task, images: Tensor, rng: Rng) -> Tensor:
        return self._augmentation(task)(images, rng.fork("augmentation"))

    def _augmentation(self, task: Task) -> SiameseAugmentation:
        return SiameseAugmentation(resolve_strategy(self.augmentation, task.spec.flip))

    def _blocks(self, task: Task) -> int:
        return self.blocks or default_blocks(task.spec.height, task.spec.width)

    def _soft(self, task: Task) -> bool:
        return self.soft_labels == "yes" or (
            self.soft_labels == "auto" and task.spec.num_classes >= MANY_CLASSES
        )

    @property
    def _recipe(self) -> Recipe:
        return Recipe(1, self.network_lr)

    @property
    def _weights(self) -> dict[str, float]:
        names = ("adversarial", "class", "match", "intra", "inter")
        weighted = {name: getattr(self, f"{name}_weight") for name in names}
        return weighted | {"teacher": 1.0 if self.teacher_weight else 0.0}  # whose loss is weighted already


_CHOICES = {
    "associates": ("clusters", "dealt", "class"),
    "condition": ("class", "online", "one-hot"),
    "projection": ("balanced", "default"),
    "codes": ("learned", "gaussian", "truncated"),
    "codebook": ("shared", "own"),
    "generator": ("learned", "fixed"),
    "optimizer": ("sgd", "adam"),
    "matched": ("layers", "last", "logits"),
    "judged": ("features", "pixels"),
    "centre": ("class", "none"),
    "soft_labels": ("auto", "yes", "no"),
}
