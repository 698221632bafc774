"""CAFE: the objective written out, in chunks as in one pass, and the schedule that follows accuracy, within bounds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from condensery import BadInput, Rng, driver, get_method
from condensery.methods.cafe import class_means, pushed, spread

RNG = Rng(6)
NETWORK = "convnet+width=4+depth=3"


def begun(make_task, network: str = NETWORK, **fields):
    task = make_task(network, ipc=2)
    method = get_method("cafe", **{"real_batch": 5, "query_batch": 4, "most_epochs": 12, **fields})
    return task, method, driver.begin(method, task, RNG)


def test_objective_is_that_of_the_authors_code_written_out(make_task) -> None:
    """Layers after each activation (.1, .1, 1), the last pooling (1) and its flattened form (1); .01 of the logits."""
    task, method, state = begun(make_task)
    (term,) = method.terms(task, state, RNG)
    features = state.network.features

    def maps(images):
        found, x = [], images
        for layer in features:
            x = layer(x)
            if isinstance(layer, torch.nn.ReLU):
                found.append(x)
        return [*found, x, x.flatten(1)]

    real = torch.cat([task.pool.sample(c, 5, RNG.fork("real batch", c)) for c in range(3)])
    theirs, ours = maps(real), maps(state.synthetic.images)
    total = torch.zeros(())
    for weight, a, b in zip((0.1, 0.1, 1.0, 1.0, 1.0), theirs, ours, strict=True):
        means = a.reshape(3, 5, *a.shape[1:]).mean(1), b.reshape(3, 2, *b.shape[1:]).mean(1)
        total = total + weight * F.mse_loss(*means, reduction="sum")
    logits = theirs[-1] @ ours[-1].reshape(3, 2, -1).mean(1).T
    total = total + 0.01 * F.cross_entropy(logits, torch.arange(3).repeat_interleave(5), reduction="sum")
    torch.testing.assert_close(term, total, rtol=1e-4, atol=1e-5)
    (expected,) = torch.autograd.grad(total, state.synthetic.images)
    term.backward(inputs=state.leaves())
    torch.testing.assert_close(state.synthetic.images.grad, expected, rtol=1e-3, atol=1e-5)


def test_chunks_change_nothing(make_task) -> None:
    task = make_task(NETWORK)
    network, classes = task.new_network(RNG), [task.pool.sample(c, 7, RNG.fork(c)) for c in range(3)]
    with torch.no_grad():
        whole, parts = class_means(network, classes, None), class_means(network, classes, 3)
    for a, b in zip([*whole[0], whole[1]], [*parts[0], parts[1]], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_window_speaks_only_when_it_is_full() -> None:
    seen = torch.full((10,), -1.0)
    for k in range(10):
        assert not spread(seen, below=0.5) and not spread(seen, above=0.0)
        seen = pushed(seen, 0.1 * (k % 2))
    assert spread(seen, below=0.2) and not spread(seen, below=0.05)
    assert spread(seen, above=0.05) and not spread(seen, above=0.2)


def scripted(monkeypatch, accuracies):
    """Let the accuracies be these, over and over."""
    source = iter(accuracies)
    monkeypatch.setattr("condensery.methods.cafe.CAFE._query", lambda *_: next(source))


def test_a_network_whose_accuracy_stands_still_is_left_after_ten_updates(make_task, monkeypatch) -> None:
    """And one whose accuracy moves is trained no longer than the bound says."""
    task, method, state = begun(make_task, most_epochs=2)
    scripted(monkeypatch, iter(lambda: 0.3, None))
    first, ages = state.network, []
    for _ in range(10):
        assert state.network is first
        state, _ = driver.advance(method, task, state, RNG)
        ages.append(int(state.memory["updates"]))
    assert ages == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    assert state.network is not first and state.memory["networks"] == 1
    assert (state.memory["accuracies"] == -1).all()


def test_image_updates_of_a_network_are_bounded(make_task, monkeypatch) -> None:
    task, method, state = begun(make_task, most_updates=3, most_epochs=1)
    numbers = (0.1 * (k % 7) for k in range(1000))
    scripted(monkeypatch, numbers)
    found = []
    for _ in range(7):
        state, _ = driver.advance(method, task, state, RNG)
        found.append(int(state.memory["networks"]))
    assert found == [0, 0, 1, 1, 1, 2, 2]


def test_training_stops_when_ten_accuracies_differ(make_task, monkeypatch) -> None:
    """Ten epochs that differ by .01 and an eleventh by .05: eleven in all, one of the update before."""
    task, method, state = begun(make_task, most_epochs=40)
    asked = []
    values = [0.5, *[0.5, 0.51] * 5, 0.56]
    monkeypatch.setattr(
        "condensery.methods.cafe.CAFE._query", lambda *_: asked.append(1) or values[len(asked) - 1]
    )
    driver.advance(method, task, state, RNG)
    assert len(asked) == 12


def test_the_rate_is_halved_by_networks(make_task) -> None:
    task, method, state = begun(make_task)
    found = []
    for networks in (0, 1200, 1600, 1800):
        memory = {**state.memory, "networks": torch.tensor(float(networks))}
        list(method.terms(task, replace(state, memory=memory), RNG))
        found.append(state.optimizers["synthetic"].param_groups[0]["lr"])
    assert found == [0.1, 0.05, 0.025, 0.0125]


def test_networks_without_layers_to_match_are_refused(make_task) -> None:
    with pytest.raises(
        BadInput, match="cafe matches embeddings and test_dm:Identity has none, or no layers called"
    ):
        get_method("cafe").check(make_task("test_dm:Identity"))
