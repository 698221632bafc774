"""GTN: generative teaching networks. A generator, its codes and the schedule of the training on its images are learned.

Felipe Petroski Such, Aditya Rawal, Joel Lehman, Kenneth Stanley and Jeff Clune, "Generative Teaching Networks:
Accelerating Neural Architecture Search by Learning to Generate Synthetic Training Data", ICML 2020, arXiv 1912.07768,
with a learned curriculum; settings are those of the authors' `experiments/cgtn.json` (uber-research/GTN, 1979982).

Fields: the authors' code gives all but generator_width and generator_lr 0.002: the published 0.02 is for normalised
weights, with it our images grew to 34 standard deviations in 60 updates. The authors use each batch once (passes) and
128 images a step (per_step).

Differences from the paper and from the authors' code:

1. Generator. Theirs: two linear layers of 1,024 and 128 w^2 units and two convolutions after doublings, with weight
   norm, batch norm and tanh. Ours is that of `generative`, since a file must hold it.
2. Networks. Theirs have weight norm and a batch norm of means alone. Ours are those of --network.
3. How many images. They have a code for each of 64 x 128 images, ours as many as --ipc says.
4. Labels are the classes. Not offered, and off in `cgtn.json`: learned labels, encoder, drawn codes, architecture
   search, augmentation.
5. The schedule is learned as theirs. Weights after the first step are judged first. Adam's rate begins to fall at the
   second update, theirs at the third.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery.errors import BadInput
from condensery.matching.unrolling import (
    MOST_MOMENTUM,
    Descent,
    Stateless,
    Weights,
    descend_with_momentum,
    device_memory,
    in_turn,
    outer_gradient,
    recordable,
    require_fits,
    require_good_end,
    require_rates,
    reverse_with_momentum,
    steps_in_turn,
    term,
)
from condensery.method import State, Task
from condensery.models.batch_norm import batch_norms
from condensery.optimizers import Adam
from condensery.rng import Rng
from condensery.synthetic import Generated, GeneratorNetwork, default_blocks
from condensery.synthetic.generator import stored_shapes
from condensery.synthetic.learned import Content
from condensery.synthetic.pixels import class_labels
from condensery.text import count, readable_bytes
from condensery.training_recipe import Recipe

JUDGED = ("every", "last")
BETAS = (0.9, 0.999)  # of Adam
FLOOR = 0.1  # share of Adam's rate that is left at the last update
_PASS = 64  # images that pass the generator at once


@dataclass(frozen=True)
class Curriculum:
    """Images of a generator, and the schedule by which networks are trained on them.

    Attributes:
        generated: the images.
        schedule: float32 (2, steps): logarithms of the learning rate and of the momentum of each step; a leaf.
    """

    generated: Generated
    schedule: Tensor

    @property
    def images(self) -> Tensor:
        return self.generated.images

    @property
    def labels(self) -> Tensor:
        return self.generated.labels

    def of_class(self, c: int) -> Tensor:
        return self.generated.of_class(c)

    def leaves(self) -> dict[str, Tensor]:
        return self.generated.leaves() | {"schedule": self.schedule}

    def content(self) -> Content:
        return self.generated.content()


@dataclass(frozen=True)
class GTN:
    """Learn a generator and codes, and each step's learning rate and momentum, by which training ends well."""

    name: ClassVar[str] = "gtn"
    summary: ClassVar[str] = (
        "generative teaching networks (Petroski Such et al., 2020): generator, codes and schedule are learned"
    )
    scheduled: ClassVar[bool] = True

    iterations: int = 2000
    """updates of the generator"""
    passes: int = 1
    """times that the unrolled training goes through the images"""
    per_step: int = 1
    """images of each class in a step of the unrolled training"""
    real_batch: int = 128
    """real images that the weights after a step are judged by, of all classes together"""
    judged: str = "every"
    """weights that are judged by real images: those after "every" step, or the "last" ones alone"""
    code_lr: float = 0.02
    """learning rate of Adam for codes and schedule at first; it falls to a tenth"""
    generator_lr: float = 0.002
    """the same for the generator, a tenth of the published, whose weights are normalised"""
    rate: float = 0.02
    """learning rate of every step of the unrolled training at first; it is learned"""
    momentum: float = 0.5
    """momentum of every step at first; it is learned"""
    code_length: int = 128
    """numbers in the code of an image"""
    generator_width: int = 64
    """channels of the generator"""

    def steps(self, ipc: int) -> int:
        return self.iterations

    def check(self, task: Task) -> list[str]:
        for name, value, most in (("rate", self.rate, 1e6), ("momentum", self.momentum, 1.0)):
            if not 0 < value <= most:
                raise BadInput(
                    f"--{name}, where it begins to be learned, must be in (0, {most:g}], not {value:g}"
                )
        if self.judged not in JUDGED:
            raise BadInput(f"unknown judged {self.judged!r}; choose one of {', '.join(JUDGED)}")
        if task.start is not None:
            raise BadInput("gtn learns a generator, which cannot start from images: leave out --init")
        steps, batch = self._unrolled(task), self.per_step * task.spec.num_classes
        network = task.network.build(task.spec, Rng(0))
        self._require_room(task)
        fix = "choose fewer --passes or a larger --per-step"
        needed = require_fits(network, task.spec.shape, batch, steps, task.device, fix, copies=2)
        return [
            f"{count(steps, 'unrolled step')} of {count(batch, 'image')}, each with a rate and a momentum of its own, "
            f"take about {readable_bytes(needed)}"
        ]

    def start(self, task: Task, rng: Rng) -> State:
        classes, (height, width) = task.spec.num_classes, task.spec.shape[1:]
        with rng.fork("generator").seeded(torch.device("cpu")):
            blocks = default_blocks(height, width)
            network = GeneratorNetwork(
                self.code_length, classes, self.generator_width, blocks, task.spec.shape
            )
        codes = torch.randn(sum(task.counts), self.code_length, generator=rng.fork("codes").torch())
        _measure(network, codes, torch.eye(classes)[class_labels(task.counts, codes.device)])
        weights = {name: t.to(task.device).requires_grad_() for name, t in network.folded().items()}
        codes = codes.to(task.device).requires_grad_()
        one_hot = nn.Embedding.from_pretrained(torch.eye(classes, device=task.device), freeze=True)
        learned = frozenset({"codes", *weights})
        generated = Generated(codes, weights, one_hot, task.counts, (height, width), learned)
        logs = torch.tensor([math.log(self.rate), math.log(self.momentum)], device=task.device)
        schedule = logs[:, None].repeat(1, self._unrolled(task)).requires_grad_()
        synthetic = Curriculum(generated, schedule)
        groups = [
            {"params": [leaf], "initial_lr": self.generator_lr if name in weights else self.code_lr}
            for name, leaf in synthetic.leaves().items()
        ]
        optimizer = Adam(groups, betas=BETAS)
        return State.of(synthetic, optimizer, task.new_network(rng.fork("network")))

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        done = state.step / (task.steps or self.steps(task.ipc))
        for group in state.optimizers["synthetic"].param_groups:
            group["lr"] = group["initial_lr"] * (FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * done)) / 2)
        synthetic = state.synthetic
        assert isinstance(synthetic, Curriculum)
        with torch.no_grad():
            images = torch.cat([made for made, _ in _passes(synthetic.generated)])
        images.requires_grad_()
        network, labels = Stateless(state.network.train()), synthetic.labels
        batches = torch.tensor(in_turn(task.counts, self.per_step), device=task.device).split(
            self.per_step * task.spec.num_classes
        )

        def loss(weights: Weights, step: int) -> Tensor:
            batch = batches[step % len(batches)]
            with rng.fork("layers", step).seeded(task.device):
                return F.cross_entropy(network(weights, images[batch]), labels[batch])

        rates, momenta = synthetic.schedule.detach().exp().tolist()
        require_rates(rates, state.step, f"choose less than --code-lr {self.code_lr:g}")
        descent = descend_with_momentum(loss, network.weights(), rates, momenta)
        value, ends = self._judged(task, network, descent, images, rng)
        require_good_end(value, rates)
        (by_image,), *by_schedule = reverse_with_momentum(loss, descent, rates, momenta, ends, [images])
        found = _through_generator(synthetic.generated, by_image)
        by_log = torch.stack(by_schedule) * synthetic.schedule.detach().exp()
        yield term(value, state.leaves(), [*found, by_log])

    def advance(self, task: Task, state: State, rng: Rng) -> State:
        return state.next(task.new_network(rng.fork("network")))

    def training(self, task: Task, state: State) -> dict[str, Any]:
        """Gradient descent through the images in their order, each step at its learned rate and momentum."""
        assert isinstance(state.synthetic, Curriculum)
        rates, momenta = state.synthetic.schedule.detach().exp().tolist()
        rates, momenta = recordable(rates), recordable(momenta, MOST_MOMENTUM)
        return Recipe(
            self.passes,
            lr=rates[0],
            momentum=min(1.0, momenta[0]),
            weight_decay=0.0,
            batch_size=self.per_step * task.spec.num_classes,
            rates=rates,
            momenta=momenta,
            order=tuple(in_turn(task.counts, self.per_step)),
        ).to_json()

    def _judged(
        self, task: Task, network: Stateless, descent: Descent, images: Tensor, rng: Rng
    ) -> tuple[Tensor, dict[int, Weights]]:
        """The losses on real images along the training, summed, and the gradient of each by its weights."""
        steps = len(descent.points) - 1
        along = range(1, steps) if self.judged == "every" else ()
        total, ends = images.new_zeros(()), {}
        network.network.train(bool(batch_norms(network.network)))  # whose statistics nothing has measured
        for step in (*along, steps):
            real, classes = task.real_batch(self.real_batch, rng.fork("judged", step))
            value, ends[step], _ = outer_gradient(
                network, descent.points[step], real.to(images), classes, task.chunk
            )
            total = total + value
        network.network.train()
        return total, ends

    def _require_room(self, task: Task) -> None:
        """Raises BadInput where generator and codes do not fit, with their gradients and Adam's two means."""
        sizes = {"codes": sum(task.counts), "length": self.code_length, "width": self.generator_width}
        blocks = default_blocks(*task.spec.shape[1:])
        shapes = stored_shapes(task.spec, blocks=blocks, **sizes).values()
        needed, there = 4 * 4 * sum(map(math.prod, shapes)), device_memory(task.device)
        if needed > there:
            raise BadInput(
                f"--generator-width {self.generator_width:,} with --code-length {self.code_length:,} takes "
                f"{readable_bytes(needed)} to learn on {task.device}, which has {readable_bytes(there)}: choose less"
            )

    def _unrolled(self, task: Task) -> int:
        """Steps of the unrolled training."""
        return steps_in_turn(task.counts, self.per_step, self.passes)


@torch.no_grad()
def _measure(network: GeneratorNetwork, codes: Tensor, classes: Tensor) -> None:
    """Give the norms of a generator the statistics of these codes, which make its first images of unit size or so."""
    for norm in network.norms:
        cast(nn.BatchNorm2d, norm).momentum = 1.0
    network.train()(codes, classes)


def _passes(generated: Generated) -> Iterator[tuple[Tensor, slice]]:
    """The images in parts, each with its place among all."""
    labels = generated.labels
    for begin in range(0, len(labels), _PASS):
        part = slice(begin, begin + _PASS)
        yield generated.of_codes(generated.codes[part], labels[part]), part


def _through_generator(generated: Generated, by_image: Tensor) -> list[Tensor]:
    """The gradient by the leaves of a generator, of one by its images (M, C, H, W)."""
    leaves = list(generated.leaves().values())
    total = [torch.zeros_like(leaf) for leaf in leaves]
    for images, part in _passes(generated):
        found = torch.autograd.grad(images, leaves, by_image[part], materialize_grads=True)
        for so_far, more in zip(total, found, strict=True):
            so_far += more
    return total
