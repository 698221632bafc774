"""RFAD: KIP with the kernel of random features in place of one in closed form, so that networks may have convolutions.

Noel Loo, Ramin Hasani, Alexander Amini and Daniela Rus, "Efficient Dataset Distillation using Random Feature
Approximation", NeurIPS 2022, arXiv 2210.12067, algorithm 1; constants that the paper leaves out are those of the
authors' code (yolky/RFAD, c9ef03e).

The kernel is that of a random linear head on the joined embeddings: twice their product and 0.01. Weights come from
N(0, 2 / inputs), biases from N(0, 0.01). Images, labels and the logarithm of the factor are learned by AdaBelief
(epsilon 1e-16).

Fields: the paper gives networks, loss, temperature_lr ("Platt scaling") and labels; the authors' code all others; they
stop earlier than iterations. Their network has 256 filters and no norm: --network convnet+width=256+norm=none.

Differences from the paper and from the authors' code:

1. A matrix over all pixels, which multiplies the set and is learned with it, is left out.
2. Stopping. They keep the set of least loss on 16 fixed networks and 5,000 training images. We keep the last.
3. Padding. Our ConvNet pads grey images of 28 pixels to 32, theirs does not.
4. Whitening (ZCA): --whitening zca, set by the preset `paper` for CIFAR. They take no mean away before whitening and
   count no eigenvalue as 1; SVHN, which they bring to one norm per image, is standardised alone.
5. Evaluation. Theirs trains a wide network on outputs less those before training, with rates for each budget. Our own
   recipe is the regression with `networks` new random networks of the evaluated architecture.
6. Random features are embeddings of the task's network; its norm layers stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery.errors import BadInput
from condensery.matching.kernels import IllConditioned, centred, ridge_solution
from condensery.matching.random_features import feature_kernel, gaussian, joined_features
from condensery.method import State, Task
from condensery.methods.kip import LABELS
from condensery.optimizers import AdaBelief
from condensery.rng import Rng
from condensery.synthetic import Pixels
from condensery.training_recipe import Regression

LOSSES = ("cross-entropy", "mse")


@dataclass(frozen=True)
class RFAD:
    """Learn images and labels on which regression with random features predicts real images."""

    name: ClassVar[str] = "rfad"
    summary: ClassVar[str] = "random feature approximation of KIP for any network (Loo et al., 2022)"

    splits: ClassVar[str] = "passes"

    iterations: int = 100_000
    """updates of the images: the most that the authors make, who stop earlier"""
    networks: int = 8
    """random networks of a step, whose features are joined"""
    real_batch: int = 5120
    """real images per step, of all classes together"""
    image_lr: float = 0.001
    """AdaBelief's learning rate of images and labels"""
    loss: str = "cross-entropy"
    """"cross-entropy" of the predictions times a learned factor, or "mse" """
    temperature_lr: float = 0.01
    """learning rate of the logarithm of that factor"""
    labels: str = "learned"
    """"learned" with the images, or "fixed": the classes"""
    ridge: float = 5e-3
    """of the regression, as a share of the mean diagonal of the kernel"""
    init: str = "real"
    """start from "real" images, those nearest to means of "clusters", "noise", or another set, by its file"""

    def steps(self, ipc: int) -> int:
        return self.iterations

    def check(self, task: Task) -> list[str]:
        notes = task.start_notes(self.init, 1, learns_labels=self.labels == "learned")
        for name, choices in (("loss", LOSSES), ("labels", LABELS)):
            if getattr(self, name) not in choices:
                raise BadInput(f"unknown {name} {getattr(self, name)!r}; choose one of {', '.join(choices)}")
        if not task.network.has_embedding(task.spec):
            raise BadInput(
                f"rfad regresses on embeddings and {task.network.name} has none: "
                "choose a network with embed(), such as convnet"
            )
        return [*notes, f"labels {self.labels}; {self.networks} random networks a step; loss {self.loss}"]

    def start(self, task: Task, rng: Rng) -> State:
        synthetic = cast(Pixels, task.start_images(self.init, 1, rng.fork("images")))
        targets, factor = None, torch.zeros((), device=task.device)
        if self.labels == "learned":
            targets = centred(synthetic.labels, task.spec.num_classes, torch.float32)
            if task.start and task.start.targets is not None:
                targets = task.start.targets.to(task.device).clone()
            targets.requires_grad_()
        training = Regression("features", networks=self.networks, ridge=self.ridge)
        synthetic = replace(synthetic, targets=targets, training=training.to_json())
        groups: list[dict[str, Any]] = [{"params": list(synthetic.leaves().values())}]
        if self.loss == "cross-entropy":
            synthetic = replace(synthetic, rates=factor.requires_grad_())
            groups.append({"params": [factor], "lr": self.temperature_lr})
        return State(synthetic, {"synthetic": AdaBelief(groups, self.image_lr)}, {})

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        real, labels = task.real_batch(self.real_batch, rng)
        networks = [self._network(task, rng.fork("network", i)) for i in range(self.networks)]
        with torch.no_grad():
            known = joined_features(networks, task.forward_only(real), task.chunk, task.team)
        features = joined_features(networks, state.synthetic.images, task.chunk, task.team)
        leaves, classes = state.synthetic.leaves(), task.spec.num_classes
        targets = leaves.get("targets", centred(state.synthetic.labels, classes, torch.float32)).double()
        try:
            solution = ridge_solution(feature_kernel(features, features), targets, self.ridge)
        except IllConditioned as error:
            raise IllConditioned(
                f"step {state.step}: {error}; use more than --ridge {self.ridge:g} or less than --image-lr "
                f"{self.image_lr:g}"
            ) from error
        predicted = feature_kernel(known, features) @ solution
        if self.loss == "cross-entropy":
            yield F.cross_entropy(leaves["rates"].double().exp() * predicted, labels)
        else:
            yield 0.5 * (predicted - centred(labels, classes, torch.float32)).square().mean()

    def advance(self, task: Task, state: State, rng: Rng) -> State:
        return state.next()

    def _network(self, task: Task, rng: Rng) -> nn.Module:
        network = task.new_network(rng).requires_grad_(False)
        gaussian(network, rng.fork("weights"))
        return network
