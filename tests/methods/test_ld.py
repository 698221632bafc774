"""Label distillation: against a plain transcription of the algorithm, the ridge by hand, when a network is redrawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import condensery
from condensery import BadInput, Rng, driver, get_method
from condensery.methods.ld import as_probabilities, ridge_weights, watched
from condensery.training_recipe import own_recipe

RNG = Rng(2)
NETWORK = "convnet+width=4+depth=1"


def begun(make_task, network: str = NETWORK, **fields):
    task = make_task(network, ipc=2)
    method = get_method("ld", **{"real_batch": 10, "base_batch": 4, **fields})
    return task, method, driver.begin(method, task, RNG)


def test_labels_are_those_of_a_plain_transcription(make_task) -> None:
    """Algorithm 1 with its graph built by autograd, fed the same draws: five steps, to float tolerance."""
    task, method, state = begun(make_task, label_lr=0.05, inner_lr=0.5)
    network = task.new_network(RNG.fork("start").fork("network"))
    images = state.synthetic.images
    labels = torch.full((6, 3), 1 / 3, requires_grad=True)
    label_optimizer = torch.optim.Adam([labels], 0.05)
    network_optimizer = torch.optim.Adam(network.parameters(), 0.001)
    for step in range(5):
        state, _ = driver.advance(method, task, state, RNG)
        rng = RNG.fork("step", step)
        real, classes = task.real_batch(10, rng)
        picked = torch.randperm(6, generator=rng.fork("base batch").torch())[:4]
        inner = -(labels[picked] * network(images[picked]).log_softmax(1)).sum(1).mean()
        gradients = torch.autograd.grad(inner, list(network.parameters()), create_graph=True)
        fast = {n: p - 0.5 * g for (n, p), g in zip(network.named_parameters(), gradients, strict=True)}
        outer = F.cross_entropy(torch.func.functional_call(network, fast, (real,)), classes)
        label_optimizer.zero_grad()
        outer.backward(inputs=[labels])
        label_optimizer.step()
        labels.data = labels.data.clamp(0, 1)
        labels.data /= labels.data.sum(1, keepdim=True)
        for p, g in zip(network.parameters(), gradients, strict=True):
            p.grad = g.detach()
        network_optimizer.step()
    torch.testing.assert_close(state.synthetic.targets.detach(), labels.detach(), rtol=1e-4, atol=1e-5)
    assert (labels - 1 / 3).abs().max() > 0.05


def test_ridge_weights_are_those_of_the_normal_equations() -> None:
    """By hand: (X^T X + lambda)^-1 X^T Y is the same classifier as that from the kernel."""
    with RNG.seeded():
        features, targets = torch.randn(5, 3).double(), torch.rand(5, 4).double()
    inverse = np.linalg.inv(features.T.numpy() @ features.numpy() + 2 * np.eye(3))
    expected = inverse @ features.T.numpy() @ targets.numpy()
    np.testing.assert_allclose(ridge_weights(features, targets, 2.0).numpy(), expected, rtol=1e-10)


def test_ridge_moves_the_classifier_by_a_hundredth(make_task) -> None:
    task, method, state = begun(make_task, variant="ridge", base_batch=6)
    twin = driver.begin(method, task, RNG)
    state, _ = driver.advance(method, task, state, RNG)
    with torch.no_grad():
        features = twin.network.embed(state.synthetic.images[state.memory["picked"]])
        features = torch.cat([features, torch.ones(6, 1)], 1)
        uniform = torch.full(
            (6, task.spec.num_classes), 1 / task.spec.num_classes
        )  # labels before their update
        expected = 0.01 * ridge_weights(features, uniform, 1.0)
    torch.testing.assert_close(state.memory["classifier"], expected, rtol=1e-4, atol=1e-6)
    before = {k: v.clone() for k, v in state.networks["scale"].state_dict().items()}
    state, _ = driver.advance(method, task, state, RNG)
    assert float(before["factor"]) != float(state.networks["scale"].factor.detach()) != 1
    assert torch.allclose(state.synthetic.targets.sum(1), torch.ones(6))


def test_labels_are_cut_off_and_divided() -> None:
    labels = torch.tensor([[1.5, 0.5, -1.0], [-1.0, -2.0, -3.0]])
    expected = torch.tensor([[2 / 3, 1 / 3, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    torch.testing.assert_close(as_probabilities(labels), expected)


def test_a_network_is_drawn_anew_where_errors_have_not_fallen_for_a_window() -> None:
    """By hand, a window of 2: sums 1.6 and 1.0 (the least, at age 3), then three that are no less."""
    memory = {name: torch.zeros(()) for name in ("error", "age", "lowest", "waited")}
    memory |= {"errors": torch.zeros(2), "recorded": torch.zeros(3)}
    ages = []
    for error in (0.9, 0.7, 0.3, 0.8, 0.9, 0.9):
        memory = watched({**memory, "error": torch.tensor(error)})
        ages.append(int(memory["age"]))
    assert ages == [1, 2, 3, 4, 5, 0]
    assert memory["recorded"].tolist() == [0, 0, 3]
    assert memory["errors"].tolist() == [0, 0] and memory["waited"] == 0


def test_the_state_gets_another_network_and_the_recipe_the_steps(make_task) -> None:
    task, method, state = begun(make_task, window=1)
    method_steps = []
    for _ in range(12):
        before = state.network
        state, _ = driver.advance(method, task, state, RNG)
        if state.network is not before:
            method_steps.append(int(state.memory["recorded"][-1]))
            assert not state.optimizers["network"].state
    assert method_steps
    recipe, augmentation = own_recipe(method.training(task, state))
    known = state.memory["recorded"]
    expected = max(1, round(float(known[known > 0].mean()) / 2))  # two batches of 4 of 6 images an epoch
    assert (recipe.epochs, recipe.optimizer, recipe.batch_size) == (expected, "adam", 4)
    assert augmentation == "none" and recipe.weight_decay == 0


def test_a_finished_run_keeps_labels_and_recipe_when_it_is_resumed(tiny_file: Path, tmp_path: Path) -> None:
    settings = {"ipc": 1, "network": NETWORK, "device": "cpu", "real_batch": 8, "base_batch": 2}
    made = condensery.condense(tiny_file, "ld", steps=6, out=tmp_path / "run", **settings)
    again = condensery.resuming.resume_run(tmp_path / "run")
    assert made.training == again.training and made.training["epochs"] == 3
    assert made.label_kind == "learned"
    scores = condensery.evaluate(made, protocol="quick", repeats=1, baselines=("random",)).scores
    assert [(s.subject, s.labels, s.recipe) for s in scores] == [
        ("ld", "hard", "common protocol"),
        ("random", "hard", "common protocol"),
        ("ld", "learned", "common protocol"),
        ("random", "hard", "common protocol"),
        ("ld", "learned", "own recipe"),
        ("random", "hard", "own recipe"),
    ]


@pytest.mark.parametrize(
    ("fields", "network", "said"),
    [
        (
            {"variant": "first-order"},
            NETWORK,
            "unknown variant 'first-order'; choose one of second-order, ridge",
        ),
        ({"variant": "ridge"}, "lenet", "ridge regression needs embeddings and lenet has none: choose"),
    ],
)
def test_bad_input(make_task, fields, network, said) -> None:
    with pytest.raises(BadInput, match=said):
        get_method("ld", **fields).check(make_task(network))


def test_images_stay_what_they_were(make_task) -> None:
    task, method, state = begun(make_task)
    before = state.synthetic.images.clone()
    state, _ = driver.advance(method, task, state, RNG)
    assert torch.equal(state.synthetic.images, before) and list(state.synthetic.leaves()) == ["targets"]
    assert replace(state).synthetic.content().targets is not None


def test_a_balanced_batch_has_equally_many_of_each_class_and_others_need_not(make_task) -> None:
    task = make_task(ipc=1)
    even = get_method("ld", balanced="yes", real_batch=20)._real(task, Rng(1))[1]
    assert even.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    drawn = get_method("ld", real_batch=18)._real(task, Rng(1))[1]
    assert len(drawn) == 18 and torch.bincount(drawn).tolist() != [6, 6, 6]
    with pytest.raises(BadInput, match="unknown balanced 'maybe'; choose one of no, yes"):
        get_method("ld", balanced="maybe").check(task)
