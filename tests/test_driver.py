"""The loop that runs any method."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import condensery
from condensery import Method, Rng, State, Task, driver, get_method
from condensery.method import State as StateType
from condensery.synthetic import Pixels

RNG = Rng(2)
Maker = Callable[..., Any]


@dataclass(frozen=True)
class Shrink:
    """A method made by hand: half the squared norm of each class; `spoil` changes a term on the way."""

    name: ClassVar[str] = "shrink"
    summary: ClassVar[str] = "pulls images to zero"
    image_lr: float = 0.1
    momentum: float = 0.0
    spoil: Callable[[int, int, Tensor], Tensor] = field(default=lambda step, c, term: term, compare=False)

    def steps(self, ipc: int) -> int:
        return 3

    def check(self, task: Task) -> list[str]:
        return []

    def start(self, task: Task, rng: Rng) -> State:
        synthetic = Pixels.start(task.pool, task.counts, "noise", rng.fork("images"))
        optimizer = torch.optim.SGD(synthetic.leaves().values(), self.image_lr, self.momentum)
        return StateType.of(synthetic, optimizer, task.new_network(rng))

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        for c in task.classes:
            yield self.spoil(state.step, c, state.synthetic.of_class(c).square().sum() / 2)

    def advance(self, task: Task, state: State, rng: Rng) -> State:
        return state.next(state.network)


def test_two_momentum_steps_by_hand(make_task: Maker) -> None:
    """Gradient x, lr .1, momentum .5: 1 -> .9 -> .9 - .1 * (.9 + .5 * 1) = .76."""
    method, task = Shrink(momentum=0.5), make_task()
    state = driver.begin(method, task, RNG)
    first = state.synthetic.images.detach().clone()
    losses = [loss for _, loss in driver.trajectory(method, task, state, RNG, 2)]
    torch.testing.assert_close(state.synthetic.images.detach(), 0.76 * first)
    assert losses == pytest.approx([float(first.square().sum()) / 2 * f**2 for f in (1, 0.9)], rel=1e-5)


@pytest.mark.parametrize("name", ["dm", "dc", "dsa", "dcc"])
def test_term_by_term_equals_the_joint_backward(name: str, quick_method: Maker, make_task: Maker) -> None:
    method, task = quick_method(name), make_task()
    state = driver.begin(method, task, RNG)
    joint = torch.stack(list(method.terms(task, state, RNG))).sum()
    (expected,) = torch.autograd.grad(joint, state.leaves())
    for term in method.terms(task, state, RNG):
        term.backward(inputs=state.leaves())
    gradient = state.synthetic.images.grad
    assert gradient is not None
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-7)


def test_loss_is_the_sum_of_the_terms(quick_method: Maker, make_task: Maker) -> None:
    method, task = quick_method("dm"), make_task()
    state = driver.begin(method, task, RNG)
    terms = [float(t.detach()) for t in method.terms(task, state, RNG.fork("step", 0))]
    _, loss = driver.advance(method, task, driver.begin(method, task, RNG), RNG)
    assert loss == pytest.approx(sum(terms))


def nan_at(step: int, c: int) -> Callable[[int, int, Tensor], Tensor]:
    return lambda s, k, term: term * math.nan if (s, k) == (step, c) else term


def test_a_term_that_is_not_finite_stops_with_step_and_cause(make_task: Maker) -> None:
    method, task = Shrink(spoil=nan_at(2, 1)), make_task()
    state = driver.begin(method, task, RNG)
    steps = driver.trajectory(method, task, state, RNG, 5)
    next(steps), next(steps)
    good = state.synthetic.images.detach().clone()
    with pytest.raises(
        driver.NonFinite, match=r"step 2: term 2 of 3 of the loss is nan; a smaller --image-lr"
    ):
        next(steps)
    assert torch.equal(state.synthetic.images.detach(), good)


def test_a_gradient_that_is_not_finite_stops(make_task: Maker) -> None:
    """sqrt(0) has a finite value and an infinite slope."""
    zero = Shrink(spoil=lambda s, c, term: (term * 0).sqrt())
    state = driver.begin(zero, make_task(), RNG)
    good = state.synthetic.images.detach().clone()
    with pytest.raises(driver.NonFinite, match="step 0: the loss is finite but its gradient is not"):
        driver.advance(zero, make_task(), state, RNG)
    assert torch.equal(state.synthetic.images.detach(), good)


def test_an_update_that_is_not_finite_is_undone(make_task: Maker) -> None:
    method = Shrink(image_lr=1e38, spoil=lambda s, c, term: term * 1e6)
    state = driver.begin(method, make_task(), RNG)
    good = state.synthetic.images.detach().clone()
    with pytest.raises(driver.NonFinite, match="step 0: the update makes images that are not finite"):
        driver.advance(method, make_task(), state, RNG)
    assert torch.equal(state.synthetic.images.detach(), good)


@pytest.mark.parametrize(
    ("image_lr", "spoil"),
    [(0.1, nan_at(2, 1)), (1e38, lambda s, c, term: term * (1e6 if s == 2 else 1e-38))],
    ids=["loss", "update"],
)
def test_the_optimiser_is_as_it_was_too(
    make_task: Maker, image_lr: float, spoil: Callable[[int, int, Tensor], Tensor]
) -> None:
    """A checkpoint after a failure goes on from the bits before it."""
    method, task = Shrink(image_lr=image_lr, momentum=0.5, spoil=spoil), make_task()
    state = driver.begin(method, task, RNG)
    steps = driver.trajectory(method, task, state, RNG, 5)
    next(steps), next(steps)
    good = {name: tensor.clone() for name, tensor in state.tensors().items()}
    with pytest.raises(driver.NonFinite, match="step 2"):
        next(steps)
    after = state.tensors()
    assert any("momentum" in name for name in good) and good.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in good.items())


def test_a_step_is_read_from_the_device_once(make_task: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every number that is read from a GPU waits for all that was asked of it."""
    reads: list[str] = []

    class Reads(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.ops.aten._local_scalar_dense.default:  # item(), float(), bool()
                reads.append(str(func))
            return func(*args, **(kwargs or {}))

    whole = Tensor.tolist
    monkeypatch.setattr(Tensor, "tolist", lambda tensor: reads.append("tolist") or whole(tensor))
    method, task = Shrink(momentum=0.5), make_task()
    with Reads():
        state, loss = driver.advance(method, task, driver.begin(method, task, RNG), RNG)
    assert reads == ["tolist"]
    assert loss > 0 and state.step == 1


@pytest.mark.parametrize("image_lr", [1e30, 3e38])
def test_the_last_good_set_is_kept_on_disk(tiny_file: Path, tmp_path: Path, image_lr: float) -> None:
    method = get_method("dm", image_lr=image_lr, real_batch=8)
    kept = []
    with pytest.raises(driver.NonFinite, match=r"step \d: .*; the set after step \d is kept in") as caught:
        condensery.condense(
            tiny_file,
            method,
            network="convnet+width=8+depth=2",
            steps=20,
            device="cpu",
            out=tmp_path / "run",
            callback=lambda report: kept.append(report.synthetic.images.detach().clone()),
        )
    assert caught.value.exit_code == 1
    saved = condensery.load(tmp_path / "run")
    assert saved.record["step"] == len(kept)
    if kept:
        assert torch.equal(saved.images, kept[-1])


@pytest.mark.parametrize("name", ["dm", "dc", "dsa", "dcc"])
def test_estimate_changes_nothing(name: str, quick_method: Maker, make_task: Maker) -> None:
    method: Method = quick_method(name)
    task: Task = make_task()
    state = driver.begin(method, task, RNG)
    before = {key: tensor.clone() for key, tensor in state.tensors().items()}
    generator = torch.get_rng_state()
    cost = driver.estimate(method, task, RNG, 100)
    assert all(torch.equal(before[key], tensor) for key, tensor in state.tensors().items())
    assert before.keys() == state.tensors().keys()
    assert torch.equal(generator, torch.get_rng_state())
    assert 0 < cost.seconds < 600
    assert 2**20 < cost.bytes < 2**40


def test_a_trajectory_starts_where_the_state_is(make_task: Maker) -> None:
    method, task = Shrink(), make_task()
    state = driver.begin(method, task, RNG)
    *_, (later, _loss) = driver.trajectory(method, task, state, RNG, 2)
    assert [s.step for s, _ in driver.trajectory(method, task, later, RNG, 5)] == [3, 4, 5]
    assert list(driver.trajectory(method, task, later, RNG, 1)) == []


@pytest.mark.parametrize("factor", [1, 2])
def test_sparse_gradients_of_many_images_give_the_same_bits(
    factor: int, quick_method: Maker, make_task: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class's gradient is zero for all other classes: leaving that out changes nothing but the work."""
    method, task, results = quick_method("dm", factor=factor), make_task(), []
    for many in (2**40, 0):
        monkeypatch.setattr("condensery.synthetic.pixels._MANY", many)
        state = driver.begin(method, task, RNG)
        steps = list(driver.trajectory(method, task, state, RNG, 3))
        results.append((steps[-1][0].tensors(), [loss for _, loss in steps]))
        (leaf,) = state.leaves()
        assert leaf.grad is not None and not leaf.grad.is_sparse
    (plain, losses), (sparse, sparse_losses) = results
    assert losses == sparse_losses and all(sparse[name].equal(tensor) for name, tensor in plain.items())
