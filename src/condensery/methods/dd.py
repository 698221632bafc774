"""DD: dataset distillation. The whole training on the set is unrolled, and its images and learning rates are learned.

Tongzhou Wang, Jun-Yan Zhu, Antonio Torralba and Alexei A. Efros, "Dataset Distillation", 2018, arXiv 1811.10959,
algorithm 1; constants that the paper leaves out are those of the authors' code (ssnl/dataset-distillation, 98e4894).

Fields: section 3 gives weights; the authors' code for MNIST all others. iterations are 400 passes over MNIST; the
preset `paper` sets what they take for CIFAR-10.

Differences from the paper and from the authors' code:

1. Initial weights. Theirs: Xavier's rule, biases of 0. Ours are torch's. Expected: a few points either way.
2. Memory. They keep the graph of every step's gradient, we compute each again: the same gradient in half more time.
3. The last loss is computed in evaluation mode, as theirs, except for batch norm, whose statistics nothing has
   measured.
4. Real batches are drawn anew for each update; theirs go through the shuffled data.
5. Networks at once. They can average over several per update (`--sample_n_nets`); their default is one, as ours.
6. More images per class than steps. With `per_step` 1 our 10 per class are their 10 steps. Where classes differ in
   number, the last steps hold those that have more.
7. Poisoning and adaptation (sections 3.5, 3.6) are not offered.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery.errors import BadInput
from condensery.matching.unrolling import (
    Stateless,
    Weights,
    descend,
    in_turn,
    outer_gradient,
    recordable,
    require_fits,
    require_good_end,
    require_rates,
    reverse,
    steps_in_turn,
    term,
)
from condensery.method import State, Task
from condensery.models.batch_norm import batch_norms
from condensery.optimizers import Adam
from condensery.rng import Rng
from condensery.synthetic import Pixels
from condensery.text import count, readable_bytes
from condensery.training_recipe import Recipe

WEIGHTS = ("random", "fixed")
BETAS = (0.5, 0.999)  # of Adam, for images and rates


@dataclass(frozen=True)
class DD:
    """Learn images, and a learning rate for each step, by which a few steps of training end in a good network."""

    name: ClassVar[str] = "dd"
    summary: ClassVar[str] = (
        "dataset distillation by unrolled training (Wang et al., 2018): the set sets its own rates"
    )

    iterations: int = 23_600
    """updates of the images: 400 passes over MNIST"""
    passes: int = 3
    """times that the unrolled training goes through the images"""
    per_step: int = 1
    """images of each class in a step of the unrolled training"""
    real_batch: int = 1024
    """real images per update, of all classes together"""
    image_lr: float = 0.01
    """learning rate of Adam for images and rates at first"""
    halve_after: int = 2360
    """updates after which that rate is halved, again and again"""
    rate: float = 0.02
    """learning rate of every step of the unrolled training at first; it is learned"""
    weights: str = "random"
    """initial weights of the networks: "random", new ones at each update, or "fixed", of one network, which the set \
names in its recipe"""
    init: str = "noise"
    """start from "noise", "real" images, those nearest to means of "clusters", or another set, by its file"""

    def steps(self, ipc: int) -> int:
        return self.iterations

    def check(self, task: Task) -> list[str]:
        notes = task.start_notes(self.init, 1)
        if self.weights not in WEIGHTS:
            raise BadInput(f"unknown weights {self.weights!r}; choose one of {', '.join(WEIGHTS)}")
        if not 0 < self.rate <= 1e6:
            raise BadInput(
                f"--rate must be more than 0, where learned rates begin, and 1e6 at most, not {self.rate:g}"
            )
        steps, batch = self._unrolled(task), self.per_step * task.spec.num_classes
        network = task.network.build(task.spec, Rng(0))
        needed = require_fits(network, task.spec.shape, batch, steps, task.device, "choose fewer --passes")
        return [
            *notes,
            f"{count(steps, 'unrolled step')} of {count(batch, 'image')}, each with a rate of its own, take about "
            f"{readable_bytes(needed)}",
            f"initial weights {self.weights}",
        ]

    def start(self, task: Task, rng: Rng) -> State:
        raw = self.rate + math.log(-math.expm1(-self.rate))  # the inverse of softplus
        synthetic = cast(Pixels, task.start_images(self.init, 1, rng.fork("images")))
        rates = torch.full((self._unrolled(task),), raw, device=task.device)
        synthetic = replace(synthetic, rates=rates.requires_grad_())
        optimizer = Adam(synthetic.leaves().values(), self.image_lr, betas=BETAS)
        seed = torch.tensor(rng.fork("weights").entropy % 2**31)
        state = State.of(synthetic, optimizer, task.new_network(rng.fork("network")))
        state = replace(state, memory={"weights": seed})
        return replace(state, networks={"network": self._network(task, state, rng)})

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        for group in state.optimizers["synthetic"].param_groups:
            group["lr"] = self.image_lr * 0.5 ** (state.step // self.halve_after)
        network, images, raw = Stateless(state.network), state.synthetic.images, state.leaves()[-1]
        rates = F.softplus(raw.detach()).tolist()
        require_rates(rates, state.step, f"choose less than --image-lr {self.image_lr:g}")
        batches = torch.tensor(self._order(task), device=task.device).split(
            self.per_step * task.spec.num_classes
        )

        def loss(weights: Weights, step: int) -> Tensor:
            batch = batches[step % len(batches)]
            network.network.train()
            with rng.fork("layers", step).seeded(task.device):
                return F.cross_entropy(network(weights, images[batch]), state.synthetic.labels[batch])

        points = descend(loss, network.weights(), rates)
        network.network.train(bool(batch_norms(network.network)))  # whose statistics nothing has measured
        value, last, _ = outer_gradient(
            network, points[-1], *task.real_batch(self.real_batch, rng), task.chunk
        )
        require_good_end(value, rates)
        found = reverse(loss, points, rates, last, [images])
        yield term(value, state.leaves(), [*found.leaves, found.rates * raw.detach().sigmoid()])

    def advance(self, task: Task, state: State, rng: Rng) -> State:
        return state.next(self._network(task, state, rng))

    def training(self, task: Task, state: State) -> dict[str, Any]:
        """Plain gradient descent through the images in their order, each step at its learned rate."""
        rates = recordable(F.softplus(state.leaves()[-1].detach()).tolist())
        return Recipe(
            self.passes,
            lr=rates[0],
            momentum=0.0,
            weight_decay=0.0,
            batch_size=self.per_step * task.spec.num_classes,
            rates=rates,
            order=tuple(self._order(task)),
            weights=int(state.memory["weights"]) if self.weights == "fixed" else -1,
        ).to_json()

    def _unrolled(self, task: Task) -> int:
        """Steps of the unrolled training."""
        return steps_in_turn(task.counts, self.per_step, self.passes)

    def _order(self, task: Task) -> list[int]:
        return in_turn(task.counts, self.per_step)

    def _network(self, task: Task, state: State, rng: Rng) -> nn.Module:
        source = Rng(int(state.memory["weights"])) if self.weights == "fixed" else rng.fork("network")
        return task.new_network(source)
