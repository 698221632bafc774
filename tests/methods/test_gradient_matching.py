"""All classes in one pass, as on a GPU: the terms of the loop over classes, added up."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from condensery import Method, Rng, State, Task, driver, get_method
from condensery.data import ClassPool
from condensery.matching.distances import DISTANCES
from condensery.synthetic import Pixels

RNG = Rng(2)
SMALL = "convnet+width=8+depth=2"
IMAGE = 8 * 8  # pixels of a digit
NETWORKS = [SMALL, *(f"{SMALL}+norm={norm}" for norm in ("none", "layer", "group"))]
NETWORKS += [f"{SMALL}+pooling=max+activation=swish", f"{SMALL}+pooling=none+activation=sigmoid"]


def in_float64(method: Method, task: Task, monkeypatch: pytest.MonkeyPatch) -> State:
    """The first state, in float64 as the real images from now on."""
    sample = ClassPool.sample
    monkeypatch.setattr(ClassPool, "sample", lambda *given: sample(*given).double())
    state = driver.begin(method, task, RNG)
    images = state.synthetic.images.detach().double().requires_grad_()
    return State.of(Pixels(images, task.counts), torch.optim.SGD([images]), state.network.double())


def step(method: Method, task: Task, state: State) -> tuple[int, Tensor, Tensor]:
    """How many terms there are, their sum, and its gradient."""
    terms = list(method.terms(task, state, RNG.fork("step")))
    total = torch.stack(terms).sum()
    return len(terms), total.detach(), torch.autograd.grad(total, state.leaves())[0]


def require_equal(
    make_task, monkeypatch, method: Method, network: str = SMALL, ipc=2, terms: int = 1
) -> None:
    found = []
    for chunk in (4, None):
        task = make_task(network, ipc, chunk)
        found.append(step(method, task, in_float64(method, task, monkeypatch)))
    (one_by_one, expected, gradient), (passes, ours, our_gradient) = found
    assert (one_by_one, passes) == (3, terms)
    assert gradient.abs().max() > 1e-4
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(our_gradient, gradient, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", ["dc", "dsa"])
def test_every_layer_of_a_convnet(name: str, network: str, make_task, monkeypatch) -> None:
    require_equal(make_task, monkeypatch, get_method(name, real_batch=7), network)


@pytest.mark.parametrize("distance", DISTANCES)
def test_every_distance(distance: str, make_task, monkeypatch) -> None:
    require_equal(make_task, monkeypatch, get_method("dc", real_batch=7, distance=distance))


@pytest.mark.parametrize("name", ["dsa", "dcc"])
def test_classes_of_unequal_size(name: str, make_task, monkeypatch) -> None:
    """The smaller ones are filled up with images that weigh nothing."""
    require_equal(make_task, monkeypatch, get_method(name, real_batch=7), ipc=(1, 4, 2))


@pytest.mark.parametrize(("classes", "terms"), [(1, 3), (2, 2), (3, 1)])
def test_as_many_classes_as_memory_holds(classes: int, terms: int, make_task, monkeypatch) -> None:
    monkeypatch.setattr("condensery.methods.gradient_matching._AT_ONCE", classes * 2 * IMAGE)
    require_equal(make_task, monkeypatch, get_method("dc", real_batch=7), terms=terms)


@pytest.mark.parametrize("network", [SMALL + "+norm=batch", "mlp", f"{__name__}:with_dropout"])
def test_other_networks_go_class_by_class(network: str, make_task, monkeypatch) -> None:
    task = make_task(network, chunk=None)
    monkeypatch.setattr("condensery.methods.gradient_matching.sum_of_distances", None)
    method = get_method("dc", real_batch=7)
    assert step(method, task, driver.begin(method, task, RNG))[0] == 3


def with_dropout(channels: int, image_size: tuple[int, int], num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(channels * math.prod(image_size), num_classes))


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-3), ("bfloat16", 0.1)])
def test_precisions_of_users(precision: str, tolerance: float, make_task) -> None:
    """Stored tiles under augmentation, and images enough for pooling by oneDNN."""
    method, found = get_method("dsa", real_batch=7, factor=2), []
    for chunk in (32, None):
        task = make_task("convnet+width=64+depth=2", ipc=8, chunk=chunk)
        task = replace(task, network=task.network.computing_in(precision))
        found.append(step(method, task, driver.begin(method, task, RNG)))
    (_, expected, gradient), (terms, ours, our_gradient) = found
    assert terms == 1
    torch.testing.assert_close(ours, expected, rtol=tolerance / 10, atol=0)
    assert (our_gradient - gradient).norm() < tolerance * gradient.norm()
