"""LD: label distillation. The images are real and stay as they are; their labels are learned.

Ondrej Bohdal, Yongxin Yang and Timothy Hospedales, "Flexible Dataset Distillation: Learn Labels Instead of Images",
NeurIPS 2020 Workshop on Meta-Learning, arXiv 2006.08572, algorithms 1 and 2; constants that the paper leaves out are
those of the authors' code (ondrejbohdal/label-distillation, 7ebc088).

A new network begins when the mean error on real batches has not fallen for a window of 50 steps (100 from 49 classes
on, 200 beyond 100 images). The steps to its least value are noted.

Fields: the paper gives variant (algorithms 1 and 2) and init; balanced is ours; the authors' code gives all others.

Differences from the paper and from the authors' code:

1. Validation. They hold out 10,000 images of MNIST (5,000 of CIFAR) and keep the best labels of every fifth pass. We
   learn from all training images and keep the last.
2. Ridge in use. They test with the mixed ridge classifier as last layer; we train plain networks on the labels.
   Expected: worse for `ridge`.
3. Batches. A network that trains on the set takes shuffled images in turn; theirs draws a batch each time.
4. A label of nothing. Where all of a label is cut off they divide by zero; ours becomes uniform.
5. Images of another data set (their cross-data experiments): only by --init with another set.
6. Counts. As many of each class as asked for; their unbalanced draws are not offered.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery.errors import BadInput
from condensery.matching.moments import Embedding
from condensery.matching.unrolling import Stateless, descend, outer_gradient, require_good_end, reverse, term
from condensery.method import State, Task
from condensery.models.custom import trainable
from condensery.optimizers import Adam
from condensery.rng import Rng
from condensery.training_recipe import Recipe, cross_entropy

VARIANTS = ("second-order", "ridge")
SCALE_LR = 0.01  # of the scale of the ridge regression's weights
MIXED = 0.01  # share of the newest ridge solution in the classifier


@dataclass(frozen=True)
class LD:
    """Learn labels of fixed images on which one step of training helps with real images."""

    name: ClassVar[str] = "ld"
    summary: ClassVar[str] = "label distillation (Bohdal et al., 2020): real images, learned labels; cheap"
    later_fields: ClassVar[tuple[str, ...]] = ("balanced",)

    iterations: int = 19_600
    """updates of the labels: 400 passes over 50,000 real images"""
    variant: str = "second-order"
    """"second-order": one step of gradient descent on the set; "ridge": regression on features, without its graph"""
    real_batch: int = 1024
    """real images per step, of all classes together"""
    balanced: str = "no"
    """"no": real images are drawn from all, or "yes": equally many of each class, whose numbers are then no noise"""
    base_batch: int = 50
    """images of the set per step, at most all of them"""
    label_lr: float = 0.001
    """learning rate of Adam for the labels"""
    inner_lr: float = 0.01
    """learning rate of the one step that is looked through (second-order)"""
    network_lr: float = 0.001
    """learning rate of Adam, which trains the network along the way, and networks that are trained on the set"""
    window: int = 0
    """steps over which errors are averaged, and waited for a better average, before a network is drawn anew; 0 for \
50, 100 from 49 classes on, 200 beyond 100 images"""
    ridge: float = 1.0
    """what is added to the diagonal of the kernel (ridge)"""
    init: str = "real"
    """the images: "real", those nearest to means of "clusters", or "noise" """

    def steps(self, ipc: int) -> int:
        return self.iterations

    def check(self, task: Task) -> list[str]:
        notes = task.start_notes(self.init, 1)
        if self.variant not in VARIANTS:
            raise BadInput(f"unknown variant {self.variant!r}; choose one of {', '.join(VARIANTS)}")
        if self.balanced not in ("no", "yes"):
            raise BadInput(f"unknown balanced {self.balanced!r}; choose one of no, yes")
        if self.variant == "ridge" and not task.network.has_embedding(task.spec):
            raise BadInput(
                f"ridge regression needs embeddings and {task.network.name} has none: "
                "choose a network with embed(), such as convnet, or --variant second-order"
            )
        return [*notes, f"labels of fixed images are learned, {self.variant}; they begin uniform"]

    def start(self, task: Task, rng: Rng) -> State:
        images = task.start_images(self.init, 1, rng.fork("images"))
        uniform = torch.full((len(images.labels), task.spec.num_classes), 1 / task.spec.num_classes)
        synthetic = replace(
            images, images=images.images.detach(), targets=uniform.to(task.device).requires_grad_()
        )
        networks = {"network": task.new_network(rng.fork("network"))}
        if self.variant == "ridge":
            networks["scale"] = _Scale().to(task.device)
        memory = self._fresh_memory(task, networks["network"])
        optimizers = {"synthetic": Adam(synthetic.leaves().values(), self.label_lr)}
        return State(synthetic, {**optimizers, **self._optimizers(networks)}, networks, memory)

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        yield (self._second_order if self.variant == "second-order" else self._regression)(task, state, rng)

    def advance(self, task: Task, state: State, rng: Rng) -> State:
        (targets,) = state.leaves()
        with torch.no_grad():
            targets.copy_(as_probabilities(targets))
        if self.variant == "ridge":
            state = self._train_features(task, state)
        state.optimizers["network"].step()
        memory = watched(state.memory)
        if memory["age"] > 0:
            return state.next(memory=memory)
        networks = {"network": task.new_network(rng.fork("network"))}
        if self.variant == "ridge":
            networks["scale"] = _Scale().to(task.device)
        optimizers = {"synthetic": state.optimizers["synthetic"], **self._optimizers(networks)}
        return replace(state.next(memory=memory), networks=networks, optimizers=optimizers)

    def training(self, task: Task, state: State) -> dict[str, Any]:
        """Adam, for as many steps as the last three networks took to their best error."""
        recorded = state.memory["recorded"]
        steps = recorded[recorded > 0].mean() if bool((recorded > 0).any()) else state.memory["age"]
        count = len(state.synthetic.labels)
        batch = min(self.base_batch, count)
        epochs = max(1, round(float(steps) / math.ceil(count / batch)))
        return Recipe(epochs, self.network_lr, weight_decay=0.0, batch_size=batch, optimizer="adam").to_json()

    # ---- the two variants

    def _second_order(self, task: Task, state: State, rng: Rng) -> Tensor:
        """The loss on real images after one step on the set, whose graph is kept."""
        network = Stateless(state.network.train())
        images, targets = self._base(state, rng)
        real, labels = self._real(task, rng)

        def loss(weights: tuple[Tensor, ...], step: int) -> Tensor:
            (learned,) = state.leaves()
            return cross_entropy(network(weights, images), learned[targets]) / len(images)

        points = descend(loss, network.weights(), [self.inner_lr])
        value, last, wrong = outer_gradient(network, points[-1], real, labels, task.chunk)
        require_good_end(value, [self.inner_lr])
        found = reverse(loss, points, [self.inner_lr], last, state.leaves())
        state.memory["error"].copy_(wrong)
        for parameter, before, after in zip(trainable(state.network), points[0], points[1], strict=True):
            parameter.grad = (
                before - after
            ) / self.inner_lr  # for `advance`: of the labels before their update
        return term(value, state.leaves(), found.leaves)

    def _regression(self, task: Task, state: State, rng: Rng) -> Tensor:
        """The loss on real images of a classifier that moves towards the ridge regression on the set."""
        network = state.network.train()
        real, labels = self._real(task, rng)
        images, picked = self._base(state, rng)
        (learned,) = state.leaves()
        with torch.no_grad():
            features, known = _features(network, images), _features(network, real, task.chunk)
        weights = self._mixed(state, features, learned[picked])
        logits = state.networks["scale"](known @ weights)
        state.memory["error"].copy_((logits.argmax(1) != labels).float().mean())
        state.memory["picked"].copy_(picked)
        state.memory["targets"].copy_(learned.detach()[picked])
        return F.cross_entropy(logits, labels)

    def _train_features(self, task: Task, state: State) -> State:
        """Gradients of the network and the scale on the set, and the classifier: of the labels before their update."""
        (targets,), picked = state.leaves(), state.memory["picked"]
        features = _features(state.network, state.synthetic.images[picked])
        weights = self._mixed(state, features, state.memory["targets"])
        state.optimizers["network"].zero_grad()
        logits = state.networks["scale"](features @ weights)
        (cross_entropy(logits, targets.detach()[picked]) / len(picked)).backward()
        return replace(state, memory={**state.memory, "classifier": weights.detach()})

    def _mixed(self, state: State, features: Tensor, targets: Tensor) -> Tensor:
        """The classifier (D + 1, classes) after it moved by a hundredth towards the ridge regression."""
        local = ridge_weights(features, targets, self.ridge)
        return (1 - MIXED) * state.memory["classifier"] + MIXED * local

    # ---- parts

    def _real(self, task: Task, rng: Rng) -> tuple[Tensor, Tensor]:
        """Real images of a step and their classes."""
        return (task.even_batch if self.balanced == "yes" else task.real_batch)(self.real_batch, rng)

    def _base(self, state: State, rng: Rng) -> tuple[Tensor, Tensor]:
        """Images of the set for this step, (b, C, H, W), and which of them, int64 (b,)."""
        images = state.synthetic.images
        picked = torch.randperm(len(images), generator=rng.fork("base batch").torch())[: self.base_batch]
        return images[picked.to(images.device)], picked.to(images.device)

    def _optimizers(self, networks: Mapping[str, nn.Module]) -> dict[str, torch.optim.Optimizer]:
        groups: list[dict[str, Any]] = [{"params": trainable(networks["network"]), "lr": self.network_lr}]
        if "scale" in networks:
            groups.append({"params": trainable(networks["scale"]), "lr": SCALE_LR})
        return {"network": Adam(groups)}

    def _fresh_memory(self, task: Task, network: nn.Module) -> dict[str, Tensor]:
        count, classes = sum(task.counts), task.spec.num_classes
        usual = 100 if classes >= 49 else 200 if count > 100 else 50
        memory = {name: torch.zeros(()) for name in ("error", "age", "lowest", "waited")}
        memory |= {"errors": torch.zeros(self.window or usual), "recorded": torch.zeros(3)}
        if self.variant == "ridge":
            with torch.no_grad():
                width = _features(network, torch.zeros(2, *task.spec.shape, device=task.device)).shape[1]
            memory["classifier"] = torch.zeros(width, classes, device=task.device)
            batch = min(self.base_batch, count)
            memory["picked"] = torch.zeros(batch, dtype=torch.long, device=task.device)
            memory["targets"] = torch.zeros(batch, classes, device=task.device)
        return memory


class _Scale(nn.Module):
    """One learned factor, which begins as 1."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


def as_probabilities(labels: Tensor) -> Tensor:
    """Labels (n, classes) cut off at 0 and 1 and divided by their sum; uniform where nothing is left."""
    cut = labels.clamp(0, 1)
    total = cut.sum(1, keepdim=True)
    return torch.where(total > 0, cut / total.clamp(min=1e-12), 1 / labels.shape[1])


def ridge_weights(features: Tensor, targets: Tensor, ridge: float) -> Tensor:
    """The linear classifier (D, classes) that ridge regression fits to `features` (n, D) and `targets` (n, classes)."""
    kernel = features @ features.T
    return features.T @ torch.linalg.solve(kernel + ridge * torch.eye(len(kernel)).to(kernel), targets)


def watched(memory: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The memory with this step's error in it. An age of 0 says that the network is to be drawn anew.

    The moving average of errors is waited for: where it has not become less for a whole window, the steps to its least
    value are recorded.
    """
    errors, age, lowest, waited = (memory[name].clone() for name in ("errors", "age", "lowest", "waited"))
    recorded, window = memory["recorded"].clone(), len(memory["errors"])
    if age < window:
        errors[int(age)] = memory["error"]
        if age + 1 == window:
            lowest = errors.sum()
    else:
        errors = torch.cat([errors[1:], memory["error"].reshape(1).to(errors)])
        if errors.sum() < lowest:
            lowest, waited = errors.sum(), torch.zeros(())
        elif waited < window:
            waited += 1
        else:
            recorded = torch.cat([recorded[1:], (age - waited).reshape(1)])
            errors, age, waited = torch.zeros(window), torch.full((), -1.0), torch.zeros(())
    now = {"errors": errors, "age": age + 1, "lowest": lowest, "waited": waited, "recorded": recorded}
    return {**memory, **now}


def _features(network: nn.Module, images: Tensor, chunk: int | None = None) -> Tensor:
    """Embeddings with a column of ones: (n, D + 1)."""
    embed = cast(Embedding, network.embed)
    found = torch.cat([embed(part) for part in images.split(chunk or len(images))])
    return torch.cat([found, torch.ones(len(found), 1).to(found)], 1)
