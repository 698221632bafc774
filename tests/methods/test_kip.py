"""KIP: the kernels against wide random networks and by hand, the objective, its gradient where images are alike."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

import condensery
from condensery import BadInput, Rng, driver, get_method
from condensery.errors import FailedWork
from condensery.matching.infinite import fully_connected_kernel

RNG = Rng(4)


def images(count: int, seed: int = 0) -> Tensor:
    with RNG.fork(seed).seeded():
        return torch.randn(count, 5).double()


def wide_network(x: Tensor, depth: int, width: int, rng: Rng) -> tuple[Tensor, list[Tensor]]:
    """Outputs (n,) of a random network of weights N(0, 2 / inputs) and biases N(0, 0.01), and what it was drawn of."""
    with rng.seeded():
        sizes = [x.shape[1], *[width] * depth, 1]
        drawn = []
        for shape in ((size, after)[start:] for size, after in pairwise(sizes) for start in (0, 1)):
            drawn.append(torch.randn(shape).double().requires_grad_())
        for k in range(depth + 1):
            if k:
                x = x.relu()
            x = math.sqrt(2 / x.shape[1]) * x @ drawn[2 * k] + 0.1 * drawn[2 * k + 1]
    return x[:, 0], drawn


@pytest.mark.parametrize("depth", [1, 2])
def test_ntk_is_that_of_a_wide_network(depth: int) -> None:
    """Inner products of its gradients by all that it was drawn of: mean of 8 networks 1,000 wide, to 5 %."""
    x, total = images(3), torch.zeros(3, 3).double()
    for seed in range(8):
        out, drawn = wide_network(x, depth, 1000, RNG.fork("network", seed))
        rows = [
            torch.cat([g.flatten() for g in torch.autograd.grad(o, drawn, retain_graph=True)]) for o in out
        ]
        total += torch.stack(rows) @ torch.stack(rows).T / 8
    gap = (fully_connected_kernel(x, x, "ntk", depth) - total).abs().max()
    assert gap < 0.05 * total.max()


@pytest.mark.parametrize("depth", [1, 2])
def test_nngp_is_the_covariance_of_wide_networks(depth: int) -> None:
    """Mean product of the outputs of 4,000 networks 100 wide, within 4 standard errors."""
    x = images(3)
    with torch.no_grad():
        outs = torch.stack([wide_network(x, depth, 100, RNG.fork("network", s))[0] for s in range(4000)])
    products = outs[:, :, None] * outs[:, None, :]
    error = products.std(0) / math.sqrt(4000)
    assert ((fully_connected_kernel(x, x, "nngp", depth) - products.mean(0)).abs() < 4 * error + 0.02).all()


def test_kernels_by_hand() -> None:
    """One pixel, 1 against 1, -1 and 0, one hidden layer; variances 2 and .01.

    Of an image with itself: 2 + .01 = 2.01 goes in and 2.01 + .01 comes out; the NTK adds 2.01. Of 1 and -1 the
    correlation is -1.99 / 2.01.
    """
    x = torch.tensor([[1.0], [-1.0]]).double()
    nngp, ntk = (fully_connected_kernel(x[:1], x, kind, 1) for kind in ("nngp", "ntk"))
    assert nngp[0, 0].item() == pytest.approx(2.02) and ntk[0, 0].item() == pytest.approx(4.03)
    angle = math.acos(-1.99 / 2.01)
    between = 2.01 * (math.sin(angle) + (math.pi - angle) * math.cos(angle)) / math.pi + 0.01
    assert nngp[0, 1].item() == pytest.approx(between)
    assert ntk[0, 1].item() == pytest.approx(between - 1.99 * (math.pi - angle) / math.pi)


@pytest.mark.parametrize("kernel", ["ntk", "nngp"])
def test_gradients_are_those_of_finite_differences(kernel: str) -> None:
    one, other = images(3).requires_grad_(), images(4, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: fully_connected_kernel(a, b, kernel, 2), (one, other))
    alike = fully_connected_kernel(one, one, kernel, 2)  # an image and itself: an angle of zero
    (gradient,) = torch.autograd.grad(alike.diagonal().sum(), one)
    moved = []
    for offset in (0.01, -0.01):  # the diagonal is quadratic
        x = one.detach().clone()
        x[1, 2] += offset
        moved.append(float(fully_connected_kernel(x, x, kernel, 2).diagonal().sum()))
    assert float(gradient[1, 2]) == pytest.approx((moved[0] - moved[1]) / 0.02, rel=1e-5)


@pytest.mark.parametrize("labels", ["fixed", "learned"])
def test_objective_is_that_of_numpy(labels: str, make_task) -> None:
    task, method = make_task(ipc=2), get_method("kip", real_batch=12, labels=labels, ridge=0.01)
    state = driver.begin(method, task, RNG)
    (term,) = method.terms(task, state, RNG)
    real = (
        torch.cat([task.pool.sample(c, 4, RNG.fork("real batch", c)) for c in range(3)]).flatten(1).double()
    )
    learned = state.synthetic.images.detach().flatten(1).double()
    within, between = (fully_connected_kernel(x, learned, "ntk", 1).numpy() for x in (learned, real))
    ridge = 0.01 * np.trace(within) / 6 * np.eye(6)
    wanted = np.repeat(np.eye(3), 4, 0) - 1 / 3
    predicted = between @ np.linalg.inv(within + ridge) @ (np.repeat(np.eye(3), 2, 0) - 1 / 3)
    assert float(term.detach()) == pytest.approx(0.5 * ((predicted - wanted) ** 2).mean(), rel=1e-6)
    term.backward(inputs=state.leaves())
    assert all(leaf.grad is not None and leaf.grad.abs().sum() > 0 for leaf in state.leaves())
    assert len(state.leaves()) == (2 if labels == "learned" else 1)


def test_learned_labels_are_saved_with_squared_errors_as_their_loss(make_task) -> None:
    task, method = make_task(ipc=1), get_method("kip", real_batch=9, labels="learned")
    content = driver.begin(method, task, RNG).synthetic.content()
    assert content.targets is not None and content.training["loss"] == "mse"
    torch.testing.assert_close(content.targets, torch.eye(3) - 1 / 3)


@pytest.mark.parametrize(("field", "value"), [("kernel", "conv"), ("labels", "soft")])
def test_unknown_words_are_refused(field: str, value: str, make_task) -> None:
    with pytest.raises(BadInput, match=f"unknown {field} '{value}'; choose one of"):
        get_method("kip", **{field: value}).check(make_task())


def test_a_kernel_that_cannot_be_solved_names_step_and_fix(make_task) -> None:
    task, method = make_task(ipc=2), get_method("kip", real_batch=9, ridge=0.0)
    state = driver.begin(method, task, RNG)
    with torch.no_grad():
        state.synthetic.images[1] = state.synthetic.images[0]
    with pytest.raises(
        FailedWork, match=r"step 0: the kernel of 6 .*more than --ridge 0 or less than --image-lr"
    ):
        list(method.terms(task, state, RNG))


@pytest.mark.parametrize("labels", ["fixed", "learned"])
def test_the_own_recipe_is_the_regression(labels: str, tiny) -> None:
    """Its accuracy against plain numpy; it draws nothing, so one for a set, but random images differ."""
    made = condensery.condense(tiny, "kip", ipc=4, steps=3, real_batch=36, labels=labels)
    assert made.training == {"kernel": "ntk", "depth": 1, "networks": 8, "ridge": 1e-6, "loss": "mse"}
    scores = condensery.evaluate(made, protocol="quick+epochs=1", repeats=2, baselines=("random",)).scores
    kind = "learned" if labels == "learned" else "hard"
    assert [(s.subject, s.labels, s.recipe, s.n) for s in scores] == [
        ("kip", "hard", "common protocol", 2),
        ("random", "hard", "common protocol", 2),
        ("kip", kind, "own recipe", 1),
        ("random", "hard", "own recipe", 2),
    ]
    test = torch.from_numpy(tiny.test.pixels.copy()).permute(0, 3, 1, 2)
    x = made.images.flatten(1).double()
    y = np.eye(3)[made.labels] - 1 / 3 if made.targets is None else made.targets.double().numpy()
    k = fully_connected_kernel(x, x).numpy()
    solution = np.linalg.solve(k + 1e-6 * np.trace(k) / 12 * np.eye(12), y)
    said = fully_connected_kernel(tiny.spec.normalise(test).flatten(1).double(), x).numpy() @ solution
    assert (
        scores[2].mean == pytest.approx(np.mean(said.argmax(1) == tiny.test.labels)) and scores[2].mean > 0.6
    )


def test_what_the_own_recipe_is_said_to_be(tiny) -> None:
    made = condensery.condense(tiny, "kip", ipc=1, steps=1, real_batch=9, kernel="nngp", depth=2)
    found = condensery.evaluate(made, repeats=1, baselines=(), recipe="own", minutes=1)
    assert found.notes == (
        "own recipe: kernel ridge regression, nngp of infinitely wide networks with 2 hidden layers, ridge 1e-06; "
        "no network is trained",
    )
