"""Condensery gives the numbers that the authors' own functions gave; `authors.json` says where from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from reference_inputs import CHANNELS, CLASSES, DEPTH, IPC, SIZE, WIDTH, fill, real_images, synthetic_images
from torch import Tensor, nn

from condensery import PROTOCOLS, ImageSpec, Rng, State, Task, driver, get_method
from condensery.budgets import uniform
from condensery.matching.distances import get_distance
from condensery.matching.gradients import differentiable_gradient, gradient
from condensery.models.registry import resolve
from condensery.synthetic import Pixels
from condensery.training import TensorImages, accuracy, fit

AUTHORS = json.loads((Path(__file__).parent / "authors.json").read_text())
SPEC = ImageSpec(CHANNELS, SIZE, SIZE, ("a", "b", "c"), (0.0,) * 3, (1.0,) * 3)
RNG = Rng(0)


def filled(norm: str = "instance") -> nn.Module:
    return fill(resolve(f"convnet+width={WIDTH}+depth={DEPTH}+norm={norm}").build(SPEC, RNG))


def close(ours: Tensor, theirs: list[float]) -> None:
    torch.testing.assert_close(ours.detach().flatten(), torch.tensor(theirs), rtol=2e-4, atol=2e-5)


COUNTS = uniform(IPC, CLASSES)


class GivenPool:
    """Real images that no uint8 pixels could hold."""

    spec, device, counts = SPEC, torch.device("cpu"), [len(real_images(0))] * CLASSES

    def sample(self, c: int, n: int, rng: Rng) -> Tensor:
        return real_images(c)[:n]


def given_state(method: Any, norm: str = "instance") -> tuple[Task, State]:
    factory = resolve(f"convnet+width={WIDTH}+depth={DEPTH}+norm={norm}")
    task = Task(GivenPool(), factory, COUNTS, torch.device("cpu"), chunk=2)  # type: ignore[arg-type]
    images = torch.cat([synthetic_images(c) for c in range(CLASSES)]).requires_grad_()
    optimizer = torch.optim.SGD([images], method.image_lr, method.image_momentum)
    return task, State.of(Pixels(images, COUNTS), optimizer, filled(norm))


@pytest.mark.parametrize("case", AUTHORS["distances"], ids=lambda c: f"{c['norm']}-{c['distance']}")
def test_distances_and_their_gradients(case: dict[str, Any]) -> None:
    network, images = filled(case["norm"]), synthetic_images(1).requires_grad_()
    real = gradient(network, real_images(1), torch.ones(len(real_images(1)), dtype=torch.long), chunk=2)
    value = get_distance(case["distance"])(
        differentiable_gradient(network, images, torch.ones(len(images), dtype=torch.long)), real
    )
    assert value.item() == pytest.approx(case["value"], rel=1e-5)
    (slope,) = torch.autograd.grad(value, images)
    close(slope if case["norm"] == "instance" else slope[:, :, 3, 3], case["gradient"])


def test_two_updates_of_dc() -> None:
    """The network stays as it is: one training epoch at a learning rate of 0."""
    method = get_method("dc", outer_loop=10, inner_loop=1, network_lr=0.0)
    task, state = given_state(method)
    losses = [loss for _, loss in driver.trajectory(method, task, state, RNG, 2)]
    assert losses == pytest.approx(AUTHORS["dc_updates"]["losses"], rel=1e-5)
    close(state.synthetic.images, AUTHORS["dc_updates"]["images"])


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_loss_of_dm_and_its_gradient(norm: str) -> None:
    method = get_method("dm", augmentation="none")
    task, state = given_state(method, norm)
    value = torch.stack(list(method.terms(task, state, RNG))).sum()
    assert value.item() == pytest.approx(AUTHORS["dm"][norm]["value"], rel=1e-5)
    (slope,) = torch.autograd.grad(value, state.synthetic.images)
    close(slope, AUTHORS["dm"][norm]["gradient"])


def test_training_from_first_to_last_epoch() -> None:
    """Their `evaluate_synset` with Epoch 6: 7 epochs, a new optimiser after index 4."""
    theirs = AUTHORS["training"]
    protocol = replace(PROTOCOLS["dc-2021"], plain_epochs=theirs["epochs"])
    images = torch.cat([synthetic_images(c) for c in range(CLASSES)])
    network = filled()
    recipe = protocol.recipe(SPEC, resolve("convnet"))
    fit(network, TensorImages(images, torch.arange(CLASSES).repeat_interleave(IPC)), recipe, RNG, chunk=2)
    for k, parameter in enumerate(network.parameters()):
        close(parameter, theirs["parameters"][str(k)])
    test = [(real_images(c), torch.full((len(real_images(c)),), c)) for c in range(CLASSES)]
    assert accuracy(network, test) == pytest.approx(theirs["accuracy"])


@pytest.mark.parametrize("ipc", AUTHORS["loops"])
def test_loops(ipc: str) -> None:
    assert list(get_method("dc").loops(int(ipc))) == AUTHORS["loops"][ipc]  # type: ignore[attr-defined]


@pytest.mark.parametrize("data", AUTHORS["dc_augmentation"])
def test_augmentation_of_dc(data: str) -> None:
    for network, strategy in AUTHORS["dc_augmentation"][data].items():
        augmentation = PROTOCOLS["dc-2021"].augment(replace(SPEC, name=data), resolve(network))
        assert getattr(augmentation, "strategy", "none") == strategy


@pytest.mark.parametrize(("protocol", "mode"), [("dc-2021", "S"), ("dsa-2021", "S"), ("dm-2023", "SS")])
def test_network_that_judges_a_set(protocol: str, mode: str) -> None:
    for own, judge in AUTHORS["own_network"][mode].items():
        assert PROTOCOLS[protocol].network(resolve(own)).canonical == resolve(judge).canonical
