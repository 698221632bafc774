"""RFAD: the objective by numpy, the random networks, AdaBelief by hand, the learned factor."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import condensery
from condensery import BadInput, Rng, driver, get_method
from condensery.matching.random_features import gaussian
from condensery.matching.regression import fitted
from condensery.models.registry import resolve
from condensery.optimizers import AdaBelief
from condensery.training import TensorImages
from condensery.training_recipe import own_recipe

RNG = Rng(4)
NETWORK = "convnet+width=4+depth=1+norm=none"


def begun(make_task, **fields):
    task = make_task(NETWORK, ipc=2)
    method = get_method("rfad", **{"real_batch": 10, "networks": 2, "ridge": 0.01, **fields})
    return task, method, driver.begin(method, task, RNG)


@pytest.mark.parametrize("loss", ["cross-entropy", "mse"])
def test_objective_is_that_of_numpy_and_reaches_every_leaf(loss: str, make_task) -> None:
    task, method, state = begun(make_task, loss=loss)
    (term,) = method.terms(task, state, RNG)
    real, labels = task.real_batch(10, RNG)
    networks = [method._network(task, RNG.fork("network", i)) for i in range(2)]
    features = []
    for images in (state.synthetic.images, real):
        with torch.no_grad():
            joined = np.concatenate([n.embed(images).numpy() for n in networks], 1).astype(np.float64)
        features.append(joined / math.sqrt(joined.shape[1]))
    within, between = 2 * features[0] @ features[0].T + 0.01, 2 * features[1] @ features[0].T + 0.01
    targets = np.repeat(np.eye(3), 2, 0) - 1 / 3
    predicted = between @ np.linalg.inv(within + 0.01 * np.trace(within) / 6 * np.eye(6)) @ targets
    if loss == "mse":
        expected = 0.5 * ((predicted - np.eye(3)[labels] + 1 / 3) ** 2).mean()
    else:
        shares = np.exp(predicted) / np.exp(predicted).sum(1, keepdims=True)
        expected = -np.log(shares[np.arange(10), labels]).mean()
    assert float(term.detach()) == pytest.approx(expected, rel=1e-4)
    term.backward(inputs=state.leaves())
    assert list(state.synthetic.leaves()) == ["images", "targets", *(["rates"] if loss != "mse" else [])]
    assert all(leaf.grad.abs().sum() > 0 for leaf in state.leaves())


def test_the_factor_has_a_rate_of_its_own(make_task) -> None:
    task, method, state = begun(make_task)
    state, _ = driver.advance(method, task, state, RNG)
    assert abs(float(state.synthetic.rates.detach())) == pytest.approx(
        0.01 / 0.9, rel=1e-3
    )  # as derived below


def test_adabelief_by_hand() -> None:
    """One number at 1, gradients 2 and -1, lr .1: m and s with bias correction, written out."""
    x = torch.tensor([1.0]).double().requires_grad_()
    optimizer, m, s, at = AdaBelief([x], 0.1), 0.0, 0.0, 1.0
    for t, g in enumerate((2.0, -1.0), 1):
        x.grad = torch.tensor([g]).double()
        optimizer.step()
        m = 0.9 * m + 0.1 * g
        s = 0.999 * s + 0.001 * (g - m) ** 2
        at -= 0.1 * (m / (1 - 0.9**t)) / math.sqrt(s / (1 - 0.999**t))
        assert float(x.detach()) == pytest.approx(at, rel=1e-6)


def test_initial_weights_are_gaussian() -> None:
    network = nn.Sequential(nn.Conv2d(16, 64, 3), nn.BatchNorm2d(64), nn.Flatten(), nn.Linear(400, 300))
    gaussian(network, RNG)
    for layer, inputs in ((network[0], 144), (network[3], 400)):
        assert float(layer.weight.std().detach()) == pytest.approx(math.sqrt(2 / inputs), rel=0.02)
        assert float(layer.bias.std().detach()) == pytest.approx(0.1, rel=0.2)
    assert torch.equal(network[1].weight, torch.ones(64))


def test_the_own_recipe_regresses_on_features_of_new_networks(tiny) -> None:
    """Learned labels are what it regresses to, so turning them round turns the accuracy round."""
    settings = {"ipc": 2, "network": NETWORK, "steps": 1, "real_batch": 12, "networks": 3}
    made = condensery.condense(tiny, "rfad", **settings)
    how = {"repeats": 2, "baselines": (), "recipe": "own"}
    (score,) = condensery.evaluate(made, **how).scores
    assert made.training["kernel"] == "features" and made.training["networks"] == 3
    assert (score.labels, score.recipe, score.n) == ("learned", "own recipe", 2)
    assert made.targets is not None and score.mean > 0.5
    images, recipe = TensorImages(made.images, made.targets), own_recipe(made.training)[0]
    said = [
        fitted(recipe, resolve(NETWORK), made.spec, images, RNG.fork(k), torch.device("cpu"))(made.images)
        for k in (0, 1, 1)
    ]
    assert torch.equal(said[1], said[2]) and not torch.allclose(said[0], said[1])
    turned = replace(made, targets=-made.targets)
    assert condensery.evaluate(turned, **how).scores[0].mean < 0.4
    with pytest.raises(
        BadInput, match="regresses on embeddings and lenet has none: choose a network with embed"
    ):
        condensery.evaluate(made, networks=["lenet"], **how)


@pytest.mark.parametrize(("field", "value"), [("loss", "kl"), ("labels", "soft")])
def test_unknown_words_are_refused(field: str, value: str, make_task) -> None:
    with pytest.raises(BadInput, match=f"unknown {field} '{value}'; choose one of"):
        get_method("rfad", **{field: value}).check(make_task())
