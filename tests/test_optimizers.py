"""LAMB, by hand and against optax; torch's optimisers without its compiler."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from torch import Tensor

from condensery import BadInput, optimizers
from condensery.optimizers import Lamb

OPTAX = [[2.646447, 4.353553], [2.155321, 4.489077], [1.65903, 4.529912]]


def stepped(start: list[float], gradients: list[list[float]], lr: float = 0.1) -> list[list[float]]:
    tensor = torch.tensor(start)
    optimizer = Lamb([tensor], lr)
    found = []
    for gradient in gradients:
        tensor.grad = torch.tensor(gradient)
        optimizer.step()
        found.append(tensor.tolist())
    return found


def test_the_first_step_by_hand() -> None:
    """Adam's first step is the sign of the gradient, here of length sqrt 2; the tensor has length 5."""
    ((x, y),) = stepped([3.0, 4.0], [[1.0, -2.0]])
    assert (x, y) == pytest.approx((3 - 0.5 / math.sqrt(2), 4 + 0.5 / math.sqrt(2)), abs=1e-5)


def test_the_second_step_by_hand() -> None:
    x, y = stepped([3.0, 4.0], [[1.0, -2.0]])[0]
    mean = (0.09 * 1 + 0.1 * 2) / 0.19, (0.09 * -2 + 0.1 * 1) / 0.19
    square = (0.000999 * 1 + 0.001 * 4) / 0.001999, (0.000999 * 4 + 0.001 * 1) / 0.001999
    update = [m / (math.sqrt(v) + 1e-6) for m, v in zip(mean, square, strict=True)]
    ratio = math.hypot(x, y) / math.hypot(*update)
    expected = x - 0.1 * ratio * update[0], y - 0.1 * ratio * update[1]
    assert stepped([3.0, 4.0], [[1.0, -2.0], [2.0, 1.0]])[1] == pytest.approx(expected, rel=1e-5)


def test_steps_are_those_of_optax() -> None:
    """optax.lamb(0.1) of optax 0.2.8."""
    found = stepped([3.0, 4.0], [[1.0, -2.0], [2.0, 1.0], [0.0, 0.5]])
    assert found == [pytest.approx(row, rel=1e-5) for row in OPTAX]


@pytest.mark.parametrize("start", [[0.0, 0.0], [3.0, 4.0]])
def test_a_length_of_zero_leaves_adams_step(start: list[float]) -> None:
    """Of the tensor: a step of Adam. Of the update: no step."""
    gradients = [[1.0, -2.0]] if start == [0.0, 0.0] else [[0.0, 0.0]]
    expected = [-0.1, 0.1] if start == [0.0, 0.0] else start
    assert stepped(start, gradients)[0] == pytest.approx(expected, abs=1e-6)


def test_every_tensor_has_its_own_ratio() -> None:
    tensors = [torch.full((4,), 1.0), torch.full((4,), 100.0)]
    optimizer = Lamb(tensors, 0.01)
    for tensor in tensors:
        tensor.grad = torch.ones(4)
    optimizer.step()
    for tensor, before in zip(tensors, (1.0, 100.0), strict=True):
        torch.testing.assert_close(tensor, torch.full((4,), 0.99 * before))


def test_state_survives_a_round_trip() -> None:
    def step(tensor: Tensor, optimizer: Lamb, k: int) -> None:
        tensor.grad = torch.tensor([1.0, -2.0]) / k
        optimizer.step()

    whole = torch.tensor([3.0, 4.0])
    optimizer = Lamb([whole], 0.1)
    step(whole, optimizer, 1)
    again = whole.clone()
    other = Lamb([again], 0.1)
    other.load_state_dict(optimizer.state_dict())
    for k in (2, 3):
        step(whole, optimizer, k)
        step(again, other, k)
    assert torch.equal(whole, again)


@pytest.mark.parametrize("bad", [{"lr": -1.0}, {"lr": 1.0, "betas": (0.9, 1.0)}, {"lr": 1.0, "eps": 0.0}])
def test_constants_out_of_range_are_refused(bad: dict) -> None:
    with pytest.raises(BadInput, match="LAMB needs"):
        Lamb([torch.ones(2)], **bad)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
        ("Adam", {"lr": 0.1}),
        ("AdamW", {"lr": 0.1}),
    ],
)
def test_torchs_optimisers_give_the_bits_of_torch_without_its_compiler(
    name: str, settings: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five updates, with the state taken out and put back on the way."""
    found = []
    for kind in (getattr(torch.optim, name), getattr(optimizers, name)):
        if kind.__module__ == optimizers.__name__:
            monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # to import it fails
        tensor = torch.linspace(-1, 1, 7, requires_grad=True)
        optimizer = kind([tensor], **settings)
        for step in range(5):
            optimizer.zero_grad()
            (tensor.sin() * (step + 1)).sum().backward()
            optimizer.step()
            optimizer.load_state_dict(optimizer.state_dict())
        found.append(tensor.detach())
    assert torch.equal(*found)
