"""The loop that runs any method: one step after the other, guarded against values that are not finite."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from condensery.errors import FailedWork
from condensery.method import Method, Preparation, State, Task
from condensery.provenance import peak_memory
from condensery.rng import Rng
from condensery.synthetic import Content
from condensery.team import Team


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
        if task.team.size > 1 and method.splits == "terms":  # type: ignore[attr-defined]
            terms = _of_all(task.team, leaves, terms)
        loss = _update(state, terms, f"a smaller --{_rate(method)} often helps") if terms else 0.0
        return method.advance(task, state, rng.fork("advance")), loss


def trajectory(
    method: Method, task: Task, state: State, rng: Rng, steps: int
) -> Iterator[tuple[State, float]]:
    """The states and losses of the steps from `state.step` up to `steps`, unless the first process ends them before."""
    while state.step < steps and task.team.goes_on():
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


def _of_all(team: Team, leaves: Sequence[torch.Tensor], terms: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The terms of all processes; the gradients of the leaves become those of their sum."""
    for leaf in leaves:
        leaf.grad = team.summed(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad)
    return team.in_order(terms)


def _make_dense(leaves: list[torch.Tensor]) -> None:
    """The first term of many images leaves a sparse gradient, to which those of the other terms can be added."""
    for leaf in leaves:
        if leaf.grad is not None and leaf.grad.is_sparse:
            leaf.grad = leaf.grad.to_dense()


def _rate(method: Method) -> str:
    """The flag of the rate at which the set is learned: of images, or the last one named of what it is made of."""
    rates = [name for name in method.__dataclass_fields__ if name in _RATES]
    return (rates or [_RATES[0]])[-1].replace("_", "-")


def _update(state: State, terms: Sequence[torch.Tensor], fix: str) -> float:
    """Update the leaves, or leave them and their optimiser as they are if anything is not finite. Returns the loss.

    Reading a number from a GPU waits until all that was asked of it is done, so what has to be known of a step is read
    at once, after the update.
    """
    leaves, optimizer = state.leaves(), state.optimizers["synthetic"]
    before, slots = [leaf.detach().clone() for leaf in leaves], copy.deepcopy(optimizer.state_dict())
    slopes = _extremes(leaf.grad for leaf in leaves if leaf.grad is not None)
    optimizer.step()
    losses, slopes, updated = _read(list(terms), slopes, _extremes(leaves))
    if problem := _problem(losses, slopes, updated):
        with torch.no_grad():
            for leaf, old in zip(leaves, before, strict=True):
                leaf.copy_(old)
        optimizer.load_state_dict(slots)
        raise NonFinite(f"step {state.step}: {problem}; {fix}")
    return sum(losses)


def _problem(losses: list[float], slopes: list[float], updated: list[float]) -> str | None:
    """What of a step is not finite, the first thing that went wrong; None if all is."""
    for i, term in enumerate(losses):
        if not math.isfinite(term):
            return f"term {i + 1} of {len(losses)} of the loss is {term}"
    if not all(map(math.isfinite, slopes)):
        return "the loss is finite but its gradient is not"
    return None if all(map(math.isfinite, updated)) else "the update makes images that are not finite"


def _extremes(tensors: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """The least and the greatest value of each, one of which is not finite where any value is not."""
    return [extreme for tensor in tensors for extreme in torch.aminmax(tensor.detach())]


def _read(*groups: list[torch.Tensor]) -> list[list[float]]:
    """The numbers in groups of scalars, all of which come to the CPU at once."""
    device = groups[0][0].device
    values = torch.stack([scalar.to(device, torch.float64) for group in groups for scalar in group]).tolist()
    return [[values.pop(0) for _ in group] for group in groups]
