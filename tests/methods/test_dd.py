"""Dataset distillation: against a graph through the whole training, the rates and the order that the set is given."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from finite_differences import assert_slopes

import condensery
from condensery import BadInput, Rng, Task, driver, get_method
from condensery.errors import FailedWork
from condensery.matching import unrolling
from condensery.training_recipe import own_recipe

RNG = Rng(2)
NETWORK = "convnet+width=4+depth=1"


def begun(make_task, ipc: int = 4, **fields):
    task = make_task(NETWORK, ipc=ipc)
    method = get_method("dd", **{"real_batch": 9, "passes": 2, "per_step": 2, "rate": 0.3, **fields})
    return task, method, driver.begin(method, task, RNG)


def test_images_and_rates_are_those_of_a_graph_through_the_whole_training(make_task) -> None:
    """Three updates of Adam on gradients that autograd takes through all four steps, fed the same draws."""
    task, method, state = begun(make_task)
    images = state.synthetic.images.detach().clone().requires_grad_()
    raw = torch.full((4,), math.log(math.expm1(0.3)), requires_grad=True)
    optimizer = torch.optim.Adam([images, raw], 0.01, betas=(0.5, 0.999))
    network = task.new_network(RNG.fork("start").fork("network"))
    for step in range(3):
        state, loss = driver.advance(method, task, state, RNG)
        rng = RNG.fork("step", step)
        weights = dict(network.named_parameters())
        for k in range(4):
            picked = [4 * c + 2 * (k % 2) + j for c in range(3) for j in range(2)]
            said = torch.func.functional_call(network, weights, (images[picked],))
            inner = F.cross_entropy(said, torch.tensor([0, 0, 1, 1, 2, 2]))
            gradients = torch.autograd.grad(inner, list(weights.values()), create_graph=True)
            rate = F.softplus(raw[k])
            weights = {n: w - rate * g for (n, w), g in zip(weights.items(), gradients, strict=True)}
        real, classes = task.real_batch(9, rng)
        outer = F.cross_entropy(torch.func.functional_call(network, weights, (real,)), classes)
        optimizer.zero_grad()
        outer.backward(inputs=[images, raw])
        optimizer.step()
        assert loss == pytest.approx(float(outer.detach()), rel=1e-5)
        network = task.new_network(rng.fork("advance").fork("network"))
    torch.testing.assert_close(state.synthetic.images.detach(), images.detach(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(state.synthetic.rates.detach(), raw.detach(), rtol=1e-3, atol=1e-4)


def test_gradients_are_those_of_finite_differences_in_double_precision(make_task, monkeypatch) -> None:
    """Of images and of what the rates are made of, in a random direction each."""
    task, method, state = begun(make_task)
    real, classes = task.real_batch(9, RNG)
    monkeypatch.setattr(Task, "real_batch", lambda *_: (real.double(), classes))
    leaves = [t.detach().double().requires_grad_() for t in state.leaves()]
    synthetic = replace(state.synthetic, images=leaves[0], rates=leaves[1])
    state = replace(state, synthetic=synthetic, networks={"network": state.network.double()})
    (term,) = method.terms(task, state, RNG)
    found = torch.autograd.grad(term, leaves)
    assert_slopes(lambda: next(iter(method.terms(task, state, RNG))), leaves, found, RNG)


def test_the_set_is_trained_in_its_order_at_its_rates(make_task) -> None:
    task, method, state = begun(make_task)
    state, _ = driver.advance(method, task, state, RNG)
    recipe, augmentation = own_recipe(json.loads(json.dumps(method.training(task, state))))
    assert recipe.order == (0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11)
    assert recipe.rates == pytest.approx(F.softplus(state.synthetic.rates.detach()).tolist())
    assert (recipe.epochs, recipe.batch_size, recipe.momentum, recipe.weight_decay) == (2, 6, 0, 0)
    assert augmentation == "none" and recipe.weights == -1


def test_classes_with_more_images_come_last_with_what_the_others_lack(make_task) -> None:
    """Counts of 1, 3 and 2, one image of each class at a time: 0; 1 to 3; 4 and 5."""
    task, method = make_task(NETWORK, ipc=(1, 3, 2)), get_method("dd", real_batch=9, passes=1)
    recipe = own_recipe(method.training(task, driver.begin(method, task, RNG)))[0]
    assert recipe.order == (0, 1, 4, 2, 5, 3) and len(recipe.rates) == 2 and recipe.batch_size == 3


def test_fixed_weights_are_those_that_the_recipe_names(make_task) -> None:
    task, method, state = begun(make_task, weights="fixed")
    named = own_recipe(method.training(task, state))[0].weights
    for _ in range(2):
        expected = task.network.build(task.spec, Rng(named))
        assert all(
            torch.equal(a, b) for a, b in zip(state.network.parameters(), expected.parameters(), strict=True)
        )
        state, _ = driver.advance(method, task, state, RNG)


def test_the_rate_of_the_images_is_halved(make_task) -> None:
    task, method, state = begun(make_task, halve_after=1)
    found = []
    for _ in range(3):
        state, _ = driver.advance(method, task, state, RNG)
        found.append(state.optimizers["synthetic"].param_groups[0]["lr"])
    assert found == [0.01, 0.005, 0.0025]


def test_two_seeds_are_evaluated_together_each_by_its_own_rates(tiny_file: Path, tmp_path: Path) -> None:
    settings = {"ipc": 1, "network": NETWORK, "device": "cpu", "real_batch": 8, "steps": 2}
    made = [condensery.condense(tiny_file, "dd", seed=seed, **settings) for seed in (0, 1)]
    assert made[0].training["rates"] != made[1].training["rates"]
    found = condensery.evaluate(made, protocol="quick", repeats=1, baselines=())
    assert [(s.recipe, s.n) for s in found.scores] == [("common protocol", 2), ("own recipe", 2)]
    assert any("in batches of 3 in a fixed order, sgd at 0.0" in note for note in found.notes)
    first = condensery.evaluate(made[0], protocol="quick", repeats=1, baselines=(), recipe="own")
    assert found.scores[1].accuracies[0] == first.scores[0].accuracies[0]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"weights": "known"}, "unknown weights 'known'; choose one of random, fixed"),
        ({"rate": 0.0}, "--rate must be more than 0, where learned rates begin, and 1e6 at most, not 0"),
    ],
)
def test_bad_input(make_task, fields, said) -> None:
    with pytest.raises(BadInput, match=said):
        get_method("dd", **fields).check(make_task(NETWORK, ipc=4))


def test_an_unrolling_that_does_not_fit_is_refused(make_task, monkeypatch) -> None:
    monkeypatch.setattr(unrolling, "device_memory", lambda device: 200_000)
    with pytest.raises(
        BadInput, match=r"4,000 unrolled steps of 3 images take .*: \d+ steps would fit; choose fewer"
    ):
        get_method("dd", passes=1000).check(make_task(NETWORK, ipc=4))


def test_diverging_training_stops_and_keeps_the_set(tiny_file: Path, tmp_path: Path) -> None:
    settings: dict[str, object] = {"ipc": 1, "device": "cpu", "real_batch": 8, "steps": 2, "passes": 9}
    settings["network"] = f"{NETWORK}+norm=none"
    with pytest.raises(
        FailedWork,
        match=r"unrolled training diverges: .* with a learned rate of 1e\+06: begin with a smaller one, or .*; the set",
    ):
        condensery.condense(tiny_file, "dd", rate=1e6, out=tmp_path / "run", **settings)
    assert len(condensery.load(tmp_path / "run")) == 3
