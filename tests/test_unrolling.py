"""Unrolled training: its gradients against finite differences and backpropagation through all steps, its limits."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery import BadInput, Rng
from condensery.matching import unrolling
from condensery.matching.unrolling import Diverged, Stateless, descend, outer_gradient, reverse, term

RATES = [0.3, 0.05, 0.2, 0.4]


def problem() -> tuple[Stateless, Tensor, Tensor, Tensor]:
    """A small network with a smooth activation and batch norm, in float64; images, classes and labels to learn."""
    with Rng(1).seeded():
        network = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 3)
        ).double()
        images, real = torch.randn(6, 1, 4, 4).double(), torch.randn(8, 1, 4, 4).double()
        targets = torch.randn(6, 3).double().softmax(1)
    return Stateless(network), images.requires_grad_(), targets.requires_grad_(), real


def value_of(rates: list[float], images: Tensor, targets: Tensor, through: bool = False):
    """The loss on real images after the training, and what it was made of."""
    network, _, _, real = problem()

    def loss(weights, step: int) -> Tensor:
        k = slice(3 * (step % 2), 3 * (step % 2) + 3)
        return F.cross_entropy(network(weights, images[k]), targets[k])

    points = descend(loss, network.weights(), rates)
    classes = torch.arange(8) % 3
    value, last, _ = outer_gradient(network, points[-1], real, classes)
    return (
        value,
        loss,
        points,
        last,
    )


def test_gradient_is_that_of_finite_differences_in_double_precision() -> None:
    _, images, targets, _ = problem()
    _, loss, points, last = value_of(RATES, images, targets)
    found = reverse(loss, points, RATES, last, [images, targets])

    def slope(tensor: Tensor, index: int) -> float:
        flat, values = tensor.detach().view(-1), []
        before = float(flat[index])
        for offset in (1e-5, -1e-5):
            flat[index] = before + offset
            values.append(float(value_of(RATES, images, targets)[0]))
        flat[index] = before
        return (values[0] - values[1]) / 2e-5

    for leaf, gradient in zip((images, targets), found.leaves, strict=True):
        for index in (0, 7, leaf.numel() - 1):
            assert float(gradient.view(-1)[index]) == pytest.approx(slope(leaf, index), rel=1e-5, abs=1e-9)
    for step in range(4):
        around = [[r + d * (k == step) for k, r in enumerate(RATES)] for d in (1e-5, -1e-5)]
        up, down = (float(value_of(rates, images, targets)[0]) for rates in around)
        assert float(found.rates[step]) == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-9)


def test_gradient_is_that_of_backpropagation_through_every_step() -> None:
    """And so is the one by the first weights."""
    network, images, targets, real = problem()
    _, loss, points, last = value_of(RATES, images, targets)
    found = reverse(loss, points, RATES, last, [images, targets])
    first = [w.clone().requires_grad_() for w in network.weights()]
    weights = tuple(first)
    for step, rate in enumerate(RATES):
        gradients = torch.autograd.grad(loss(weights, step), weights, create_graph=True)
        weights = tuple(w - rate * g for w, g in zip(weights, gradients, strict=True))
    total = F.cross_entropy(network(weights, real), torch.arange(8) % 3)
    expected = torch.autograd.grad(total, [images, targets, *first])
    for ours, theirs in zip([*found.leaves, *found.weights], expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_without_the_way_through_weights_one_step_is_exact_and_several_are_not() -> None:
    _, images, targets, _ = problem()
    for rates, equal in ((RATES[:1], True), (RATES, False)):
        _, loss, points, last = value_of(rates, images, targets)
        exact = reverse(loss, points, rates, last, [images]).leaves[0]
        short = reverse(loss, points, rates, last, [images], through_weights=False).leaves[0]
        assert torch.allclose(exact, short, rtol=1e-9) == equal


def test_a_term_has_its_value_and_gradients() -> None:
    leaf = torch.ones(3, requires_grad=True)
    known = term(torch.tensor(5.0), [leaf], [torch.tensor([1.0, 2.0, 3.0])])
    (2 * known).backward(inputs=[leaf])
    assert known.item() == 5 and leaf.grad is not None and leaf.grad.tolist() == [2, 4, 6]


def test_buffers_stay_as_they_are() -> None:
    network, images, targets, _ = problem()
    before = {name: buffer.clone() for name, buffer in network.network.named_buffers()}
    value_of(RATES, images, targets)
    network(network.weights(), images)
    assert all(torch.equal(b, before[name]) for name, b in network.network.named_buffers())


def test_training_that_diverges_names_the_step_and_the_rate() -> None:
    def loss(weights, step: int) -> Tensor:
        return weights[0].exp().sum()

    with pytest.raises(
        Diverged,
        match="its loss is inf at step 2 of 3, with a learned rate of -500: begin",
    ):
        descend(loss, (torch.zeros(1),), [-500.0, 1.0, 1.0])


def test_what_does_not_fit_is_refused_with_the_steps_that_would(monkeypatch) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 1000, bias=False))  # 64,000 bytes
    place = torch.device("cpu")
    graph = 5 * unrolling.graph_bytes(network, (1, 4, 4))
    monkeypatch.setattr(unrolling, "device_memory", lambda device: 10 * 64_000 + graph)
    assert unrolling.require_fits(network, (1, 4, 4), 5, 9, place, "") == 10 * 64_000 + graph
    with pytest.raises(
        BadInput, match=r"10 unrolled steps of 5 images take .* on cpu.*: 9 steps would fit; do x"
    ):
        unrolling.require_fits(network, (1, 4, 4), 5, 10, place, "do x")


def test_an_end_that_is_not_finite_names_the_rate() -> None:
    unrolling.require_good_end(torch.tensor(1.0), [0.1])
    with pytest.raises(unrolling.Diverged, match="judged by is nan after 2 steps, with a learned rate of 7"):
        unrolling.require_good_end(torch.tensor(float("nan")), [0.1, 7.0])


def test_rates_are_recorded_as_a_recipe_can_hold_them() -> None:
    assert unrolling.recordable([-1.0, 2.0, float("inf"), float("nan")]) == (0.0, 2.0, 1e6, 0.0)
