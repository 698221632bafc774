"""Gradients, distances and moments, by hand where a hand can do it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery import BadInput, Rng, Task
from condensery.matching.distances import (
    DISTANCES,
    cosine,
    get_distance,
    rowwise_cosine,
    squared_euclidean,
)
from condensery.matching.gradients import differentiable_gradient, gradient
from condensery.matching.kernels import IllConditioned, ridge_predictions, ridge_solution
from condensery.matching.moments import mean_embedding, segment_means, squared_gap

RNG = Rng(0)


def matrix(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows)


def test_rowwise_of_two_rows_by_hand() -> None:
    """Rows at 90 and at 45 degrees: 1 + (1 - 1/sqrt 2)."""
    synthetic, real = matrix((1.0, 0.0), (1.0, 1.0)), matrix((0.0, 2.0), (3.0, 0.0))
    assert rowwise_cosine([synthetic], [real]).item() == pytest.approx(2 - math.sqrt(0.5), abs=1e-6)


def test_cosine_and_euclidean_of_two_rows_by_hand() -> None:
    synthetic, real = matrix((1.0, 0.0), (1.0, 1.0)), matrix((0.0, 2.0), (3.0, 0.0))
    assert squared_euclidean([synthetic], [real]).item() == pytest.approx(1 + 4 + 4 + 1)
    assert cosine([synthetic], [real]).item() == pytest.approx(1 - 3 / math.sqrt(3 * 13), abs=1e-6)


def test_rowwise_adds_eps_to_the_product_of_norms() -> None:
    """Norms of 1e-3 have the product 1e-6, so the cosine of equal rows is a half."""
    row = matrix((1e-3, 0.0))
    assert rowwise_cosine([row], [row]).item() == pytest.approx(0.5)


def test_rowwise_ignores_one_dimensional_parameters_and_the_others_do_not() -> None:
    flat, weights = torch.tensor([1.0, -1.0]), matrix((1.0, 2.0))
    assert rowwise_cosine([weights, flat], [weights, -flat]).item() == pytest.approx(0, abs=1e-6)
    assert squared_euclidean([weights, flat], [weights, -flat]).item() == pytest.approx(8)
    assert cosine([weights, flat], [weights, -flat]).item() == pytest.approx(1 - 3 / 7, abs=1e-6)


@pytest.mark.parametrize(("shape", "rows"), [((4, 3, 2, 2), 4), ((5, 2, 2), 5), ((6, 7), 6), ((3,), 0)])
def test_rows_of_each_kind_of_layer(shape: tuple[int, ...], rows: int) -> None:
    """Opposite gradients are 2 apart in every row."""
    g = torch.randn(shape, generator=RNG.torch())
    assert rowwise_cosine([g], [-g]).item() == pytest.approx(2 * rows, rel=1e-4)


def test_a_row_of_zeros_counts_one_and_has_a_finite_gradient() -> None:
    synthetic = torch.zeros(2, 3, requires_grad=True)
    distance = rowwise_cosine([synthetic], [torch.ones(2, 3)])
    distance.backward()
    assert distance.item() == pytest.approx(2)
    assert synthetic.grad is not None and torch.isfinite(synthetic.grad).all()


@pytest.mark.parametrize("name", sorted(DISTANCES))
def test_no_distance_to_itself(name: str) -> None:
    g = [torch.randn(4, 3, generator=RNG.torch()), torch.randn(4, generator=RNG.fork(1).torch())]
    assert DISTANCES[name](g, g).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", sorted(DISTANCES))
def test_gradient_of_the_distance(name: str) -> None:
    generator = RNG.torch()
    real = [torch.randn(s, generator=generator, dtype=torch.float64) for s in ((2, 3), (2,))]
    synthetic = [torch.randn_like(r).requires_grad_() for r in real]
    assert torch.autograd.gradcheck(lambda *s: DISTANCES[name](s, real), tuple(synthetic))


def test_unknown_distance() -> None:
    with pytest.raises(BadInput, match=r"unknown distance 'ours'; choose one of rowwise, euclidean, cosine"):
        get_distance("ours")


@pytest.mark.parametrize("chunk", [None, 1, 3, 7, 100])
def test_gradient_is_that_of_the_mean(chunk: int | None, make_task) -> None:
    task: Task = make_task()
    network, images = task.new_network(RNG), task.pool.sample(1, 7, RNG)
    labels = task.labels(1, 7)
    loss = F.cross_entropy(network(images), labels)
    expected = torch.autograd.grad(loss, list(network.parameters()))
    for ours, theirs in zip(gradient(network, images, labels, chunk), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
        assert not ours.requires_grad


def test_differentiable_gradient_is_the_same_and_has_a_graph(make_task) -> None:
    task: Task = make_task()
    network, images = task.new_network(RNG), task.pool.sample(1, 7, RNG)
    labels = task.labels(1, 7)
    plain = gradient(network, images, labels)
    with_graph = differentiable_gradient(network, images.requires_grad_(), labels)
    for a, b in zip(plain, with_graph, strict=True):
        torch.testing.assert_close(a, b.detach())
    assert torch.autograd.grad(sum(g.sum() for g in with_graph), images)[0].any()


def test_gradient_of_a_linear_layer_by_hand() -> None:
    """Softmax regression from zero weights: row k is (1/K - [k = y]) times the mean image."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 4))
    nn.init.zeros_(network[1].weight)
    nn.init.zeros_(network[1].bias)
    images = torch.tensor([[1.0, 2.0], [3.0, -4.0]]).view(2, 1, 1, 2)
    weight, bias = gradient(network, images, torch.tensor([2, 2]), chunk=1)
    p = torch.tensor([0.25, 0.25, -0.75, 0.25])
    torch.testing.assert_close(weight, torch.outer(p, torch.tensor([2.0, -1.0])))
    torch.testing.assert_close(bias, p)


@pytest.mark.parametrize("chunk", [None, 1, 2, 5])
def test_mean_embedding(chunk: int | None) -> None:
    images = torch.arange(20.0).view(5, 1, 2, 2)
    mean = mean_embedding(lambda x: x.flatten(1), images, chunk)
    torch.testing.assert_close(mean, torch.tensor([8.0, 9.0, 10.0, 11.0]))


def test_segment_means_and_gap_by_hand() -> None:
    means = segment_means(matrix((1.0, 2.0), (3.0, 4.0), (10.0, 20.0)), [2, 1])
    assert means.tolist() == [[2, 3], [10, 20]]
    assert squared_gap(means, matrix((0.0, 3.0), (10.0, 17.0))).item() == 4 + 9


# ---- kernel ridge regression


def draw(*shape: int, name: str) -> Tensor:
    return torch.randn(shape, generator=RNG.fork(name).torch())


def test_ridge_predictions_are_those_of_numpy_in_double_precision() -> None:
    features, targets, others = draw(6, 9, name="f"), draw(6, 3, name="y"), draw(5, 9, name="o")
    f, y, o = (t.numpy().astype(np.float64) for t in (features, targets, others))
    kernel = f @ f.T
    expected = o @ f.T @ np.linalg.inv(kernel + 0.1 * np.trace(kernel) / 6 * np.eye(6)) @ y
    found = ridge_predictions(features, targets, others, 0.1)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_ridge_predictions_of_the_set_itself_are_its_targets() -> None:
    features, targets = draw(6, 9, name="f"), draw(6, 3, name="y")
    torch.testing.assert_close(ridge_predictions(features, targets, features, 1e-12).float(), targets)


def test_ridge_solution_by_hand() -> None:
    """K = diag(1, 3), ridge 1/2 of the mean diagonal 2: (diag(2, 4))^-1 y."""
    solution = ridge_solution(torch.diag(torch.tensor([1.0, 3.0])).double(), torch.eye(2).double(), 0.5)
    torch.testing.assert_close(solution, torch.diag(torch.tensor([0.5, 0.25])).double())


def test_ridge_predictions_have_the_gradient_of_finite_differences() -> None:
    features, targets = draw(4, 6, name="f").double(), draw(4, 3, name="y").double()
    others = draw(5, 6, name="o").double()
    assert torch.autograd.gradcheck(
        lambda f, y: ridge_predictions(f, y, others, 0.01),
        (features.requires_grad_(), targets.requires_grad_()),
    )


@pytest.mark.parametrize(("spoiled", "words"), [("twin", "cannot be solved"), ("nan", "not finite")])
def test_a_kernel_that_cannot_be_solved_is_refused(spoiled: str, words: str) -> None:
    features = draw(4, 6, name="f")
    features[3] = features[0] if spoiled == "twin" else float("nan")
    with pytest.raises(IllConditioned, match=f"kernel of 4 synthetic images .*{words}"):
        ridge_predictions(features, draw(4, 3, name="y"), features, 0.0)


def test_a_ridge_makes_twins_solvable() -> None:
    features = draw(4, 6, name="f")
    features[3] = features[0]
    assert torch.isfinite(ridge_predictions(features, draw(4, 3, name="y"), features, 1e-6)).all()


def test_features_that_are_all_zero_are_refused() -> None:
    with pytest.raises(IllConditioned, match="cannot be solved"):
        ridge_predictions(torch.zeros(4, 6), draw(4, 3, name="y"), torch.zeros(4, 6), 1e-6)
