"""Teaching networks: gradients against finite differences and autograd, and the schedule that the set is given."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import condensery
from condensery import BadInput, Rng, driver, get_method
from condensery.matching import unrolling
from condensery.methods.gtn import Curriculum
from condensery.training import TensorImages, fit
from condensery.training_recipe import Recipe, own_recipe

RNG = Rng(2)
NETWORK = "convnet+width=3+depth=1"
QUICK = {"real_batch": 6, "passes": 2, "code_length": 3, "generator_width": 3, "rate": 0.3}


def begun(make_task, ipc: int = 2, **fields):
    task = make_task(NETWORK, ipc=ipc)
    method = get_method("gtn", **{**QUICK, **fields})
    return task, method, driver.begin(method, task, RNG)


def in_double(state):
    """The same state in double precision."""
    generated = state.synthetic.generated

    def double(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.detach().double().requires_grad_()

    weights = {name: double(tensor) for name, tensor in generated.weights.items()}
    generated = replace(
        generated, codes=double(generated.codes), weights=weights, embeddings=generated.embeddings.double()
    )
    synthetic = Curriculum(generated, double(state.synthetic.schedule))
    return replace(state, synthetic=synthetic, networks={"network": state.network.double()})


def objective(method, task, state) -> float:
    (found,) = method.terms(task, state, RNG)
    return float(found.detach())


@pytest.mark.parametrize("judged", ["every", "last"])
def test_gradients_are_those_of_finite_differences(make_task, judged: str) -> None:
    """Of every leaf, in a random direction, in double precision; four steps."""
    task, method, state = begun(make_task, judged=judged)
    state = in_double(state)
    leaves = state.leaves()
    (found,) = method.terms(task, state, RNG)
    gradients = torch.autograd.grad(found, leaves)
    for leaf, gradient in zip(leaves, gradients, strict=True):
        direction = torch.randn(leaf.shape, generator=RNG.torch(), dtype=torch.float64)
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                leaf += sign * 1e-6 * direction
            values.append(objective(method, task, state))
            with torch.no_grad():
                leaf -= sign * 1e-6 * direction
        slope = (values[0] - values[1]) / 2e-6
        assert slope == pytest.approx(float((gradient * direction).sum()), rel=2e-4, abs=1e-7)


def test_momentum_is_that_of_autograd_through_all_steps() -> None:
    x = torch.randn(3, 4, 5, generator=RNG.torch(), dtype=torch.float64).requires_grad_()
    first = (torch.randn(5, generator=RNG.torch(), dtype=torch.float64),)
    rates = torch.tensor([0.3, 0.2, 0.1], dtype=torch.float64, requires_grad=True)
    momenta = torch.tensor([0.5, 0.9, 0.2], dtype=torch.float64, requires_grad=True)

    def loss(weights, step: int) -> torch.Tensor:
        return (x[step] @ weights[0]).tanh().square().sum()

    w, v, total = first[0].clone().requires_grad_(), torch.zeros(5), torch.zeros(())
    for step in range(3):
        (g,) = torch.autograd.grad(loss((w,), step), w, create_graph=True)
        v = momenta[step] * v + g
        w = w - rates[step] * v
        total = total + w.pow(4).sum()
    expected = torch.autograd.grad(total, [x, rates, momenta])
    given = rates.tolist(), momenta.tolist()
    descent = unrolling.descend_with_momentum(loss, first, *given)
    ends = {step: (4 * descent.points[step][0] ** 3,) for step in (1, 2, 3)}
    (by_x,), *others = unrolling.reverse_with_momentum(loss, descent, *given, ends, [x])
    for ours, theirs in zip((by_x, *others), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_set_is_trained_as_it_was_unrolled(make_task) -> None:
    """Torch's SGD by the set's own recipe ends at the weights that the unrolling ends at."""
    task, method, state = begun(make_task)
    state, _ = driver.advance(method, task, state, RNG)
    recipe, augmentation = own_recipe(json.loads(json.dumps(method.training(task, state))))
    assert (recipe.epochs, recipe.batch_size, recipe.order) == (
        2,
        3,
        (0, 2, 4, 1, 3, 5),
    ) and augmentation == "none"
    assert len(recipe.rates) == len(recipe.momenta) == 4 and recipe.rates[0] != pytest.approx(0.3)
    found, network = state.synthetic.content(), state.network
    first = tuple(p.detach().clone() for p in network.parameters())
    fit(network, TensorImages(found.images, found.labels), recipe, RNG)
    stateless, batches = unrolling.Stateless(task.new_network(RNG)), ([0, 2, 4], [1, 3, 5])

    def loss(weights, step: int) -> torch.Tensor:
        batch = batches[step % 2]
        return F.cross_entropy(stateless(weights, found.images[batch]), found.labels[batch])

    ends = unrolling.descend_with_momentum(loss, first, recipe.rates, recipe.momenta).points[-1]
    for ours, theirs in zip(network.parameters(), ends, strict=True):
        torch.testing.assert_close(ours.detach(), theirs, rtol=1e-4, atol=1e-6)


def test_the_loss_falls_and_all_of_it_is_learned(make_task) -> None:
    task, method, state = begun(make_task, generator_lr=0.01, rate=0.1, code_length=8, generator_width=8)
    before = [leaf.detach().clone() for leaf in state.leaves()]
    first = objective(method, task, state)
    for _ in range(15):
        state, _ = driver.advance(method, task, state, RNG)
    assert objective(method, task, replace(state, step=0)) < 0.9 * first
    assert not any(torch.equal(leaf, old) for leaf, old in zip(state.leaves(), before, strict=True))


def test_from_images_to_an_evaluation(tiny_file: Path, tmp_path: Path) -> None:
    made = condensery.condense(
        tiny_file, "gtn", ipc=2, network=NETWORK, steps=2, out=tmp_path / "run", **QUICK
    )
    assert "generator.codes" in made.stored and len(made.training["momenta"]) == 4
    found = condensery.evaluate(tmp_path / "run", protocol="quick+epochs=1", repeats=1, baselines=("random",))
    ours, theirs = (s for s in found.scores if s.recipe == "own recipe")
    assert (ours.images, ours.epochs, theirs.images, theirs.epochs) == (6, 2, 6, 2)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"judged": "none"}, "unknown judged 'none'; choose one of every, last"),
        ({"rate": 0.0}, r"--rate, where it begins to be learned, must be in \(0, 1e\+06\], not 0"),
        ({"momentum": 1.5}, r"--momentum, where it begins to be learned, must be in \(0, 1\], not 1.5"),
    ],
)
def test_bad_input(make_task, fields, said) -> None:
    with pytest.raises(BadInput, match=said):
        get_method("gtn", **fields).check(make_task(NETWORK))


def test_an_unrolling_that_does_not_fit_is_refused(make_task, monkeypatch) -> None:
    monkeypatch.setattr(unrolling, "device_memory", lambda device: 200_000)
    with pytest.raises(
        BadInput, match=r"4,000 unrolled steps of 3 images .*: \d+ steps would fit; choose fewer"
    ):
        get_method("gtn", passes=1000).check(make_task(NETWORK, ipc=4))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"momenta": (11.0,)}, "momenta of a recipe must lie between 0 and 10"),
        ({"momenta": (0.5,), "optimizer": "adam"}, "momenta are given for each step of sgd, not of adam"),
    ],
)
def test_a_recipe_with_momenta_that_cannot_be_is_refused(wrong, said) -> None:
    with pytest.raises(BadInput, match=said):
        Recipe(1, **wrong)


def test_a_generator_that_does_not_fit_is_refused(make_task) -> None:
    said = r"--generator-width 64 with --code-length 10,000,000,000 takes .* to learn on cpu, which has .*: choose less"
    with pytest.raises(BadInput, match=said):
        get_method("gtn", code_length=10**10).check(make_task())
