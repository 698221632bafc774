"""Condensation into a generative model: a codebook and a class-conditioned generator in place of images.

David Junhao Zhang, Heng Wang, Chuhui Xue, Rui Yan, Wenqing Zhang, Song Bai and Mike Zheng Shou, "Dataset Condensation
via Generative Model", arXiv 2309.07698; the authors have published no code. Equations and sections are that paper's.
What it leaves open is a field here, or said in docs/methods/generative.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery.augment import SiameseAugmentation, resolve_strategy
from condensery.data.bounded import require_memory
from condensery.errors import BadInput
from condensery.matching.layers import layer_features, layer_gap, pooled
from condensery.matching.relations import inter_class, intra_class, mean_distance
from condensery.method import Preparation, State, Task
from condensery.methods.adversary import (
    BETAS,
    GanSettings,
    codes_for,
    drawn_images,
    new_discriminator,
    train_discriminator,
)
from condensery.methods.associates import Eye, divided
from condensery.pretraining import GeneratorTraining, generator_loss, joined, random_codes
from condensery.rng import Rng
from condensery.synthetic import Generated, GeneratorNetwork, default_blocks, require_blocks
from condensery.synthetic.generator import stored_shapes
from condensery.teaching import TeacherSettings, teacher_network, teacher_preparation
from condensery.teaching.classes import ClassMeans, class_means, standardised
from condensery.training import Recipe, train_step

MANY_CLASSES = 200  # from which "auto" takes soft labels; the paper does for 1,000 and does not for 100
THRESHOLD = 0.7  # of truncated codes


@dataclass(frozen=True)
class Generative:
    """Learn a codebook and a generator: images with the features of real ones, diverse, apart from other classes."""

    name: ClassVar[str] = "generative"
    summary: ClassVar[str] = (
        "condensation into a generative model (Zhang et al., 2023): codebook and generator"
    )
    scheduled: ClassVar[bool] = True

    iterations: int = 20_000
    """updates of codebook and generator"""
    real_batch: int = 100
    """real images per class and step, divided among the synthetic images of the class"""
    associates: str = "clusters"
    """real images of a synthetic one: a cluster of its class ("clusters"; with learned codes), or "dealt" each step"""
    code_length: int = 64
    """numbers in a code, and in what a class becomes beside it"""
    generator_width: int = 64
    """channels of the generator's layers"""
    blocks: int = 0
    """doublings of the sides in the generator; 0 for 3 at 28 and 32 pixels, 4 at 64, and so on"""
    condition: str = "class"
    """what stands for a class: "class" (a teacher's mean features), "online" (the feature network's), or "one-hot" """
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
    judged: str = "features"
    """what the discriminator sees: "features" or "pixels" """
    discriminator_lr: float = 0.001
    """learning rate of Adam, which trains the discriminator and its classifier"""
    adversarial_weight: float = 1.0
    """of the loss against the discriminator"""
    class_weight: float = 1.0
    """of the auxiliary classifier's loss"""
    match_weight: float = 100.0
    """of layer-wise feature matching"""
    intra_weight: float = 1.0
    """of the diversity within classes"""
    inter_weight: float = 1.0
    """of the margin between classes"""
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
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise BadInput(f"unknown {name} {getattr(self, name)!r}; choose one of {', '.join(choices)}")
        if not task.network.has_embedding(task.spec):
            raise BadInput(
                f"{self.name} compares embeddings and {task.network.name} has none: "
                "choose a network with embed(), such as convnet"
            )
        if self.codes != "learned" and self.generator == "fixed":
            raise BadInput(
                f"nothing is learned with --codes {self.codes} --generator fixed: leave one of them out"
            )
        if self._taught(task) and ":" in task.network.canonical:
            raise BadInput(
                f"{task.network.name} is a network of your own, which may change, and what it knows of the classes is "
                "kept by name: use --condition one-hot --soft-labels no"
            )
        blocks, (height, width) = self._blocks(task), task.spec.shape[1:]
        require_blocks(blocks, height, width)
        codes = self._code_count(task)
        require_memory(4 * codes * self.code_length, f"{codes} codes of --code-length {self.code_length}")
        shapes = stored_shapes(
            task.spec, codes=codes, length=self.code_length, width=self.generator_width, blocks=blocks
        )
        taken = 4 * sum(math.prod(shape) for shape in shapes.values())
        pixels = 4 * sum(task.counts) * task.spec.channels * height * width
        return [
            f"{blocks} blocks: generator and codes take {taken:,} bytes; as pixels the images "
            f"take {pixels:,}",
            f"classes by {self.condition}; soft labels {'yes' if self._soft(task) else 'no'}; Siamese augmentation "
            f"{self._augmentation(task).strategy or 'none'}",
        ]

    def preparation(self, task: Task, rng: Rng) -> Preparation | None:
        if not self.gan_steps:
            return None
        teacher = (
            teacher_preparation(task.pool, self._teacher(task), task.device) if self._taught(task) else None
        )
        without = replace(self, condition="one-hot", soft_labels="no", gan_steps=0)
        return joined(teacher, self._training(task, rng).preparation(without))

    def start(self, task: Task, rng: Rng) -> State:
        known = self._known(task)
        gan = self._training(task, rng).trained()
        embeddings = nn.Embedding.from_pretrained(self._embeddings(task, known), freeze=True)
        synthetic = self._generated(task, gan.networks["average"], embeddings, rng.fork("codebook"))
        networks = {"discriminator": gan.networks["discriminator"], "embeddings": embeddings}
        memory = {"soft labels": known.probabilities} if known and self._soft(task) else {}
        if self._divides:
            teacher = teacher_network(task.pool, self._teacher(task), task.device) if known else None
            memory["clusters"] = divided(task, teacher, rng)
        state = State(synthetic, {"synthetic": self._synthetic_optimizer(synthetic)}, networks, memory)
        return self._with_network(task, state, task.new_network(rng.fork("network")), rng)

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        left = max(0.0, 1 - state.step / (task.steps or self.steps(task.ipc)))
        for group in state.optimizers["synthetic"].param_groups:
            group["lr"] = group["initial_lr"] * left
        found = self.losses(task, state, rng)
        yield torch.stack([self._weights[name] * loss for name, loss in found.items()]).sum()

    def losses(self, task: Task, state: State, rng: Rng) -> dict[str, Tensor]:
        """The losses of this step by name, not weighted; without those whose weight is 0."""
        synthetic, augmentation = cast(Generated, state.synthetic), self._augmentation(task)
        drawn = drawn_images(synthetic, self.class_batch, self.code_batch, rng)
        codes, labels, classes = drawn.codes, drawn.labels, len(drawn.classes)
        if self.codes != "learned":
            codes = self._random_codes(len(labels), rng.fork("random codes")).to(task.device)
        images, size = synthetic.of_codes(codes, labels), (task.spec.height, task.spec.width)
        parameters = augmentation.sample(rng.fork("augmentation"), size)
        eye = Eye(task, state.networks["network"].eval(), augmentation, parameters)
        layers = eye.layers(images)
        associates = eye.associates(drawn, self.real_batch, state.memory.get("clusters"), rng)
        features = layers[-1].view(classes, -1, layers[-1].shape[1])  # (classes, n, D)
        centres = associates[-1].view(features.shape).mean(1)  # (classes, D), of real images
        judged = images if self.judged == "pixels" else layers[-1]
        source, said = state.networks["discriminator"](judged, state.networks["embeddings"](labels))
        targets = state.memory["soft labels"][labels] if "soft labels" in state.memory else labels
        scale = mean_distance(centres).clamp(min=1e-6)
        found = {
            "adversarial": lambda: generator_loss(source),
            "class": lambda: F.cross_entropy(said, targets),
            "match": lambda: layer_gap(layers, associates),
            "intra": lambda: intra_class(features, centres, self.temperature),
            "inter": lambda: inter_class(features.mean(1) / scale, self.margin),
        }
        return {name: found[name]() for name, weight in self._weights.items() if weight}

    def advance(self, task: Task, state: State, rng: Rng) -> State:
        real, labels = task.real_batch(self.network_batch, rng)
        if self.adversarial_weight or self.class_weight:
            self._discriminate(task, state, real, labels, rng)
        updates, early = divmod(state.step + 1, self.generator_updates)
        if early:
            return state.next()
        if age := updates % self.network_updates:
            network, optimizer = state.networks["network"].train(), state.optimizers["network"]
            for group in optimizer.param_groups:
                group["lr"] = self.network_lr * (1 - (age - 1) / self.network_updates)
            train_step(network, optimizer, self._augmented(task, real, rng), labels, task.chunk)
            self._renew(task, state, network, rng)
            return state.next()
        network = task.new_network(rng.fork("network"))
        self._renew(task, state, network, rng)
        return self._with_network(task, state.next(), network, rng)

    # ---- what is trained along

    def _discriminate(self, task: Task, state: State, real: Tensor, labels: Tensor, rng: Rng) -> None:
        """One update of the discriminator and its classifier."""
        synthetic, network = cast(Generated, state.synthetic), state.networks["network"].eval()
        with torch.no_grad():
            codes = codes_for(synthetic, labels, rng.fork("judged codes"))
            if self.codes != "learned":
                codes = self._random_codes(len(labels), rng.fork("judged codes")).to(task.device)
            seen = [real, synthetic.of_codes(codes, labels)]
            if self.judged == "features":
                seen = [
                    layer_features(network, task.forward_only(images), task.chunk)[-1].flatten(1)
                    for images in seen
                ]
        embeddings = state.networks["embeddings"](labels)
        optimizer = state.optimizers["discriminator"]
        train_discriminator(state.networks["discriminator"], optimizer, *seen, labels, embeddings)

    def _with_network(self, task: Task, state: State, network: nn.Module, rng: Rng) -> State:
        """`state` with another feature network and, since its features mean something else, another discriminator."""
        networks: dict[str, nn.Module] = {**state.networks, "network": network}
        optimizers = {**state.optimizers, "network": self._recipe.make_optimizer(network, self.network_lr)}
        if self.judged == "features":
            length = cast(nn.Embedding, networks["embeddings"]).embedding_dim
            networks["discriminator"] = new_discriminator(task, network, length, rng)
        if (
            networks["discriminator"] is not state.networks.get("discriminator")
            or "discriminator" not in optimizers
        ):
            parameters = networks["discriminator"].parameters()
            optimizers["discriminator"] = torch.optim.Adam(parameters, self.discriminator_lr, BETAS)
        return replace(state, networks=networks, optimizers=optimizers)

    @torch.no_grad()
    def _renew(self, task: Task, state: State, network: nn.Module, rng: Rng) -> None:
        """Online class features: those of `network`, as it is now, take the place of the ones before."""
        if self.condition != "online":
            return
        means = []
        for c in task.classes:
            images = task.forward_only(task.pool.sample(c, self.real_batch, rng.fork("online", c)))
            means.append(pooled(layer_features(network.eval(), images, task.chunk)[-1]).mean(0))
        cast(nn.Embedding, state.networks["embeddings"]).weight.copy_(standardised(torch.stack(means)))

    # ---- what the settings say

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
        taught = (task.network.canonical, str(self.teacher_epochs))
        settings = GanSettings(
            code_length=self.code_length,
            width=self.generator_width,
            blocks=self._blocks(task),
            steps=self.gan_steps,
            class_weight=self.class_weight,
            classes=("one-hot",) if self.condition == "one-hot" else taught,
        )
        return settings.training(
            task, lambda: self._embeddings(task, self._known(task)), rng.fork("pretraining")
        )

    def _generated(self, task: Task, network: nn.Module, embeddings: nn.Embedding, rng: Rng) -> Generated:
        """The set as it begins: random codes and the pretrained generator."""
        codes = self._random_codes(self._code_count(task), rng).to(task.device)
        weights = cast(GeneratorNetwork, network).folded()
        learned = {"codes"} if self.codes == "learned" else set[str]()
        learned |= set(weights) if self.generator == "learned" else set()
        for name, tensor in {"codes": codes, **weights}.items():
            tensor.requires_grad_(name in learned)
        return Generated(codes, weights, embeddings, task.counts, task.spec.shape[1:], frozenset(learned))

    @property
    def _divides(self) -> bool:
        return self.associates == "clusters" and self.codes == "learned"

    def _code_count(self, task: Task) -> int:
        return sum(task.counts) if self.codebook == "own" else max(task.counts)

    def _synthetic_optimizer(self, synthetic: Generated) -> torch.optim.Optimizer:
        groups = []
        for name, leaf in synthetic.leaves().items():
            rate = self.code_lr if name == "codes" else self.generator_lr
            groups.append({"params": [leaf], "lr": rate, "initial_lr": rate})
        if self.optimizer == "adam":
            return torch.optim.Adam(groups)
        return torch.optim.SGD(groups, momentum=self.momentum)

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
        return {name: getattr(self, f"{name}_weight") for name in names}


_CHOICES = {
    "associates": ("clusters", "dealt"),
    "condition": ("class", "online", "one-hot"),
    "codes": ("learned", "gaussian", "truncated"),
    "codebook": ("shared", "own"),
    "generator": ("learned", "fixed"),
    "optimizer": ("sgd", "adam"),
    "judged": ("features", "pixels"),
    "soft_labels": ("auto", "yes", "no"),
}
