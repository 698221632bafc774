"""The loop that runs any method: one step after the other, guarded against values that are not finite."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from condensery.errors import FailedWork
from condensery.method import Method, Preparation, State, Task
from condensery.provenance import peak_memory
from condensery.records import all_finite
from condensery.rng import Rng
from condensery.synthetic import Content


class NonFinite(FailedWork):
    """A loss or gradient stopped being finite; the synthetic images are as they were before that step."""


_RATES = ("image_lr", "label_lr", "code_lr", "generator_lr")  # fields of methods


@dataclass(frozen=True)
class Estimate:
    """What a run will cost, measured on one step that is thrown away.

    Attributes:
        seconds: for all steps.
        bytes: peak memory of the process so far, or of the GPU.
    """

    seconds: float
    bytes: int


def source(seed: int) -> Rng:
    """The randomness of a run with this seed."""
    return Rng(seed).fork("condense")


def preparation(method: Method, task: Task, rng: Rng) -> Preparation | None:
    """What has to be made before `begin`; None if there is nothing of the kind."""
    needed = getattr(method, "preparation", None)
    return needed(task, rng.fork("start")) if needed else None


def begin(method: Method, task: Task, rng: Rng) -> State:
    """The state before the first step."""
    return method.start(task, rng.fork("start"))


def content(method: Method, task: Task, state: State) -> Content:
    """What is evaluated and saved at this state, with the method's word on how it is trained."""
    found, training = state.synthetic.content(), getattr(method, "training", None)
    return replace(found, training=training(task, state)) if training else found


def advance(method: Method, task: Task, state: State, rng: Rng) -> tuple[State, float]:
    """One update of the synthetic set. Draws depend on the seed and on `state.step` alone.

    Each term is backpropagated as it arrives, which is the gradient of the sum with the memory of one term. A method
    without terms has nothing to minimise: all it does is in its `advance`.

    Returns:
        The next state and the loss: the sum of the terms, 0 if there are none.

    Raises:
        NonFinite: the synthetic images are as they were.
    """
    rng = rng.fork("step", state.step)
    leaves = state.leaves()
    for leaf in leaves:
        leaf.grad = None
    terms: list[torch.Tensor] = []
    with rng.fork("layers").seeded(task.device):  # for networks with layers that draw, such as dropout
        for term in method.terms(task, state, rng):
            term.backward(inputs=leaves)
            _make_dense(leaves)
            terms.append(term.detach())
        losses = torch.stack(terms).tolist() if terms else []
        fix = f"a smaller --{_rate(method)} often helps"
        _require_finite(losses, leaves, state.step, fix)
        if terms:
            _update(state, leaves, fix)
        return method.advance(task, state, rng.fork("advance")), sum(losses)


def trajectory(
    method: Method, task: Task, state: State, rng: Rng, steps: int
) -> Iterator[tuple[State, float]]:
    """The states and losses of the steps from `state.step` up to `steps`."""
    while state.step < steps:
        state, loss = advance(method, task, state, rng)
        yield state, loss


def estimate(method: Method, task: Task, rng: Rng, steps: int) -> Estimate:
    """Time two steps of a throw-away run, the first of which warms up, and scale; see that there is room to save it."""
    state = begin(method, task, rng)
    state, _ = advance(method, task, state, rng)
    started = time.perf_counter()
    advance(method, task, state, rng)
    if task.device.type == "cuda":
        torch.cuda.synchronize(task.device)
    seconds = time.perf_counter() - started
    images = len(state.synthetic.labels) * math.prod(task.spec.shape)
    torch.empty(
        2 * images
    )  # to save: a copy of the images, and one to check; refused here where it cannot be had
    return Estimate(seconds * steps, peak_memory(task.device))


def _make_dense(leaves: list[torch.Tensor]) -> None:
    """The first term of many images leaves a sparse gradient, to which those of the other terms can be added."""
    for leaf in leaves:
        if leaf.grad is not None and leaf.grad.is_sparse:
            leaf.grad = leaf.grad.to_dense()


def _rate(method: Method) -> str:
    """The flag of the rate at which the set is learned: of images, or the last one named of what it is made of."""
    rates = [name for name in method.__dataclass_fields__ if name in _RATES]
    return (rates or [_RATES[0]])[-1].replace("_", "-")


def _update(state: State, leaves: list[torch.Tensor], fix: str) -> None:
    """Update the leaves, or leave them as they are if an update would not be finite."""
    before = [tensor.detach().clone() for tensor in leaves]
    state.optimizers["synthetic"].step()
    if all(all_finite(tensor) for tensor in leaves):
        return
    with torch.no_grad():
        for tensor, old in zip(leaves, before, strict=True):
            tensor.copy_(old)
    raise NonFinite(f"step {state.step}: the update makes images that are not finite; {fix}")


def _require_finite(terms: list[float], leaves: list[torch.Tensor], step: int, fix: str) -> None:
    for i, term in enumerate(terms):
        if not math.isfinite(term):
            raise NonFinite(f"step {step}: term {i + 1} of {len(terms)} of the loss is {term}; {fix}")
    for tensor in leaves:
        if tensor.grad is not None and not all_finite(tensor.grad):
            raise NonFinite(f"step {step}: the loss is finite but its gradient is not; {fix}")
