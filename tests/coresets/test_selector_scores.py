"""The mathematics of each selector on examples that can be worked out by hand."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import condensery
from condensery import ImageData, LabeledImages, Rng, get_selector
from condensery.coresets.consistency import held_out_accuracy
from condensery.coresets.el2n import error_norms
from condensery.coresets.features import features
from condensery.coresets.forgetting import History
from condensery.coresets.grand import gradient_norms, gradient_norms_at_once
from condensery.coresets.herding import Herding, herd
from condensery.coresets.k_center import spread
from condensery.coresets.networks import trained_network
from condensery.coresets.optimal_random import OptimalRandom
from condensery.coresets.ranking import ranked
from condensery.training import TensorImages, accuracy
from condensery.training_recipe import Recipe

RNG = Rng(3)
Maker = Callable[..., Any]


# ---- features


def test_features_of_one_class_are_held_at_a_time(make_selection: Maker) -> None:
    """A set of a thousand classes would not fit otherwise."""
    made: list[weakref.ref[Tensor]] = []
    held = []

    @dataclass(frozen=True)
    class Spy(Herding):
        @staticmethod
        def order(found: Tensor, count: int) -> Tensor:
            made.append(weakref.ref(found))
            held.append(sum(one() is not None for one in made))
            return herd(found, count)

    Spy(weights="random").select(make_selection(), RNG)
    assert len(made) == 3 and max(held) == 1


# ---- herding


def test_herding_by_hand() -> None:
    """Four points with mean (0, 0): a (3, 0), b (-2, 0), c (0, 1), d (-1, -1).

    k = 1: norms 3, 2, 1, sqrt 2: c. k = 2, sums with c: a (3, 1) 10, b (-2, 1) 5, d (-1, 0) 1: d.
    k = 3, sums with c + d = (-1, 0): a (2, 0) 4, b (-3, 0) 9: a. Then b.
    """
    points = torch.tensor([[3.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    assert herd(points, 4).tolist() == [2, 3, 0, 1]
    assert herd(points + 5, 3).tolist() == [2, 3, 0], "the mean is taken off first"


def test_herding_follows_the_equation() -> None:
    """Equation 2.1 as it stands, in float64."""
    points = torch.randn(30, 5, generator=RNG.torch()).double()
    mean, chosen = points.mean(0), []
    for k in range(1, 11):
        left = [i for i in range(30) if i not in chosen]
        gaps = [(mean - (points[i] + points[chosen].sum(0)) / k).norm() for i in left]
        chosen.append(left[int(torch.stack(gaps).argmin())])
    assert herd(points, 10).tolist() == chosen


def test_herding_takes_copies_once_each() -> None:
    assert sorted(herd(torch.zeros(4, 2), 4).tolist()) == [0, 1, 2, 3]


def worst_ratio(task: Any, epochs: int) -> float:
    """|mean feature of the selection - mean of the class|, herding's over random's: the largest of all classes."""
    ratios = []
    for members, found in Herding(epochs=epochs).features_by_class(task, RNG):
        draws = [RNG.fork("draw", s).numpy().permutation(len(members))[: task.counts[0]] for s in range(5)]
        mean = found.mean(0)
        random = np.mean([(found[draw].mean(0) - mean).norm() for draw in draws])
        ratios.append(float((found[herd(found, task.counts[0])].mean(0) - mean).norm()) / random)
    return max(ratios)


def test_herding_beats_random_on_real_features(digits: ImageData, make_selection: Maker) -> None:
    task = make_selection(10, digits, "convnet+width=8+depth=2")
    assert worst_ratio(task, 1) < 0.6


@pytest.mark.real
def test_herding_beats_random_on_mnist(make_selection: Maker, real_mnist: Path) -> None:
    """Features of a trained network, the default ConvNet made narrow."""
    data = condensery.load_images(real_mnist)
    first = LabeledImages(data.train.pixels[:3000], data.train.labels[:3000])
    task = make_selection(10, replace(data, train=first), "convnet+width=8+depth=3")
    assert worst_ratio(task, 1) < 0.6


# ---- k-center


def test_k_center_by_hand() -> None:
    """0, 1, 2, 6, 11 with mean 4. Nearest to it: 2 and 6, equally; the lower index, 2.

    Farthest from 2: 11. Then the distances to {2, 11} are 2, 1, -, 4, -: 6. To {2, 6, 11}: 2, 1: 0. Then 1.
    """
    points = torch.tensor([[0.0], [1.0], [2.0], [6.0], [11.0]])
    assert spread(points, 5).tolist() == [2, 4, 3, 0, 1]


def test_k_center_takes_copies_once_each() -> None:
    assert sorted(spread(torch.zeros(4, 2), 4).tolist()) == [0, 1, 2, 3]


def test_k_center_is_within_twice_the_best_radius() -> None:
    """Gonzalez 1985: greedy covers with at most twice the optimal radius, whichever point comes first."""
    from itertools import combinations

    points = torch.randn(12, 2, generator=RNG.torch())
    gaps = torch.cdist(points, points)

    def radius(centres: Any) -> float:
        return float(gaps[list(centres)].min(0).values.max())

    best = min(radius(centres) for centres in combinations(range(12), 3))
    assert radius(spread(points, 3).tolist()) <= 2 * best


# ---- forgetting


def test_forgetting_events_by_hand() -> None:
    """Right (1) or wrong (0) at each of five looks; an event is a 1 followed by a 0."""
    looks = {
        0: ([1, 1, 1, 1, 1], 0),
        1: ([0, 0, 1, 1, 1], 0),
        2: ([1, 0, 1, 0, 1], 2),
        3: ([0, 1, 1, 0, 0], 1),
        4: ([0, 0, 0, 0, 0], 5),  # never learned: as many as there are looks
    }
    labels = torch.tensor([0, 1, 0, 1, 0])
    history = History(labels)
    for t in range(5):
        for batch in ([3, 0], [4, 1, 2]):  # any order, in batches
            right = torch.tensor([looks[i][0][t] for i in batch])
            answer = torch.where(right == 1, labels[batch], 1 - labels[batch])
            history.see(torch.tensor(batch), F.one_hot(answer, 2).float())
    assert history.forgotten(5).tolist() == [looks[i][1] for i in range(5)]


def test_forgetting_sees_every_image_once_per_epoch_before_the_network_learns_from_it(
    make_selection: Maker,
) -> None:
    task = make_selection()
    images = task.images()
    seen: list[tuple[Tensor, Tensor]] = []
    trained_network(task, images, Recipe(3), RNG, lambda *news: seen.append(news))
    assert torch.cat([indices for indices, _ in seen]).sort().values.tolist() == sorted([*range(36)] * 3)
    untrained = task.new_network(RNG.fork("network"))
    first, logits = seen[0]
    torch.testing.assert_close(untrained(images.batch(first)[0]).detach(), logits, rtol=1e-4, atol=1e-5)


# ---- EL2N and GraNd


def test_el2n_by_hand() -> None:
    """Logits (0, ln 3) are probabilities 1/4, 3/4; label 0 is wrong by (-3/4, 3/4), label 1 by (1/4, -1/4)."""
    logits = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]])
    expected = [0.75 * math.sqrt(2), 0.25 * math.sqrt(2)]
    assert error_norms(logits, torch.tensor([0, 1])).tolist() == pytest.approx(expected)


def test_grand_of_a_linear_network_by_hand() -> None:
    """The gradient of W is (p - y) x^T and that of b is p - y, so the norm is |p - y| sqrt(|x|^2 + 1)."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    with torch.no_grad():
        network[1].weight.copy_(torch.randn(3, 4, generator=RNG.torch()))
    images, labels = torch.randn(6, 1, 2, 2, generator=RNG.fork("x").torch()), torch.arange(6) % 3
    errors = error_norms(network(images), labels)
    expected = errors * (images.flatten(1).square().sum(1) + 1).sqrt()
    for norms in (gradient_norms, gradient_norms_at_once):
        torch.testing.assert_close(norms(network, images, labels), expected)


@pytest.mark.parametrize("network", ["convnet+width=8+depth=2", "convnet+width=8+depth=2+norm=batch", "mlp"])
def test_grand_is_the_norm_of_the_gradient_of_each_image_alone(network: str, make_selection: Maker) -> None:
    task = make_selection(network=network)
    model = task.new_network(RNG).eval()
    images, labels = task.images().batch(torch.arange(0, 36, 6))
    expected = []
    for i in range(len(images)):
        model.zero_grad()
        F.cross_entropy(model(images[i : i + 1]), labels[i : i + 1]).backward()
        expected.append(torch.cat([p.grad.flatten() for p in model.parameters()]).norm())
    torch.testing.assert_close(gradient_norms(model, images, labels), torch.stack(expected))
    torch.testing.assert_close(gradient_norms_at_once(model, images, labels), torch.stack(expected))


def test_grand_scores_candidates_only(make_selection: Maker) -> None:
    task = make_selection(3)
    selector = get_selector("grand", networks=1, epochs=1, candidates=5)
    picks = selector.select(task, RNG)
    for c in task.classes:
        candidates = task.pool.sample_indices(c, 5, RNG.fork("candidates", c))
        assert set(picks[c]) <= set(candidates)
    with pytest.raises(condensery.BadInput, match="--candidates 2 is less than --ipc 3"):
        get_selector("grand", candidates=2).check(task)


# ---- ranking


def test_ranking_by_hand(make_selection: Maker) -> None:
    """Equals are in random order, the same one for any ipc; what is not known comes last at either end."""
    task = make_selection(12)
    score = np.zeros(36)
    first = task.pool.members(0)
    score[first] = [5, 4, 3, 2, 1, 0, np.nan, 9, 8, 7, 6, 0.5]
    easy, hard = (ranked(task, score, keep, RNG) for keep in ("easy", "hard"))
    assert score[easy[0]][:11].tolist() == [0, 0.5, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert score[hard[0]][:11].tolist() == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0.5, 0]
    assert easy[0][11] == hard[0][11] == first[6]
    assert easy[1].tolist() != sorted(easy[1]) and sorted(easy[1]) == task.pool.members(1).tolist()
    assert easy[1].tolist() == hard[1].tolist() != ranked(task, score, "easy", Rng(4))[1].tolist()


# ---- consistency


def test_consistency_by_hand() -> None:
    """Held out 4, 2, 1 and 0 times; right 3, 2, 0 and 0 of them."""
    score = held_out_accuracy(np.array([3.0, 2, 0, 0]), np.array([4.0, 2, 1, 0]))
    assert score[:3].tolist() == [0.75, 1, 0] and np.isnan(score[3])


def test_consistency_never_asks_a_network_about_its_training_images(
    make_selection: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the score is the share of right answers among those that were asked."""
    from condensery.coresets import consistency

    inside: list[set[int]] = []
    asked: list[tuple[np.ndarray, np.ndarray]] = []
    train, answer = consistency.trained_network, consistency.map_task

    def training(task: Any, images: Any, *rest: Any) -> nn.Module:
        inside.append(set(images.indices.tolist()))
        return train(task, images, *rest)

    def asking(task: Any, stage: str, network: Any, function: Any, images: Any) -> Tensor:
        result = answer(task, stage, network, function, images)
        asked.append((images.indices, result.numpy()))
        return result

    monkeypatch.setattr(consistency, "trained_network", training)
    monkeypatch.setattr(consistency, "map_task", asking)
    task = make_selection(12)
    picks = get_selector("consistency", networks=5, epochs=2, share=0.75).select(task, RNG)
    assert len({frozenset(s) for s in inside}) == 5 and all(len(s) == 27 for s in inside)
    answers: dict[int, list[bool]] = {i: [] for i in range(36)}
    for trained_on, (indices, right) in zip(inside, asked, strict=True):
        assert not trained_on & set(indices.tolist()) and len(indices) == 9
        for i, was_right in zip(indices, right, strict=True):
            answers[int(i)].append(bool(was_right))
    for indices in picks:
        shares = [np.mean(answers[int(i)]) if answers[int(i)] else -1.0 for i in indices]
        assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize("share", [0.0, 1.0, 0.001])
def test_consistency_needs_images_on_both_sides(share: float, make_selection: Maker) -> None:
    with pytest.raises(condensery.BadInput, match=r"--share .* leaves none to train on or none to hold out"):
        get_selector("consistency", share=share).check(make_selection())


# ---- optimal random selection


def test_optimal_random_keeps_the_best_by_images_it_may_not_select(make_selection: Maker) -> None:
    task = make_selection(2)
    selector = OptimalRandom(selections=6, epochs=20, held_out=0.5)
    tried: list[tuple[float, list[int]]] = []
    judges: set[int] = set()
    real = selector._accuracy

    def spy(task: Any, picks: np.ndarray, judging: Any, rng: Rng) -> float:
        judges.update(judging.indices.tolist())
        tried.append((real(task, picks, judging, rng), picks.tolist()))
        return tried[-1][0]

    object.__setattr__(selector, "_accuracy", spy)
    picks = np.concatenate(selector.select(task, RNG)).tolist()
    assert len(tried) == 6 and len({tuple(p) for _, p in tried}) == 6
    assert picks == max(tried, key=lambda t: t[0])[1]
    assert max(a for a, _ in tried) > min(a for a, _ in tried)
    assert len(judges) == 18 and all(not judges & set(p) for _, p in tried)


def test_optimal_random_judges_by_accuracy(make_selection: Maker) -> None:
    task = make_selection(2)
    picks, judging = np.concatenate([task.pool.members(c)[:2] for c in range(3)]), task.images(np.arange(36))
    found = OptimalRandom(epochs=3)._accuracy(task, picks, judging, RNG)
    images = TensorImages(*task.images(picks).batch(torch.arange(6)))
    network = trained_network(task, images, Recipe(3, decay_after=(2,)), RNG.fork("network", 0))
    assert found == pytest.approx(accuracy(network, [judging.batch(torch.arange(36))]))


@pytest.mark.parametrize(("held_out", "ipc"), [(0.0, 2), (0.9, 2), (0.5, 7), (1.0, 1)])
def test_optimal_random_needs_images_on_both_sides(held_out: float, ipc: int, make_selection: Maker) -> None:
    with pytest.raises(
        condensery.BadInput, match=f"--held-out .* of the 12 images of class '0'.*--ipc {ipc}"
    ):
        get_selector("optimal-random", held_out=held_out).check(make_selection(ipc))


# ---- features


@pytest.mark.parametrize("network", ["convnet+width=8+depth=2", "convnet+width=8+depth=2+norm=batch"])
@pytest.mark.parametrize("chunk", [None, 5])
def test_features_are_those_of_embed_in_order(network: str, chunk: int | None, make_selection: Maker) -> None:
    task = make_selection(network=network)
    model = task.new_network(RNG)
    images, labels = task.images().batch(torch.arange(36))
    heard: list[int] = []
    found = features(model, task.images(), chunk=chunk, any_layout=True, worked=heard.append)
    assert model.training, "put back as it was"
    again = features(model, TensorImages(images, labels), chunk=chunk)
    expected = model.eval().embed(images).detach()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(again, expected, rtol=1e-4, atol=1e-5)
    assert not found.requires_grad and heard == [36]
