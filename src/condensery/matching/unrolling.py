"""Unrolled training: gradient descent as a function of what it learns from, differentiated step by step in reverse.

Of all steps only the weights are kept, and the graph of one step at a time: memory grows by one copy of the weights a
step. The gradient is exact: that of backpropagation through the whole training.

Source: Wang et al., "Dataset Distillation", 2018, arXiv 1811.10959, section 3 and `train_distilled_image.py` of its
authors, after Domke, "Generic methods for optimization-based modeling", AISTATS 2012, and Maclaurin et al., ICML 2015.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from condensery.errors import BadInput, FailedWork
from condensery.models.custom import trainable
from condensery.text import count, readable_bytes
from condensery.training import chunk_for

Weights = tuple[Tensor, ...]
"""The trainable parameters of a network, in the order of `network.parameters()`."""
StepLoss = Callable[[Weights, int], Tensor]
"""(weights, number of the step) -> the loss that this step of the training descends; the same whenever it is asked."""


MOST_RATE, MOST_MOMENTUM = 1e6, 10.0  # that a recipe can hold
_SLOWER = "begin with a smaller one, or learn it more slowly"


class Diverged(FailedWork):
    """Unrolled training whose loss is no longer finite."""


class Stateless:
    """A network as a function of its trainable weights. Buffers, such as batch norm's, are never changed."""

    def __init__(self, network: nn.Module) -> None:
        """Raises BadInput if nothing of `network` is trainable."""
        trainable(network)
        self.network = network
        self._names = [name for name, p in network.named_parameters() if p.requires_grad]

    def weights(self) -> Weights:
        """Its own weights as they are: copies."""
        return tuple(p.detach().clone() for p in trainable(self.network))

    def __call__(self, weights: Weights, *args: Tensor) -> Tensor:
        """What the network gives with these weights."""
        buffers = {name: buffer.clone() for name, buffer in self.network.named_buffers()}
        return functional_call(self.network, dict(zip(self._names, weights, strict=True)) | buffers, args)


def descend(loss: StepLoss, weights: Weights, rates: Sequence[float]) -> list[Weights]:
    """The weights before each step of plain gradient descent and after the last, len(rates) + 1 in all, detached.

    Raises:
        Diverged: a loss is not finite.
    """
    points, losses = [tuple(w.detach() for w in weights)], []
    for step, rate in enumerate(rates):
        here = _leaves(points[-1])
        value = loss(here, step)
        losses.append(value.detach())
        gradients = torch.autograd.grad(value, here, materialize_grads=True)
        points.append(tuple(w.detach() - rate * g for w, g in zip(here, gradients, strict=True)))
    _require_finite(losses, rates)
    return points


@dataclass(frozen=True)
class Reverse:
    """What a function of the last weights says of what the training was made of.

    Attributes:
        leaves: its gradient by each of the leaves, in their order.
        rates: its derivative by each step's learning rate, (steps,).
        weights: its gradient by the first weights.
    """

    leaves: list[Tensor]
    rates: Tensor
    weights: Weights


def reverse(
    loss: StepLoss,
    points: Sequence[Weights],
    rates: Sequence[float],
    last: Weights,
    leaves: Sequence[Tensor],
    *,
    through_weights: bool = True,
) -> Reverse:
    """Differentiate `descend` from its last step to its first.

    Args:
        loss: that which was descended.
        points: what `descend` gave.
        rates: those that it was given.
        last: gradient of the function by the last weights.
        leaves: what the losses are made of, each with `requires_grad`.
        through_weights: False holds the gradient by the weights as it is at the last step: what a step does to the
            weights of the next one is left out (TESLA).
    """
    by_leaf = [torch.zeros_like(leaf) for leaf in leaves]
    by_rate = torch.zeros(len(rates), dtype=last[0].dtype, device=last[0].device)
    by_weights = last
    for step in reversed(range(len(rates))):
        here = _leaves(points[step])
        gradients = torch.autograd.grad(loss(here, step), here, create_graph=True, materialize_grads=True)
        product = _inner(gradients, by_weights)
        by_rate[step] = -product.detach()
        wanted = [*leaves, *here] if through_weights else list(leaves)
        # A step that the loss leaves out, or a linear one, has no second derivatives.
        found = _second(product, wanted)
        for total, gradient in zip(by_leaf, found, strict=False):
            total -= rates[step] * gradient
        if through_weights:
            pairs = zip(by_weights, found[len(leaves) :], strict=True)
            by_weights = tuple(v - rates[step] * h for v, h in pairs)
    return Reverse(by_leaf, by_rate, by_weights)


@dataclass(frozen=True)
class Descent:
    """Training with momentum, step by step.

    Attributes:
        points: weights before each step and after the last.
        velocities: what each step moved against, and zeros before the first: one for each of `points`.
    """

    points: list[Weights]
    velocities: list[Weights]


def descend_with_momentum(
    loss: StepLoss, weights: Weights, rates: Sequence[float], momenta: Sequence[float]
) -> Descent:
    """Gradient descent in which a step's velocity is its momentum times the last one plus the gradient.

    Raises:
        Diverged: a loss is not finite.
    """
    found = Descent([tuple(w.detach() for w in weights)], [tuple(torch.zeros_like(w) for w in weights)])
    losses = []
    for step, (rate, momentum) in enumerate(zip(rates, momenta, strict=True)):
        here = _leaves(found.points[-1])
        value = loss(here, step)
        losses.append(value.detach())
        gradients = torch.autograd.grad(value, here, materialize_grads=True)
        velocity = tuple(momentum * v + g for v, g in zip(found.velocities[-1], gradients, strict=True))
        found.points.append(tuple(w.detach() - rate * v for w, v in zip(here, velocity, strict=True)))
        found.velocities.append(velocity)
    _require_finite(losses, rates)
    return found


def reverse_with_momentum(
    loss: StepLoss,
    descent: Descent,
    rates: Sequence[float],
    momenta: Sequence[float],
    ends: Mapping[int, Weights],
    leaves: Sequence[Tensor],
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Differentiate `descend_with_momentum` from its last step to its first.

    Args:
        loss: that which was descended.
        ends: of a function of weights along the way, its gradient by the weights after so many steps.
        leaves: what the losses are made of, each with `requires_grad`.

    Returns:
        The function's gradient by each of the leaves, and its derivatives by rates and by momenta, (steps,).
    """
    by_leaf = [torch.zeros_like(leaf) for leaf in leaves]
    zeros = descent.velocities[0]
    by_rate, by_momentum = (zeros[0].new_zeros(len(rates)) for _ in range(2))
    by_weights, by_velocity = zeros, zeros
    for step in reversed(range(len(rates))):
        if step + 1 in ends:
            by_weights = tuple(a + b for a, b in zip(by_weights, ends[step + 1], strict=True))
        by_rate[step] = -_inner(by_weights, descent.velocities[step + 1])
        through = tuple(b - rates[step] * a for a, b in zip(by_weights, by_velocity, strict=True))
        by_momentum[step] = _inner(through, descent.velocities[step])
        here = _leaves(descent.points[step])
        gradients = torch.autograd.grad(loss(here, step), here, create_graph=True, materialize_grads=True)
        found = _second(_inner(gradients, through), [*leaves, *here])
        for total, gradient in zip(by_leaf, found, strict=False):
            total += gradient
        by_weights = tuple(a + h for a, h in zip(by_weights, found[len(leaves) :], strict=True))
        by_velocity = tuple(momenta[step] * u for u in through)
    return by_leaf, by_rate, by_momentum


def in_turn(counts: Sequence[int], per_step: int) -> list[int]:
    """The class-major images in the order of the steps: the first `per_step` of each class, the next, ..."""
    before = [sum(counts[:c]) for c in range(len(counts))]
    places = ((k // per_step, c, k) for c, number in enumerate(counts) for k in range(number))
    return [before[c] + k for _, c, k in sorted(places)]


def steps_in_turn(counts: Sequence[int], per_step: int, passes: int) -> int:
    """Steps of so many passes over images that are used `per_step` of each class at a time."""
    return passes * math.ceil(sum(counts) / (per_step * len(counts)))


def outer_gradient(
    function: Stateless, weights: Weights, images: Tensor, labels: Tensor, chunk: int | None = None
) -> tuple[Tensor, Weights, Tensor]:
    """What the last weights are worth on real images.

    Args:
        images: (B, C, H, W).
        labels: int64 (B,).
        chunk: images per pass, None for all at once.

    Returns:
        The mean cross entropy (), its gradient by the weights, and the share of images that are classified wrongly ().
    """
    size = chunk_for(function.network, chunk) or len(images)
    here = _leaves(weights)
    total, wrong = torch.zeros((), device=images.device), torch.zeros((), device=images.device)
    gradients = tuple(torch.zeros_like(w) for w in here)
    for part, classes in zip(images.split(size), labels.split(size), strict=True):
        logits = function(here, part)
        loss = F.cross_entropy(logits, classes, reduction="sum") / len(images)
        for sum_so_far, more in zip(
            gradients, torch.autograd.grad(loss, here, materialize_grads=True), strict=True
        ):
            sum_so_far += more
        total, wrong = total + loss.detach(), wrong + (logits.argmax(1) != classes).sum()
    return total, gradients, wrong / len(images)


def term(value: Tensor, leaves: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """A term of an objective with a value and gradients by `leaves` that are known already."""
    return _Known.apply(value.detach(), list(gradients), *leaves)


class _Known(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: list[Tensor], *leaves: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(gradient * outputs[0] for gradient in ctx.gradients)


def _leaves(weights: Weights) -> Weights:
    return tuple(w.detach().requires_grad_() for w in weights)


def _inner(one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    return torch.stack([(a * b).sum() for a, b in zip(one, other, strict=True)]).sum()


def _second(product: Tensor, wanted: Sequence[Tensor]) -> list[Tensor]:
    if not product.requires_grad:
        return [torch.zeros_like(tensor) for tensor in wanted]
    return list(torch.autograd.grad(product, wanted, materialize_grads=True))


def _require_finite(losses: Sequence[Tensor], rates: Sequence[float]) -> None:
    """Of all steps at once, after the last: reading a number from a GPU waits for it."""
    for step, loss in enumerate(torch.stack(list(losses)).tolist() if losses else []):
        if not math.isfinite(loss):
            raise Diverged(
                f"unrolled training diverges: its loss is {loss:g} at step {step + 1} of {len(rates)}, "
                f"with a learned rate of {rates[max(0, step - 1)]:.3g}: {_SLOWER}"
            )


def require_good_end(value: Tensor, rates: Sequence[float]) -> None:
    """Raises Diverged where what the last weights are worth, (), is not finite."""
    if not bool(torch.isfinite(value)):
        steps = count(len(rates), "step")
        raise Diverged(
            f"unrolled training diverges: what it is judged by is {float(value):g} after {steps}, with a learned rate "
            f"of {max(rates):.3g}: {_SLOWER}"
        )


def require_rates(rates: Sequence[float], step: int, fix: str) -> None:
    """Raises FailedWork where a learned rate has left [0, 1e6], before update `step`."""
    for rate in rates:
        if not 0 <= rate <= MOST_RATE:
            raise FailedWork(f"step {step}: the learned rate became {rate:.3g}: {fix}")


def recordable(rates: Sequence[float], most: float = MOST_RATE) -> tuple[float, ...]:
    """Learned rates, or momenta, as a recipe can hold them; the next update refuses others."""
    return tuple(min(most, max(0.0, rate)) if rate == rate else 0.0 for rate in rates)


# ---- memory


def require_fits(
    network: nn.Module,
    shape: Sequence[int],
    batch: int,
    steps: int,
    device: torch.device,
    fix: str,
    copies: int = 1,
) -> int:
    """Bytes that unrolling takes: the weights of each step, and the graph of one.

    Args:
        network: on the CPU, as it will be unrolled.
        shape: (C, H, W) of an image.
        batch: images per step.
        fix: what to do about too many steps, such as "choose fewer --epochs".
        copies: of the weights' size that are kept for each step.

    Raises:
        BadInput: the device has less memory.
    """
    weights = copies * sum(p.numel() * p.element_size() for p in trainable(network))
    graph = batch * graph_bytes(network, shape)
    needed, there = (steps + 1) * weights + graph, device_memory(device)
    if needed > there:
        fitting = max(0, math.floor((there - graph) / weights) - 1)
        raise BadInput(
            f"{steps:,} unrolled steps of {batch:,} images take {readable_bytes(needed)} on {device}, which has "
            f"{readable_bytes(there)}: {fitting:,} steps would fit; {fix}, or choose a smaller network"
        )
    return needed


def graph_bytes(network: nn.Module, shape: Sequence[int]) -> int:
    """Bytes that the graph of a step's second derivatives keeps for each image, as measured on two and on one."""
    sizes = [_saved_bytes(network, torch.zeros(count, *shape)) for count in (1, 2)]
    return max(1, sizes[1] - sizes[0])


def _saved_bytes(network: nn.Module, images: Tensor) -> int:
    function, kept = Stateless(network), {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor  # held, so that no other gets its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        weights = _leaves(function.weights())
        value = function(weights, images).square().sum()
        _ = torch.autograd.grad(value, weights, create_graph=True, materialize_grads=True)
    return sum(tensor.nbytes for tensor in kept.values())


def device_memory(device: torch.device) -> int:
    """Bytes of memory that a device has in all."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
