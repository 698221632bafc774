"""Kernel velocity: by hand, and along runs."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

from condensery import BadInput, ImageData, Rng, SyntheticSet, driver, get_method
from condensery.diagnostics import gram, kernel_velocity, velocity

NETWORK = "convnet+width=8+depth=1"


def set_of(tiny: ImageData, method: str, **fields: Any) -> SyntheticSet:
    images = torch.zeros(6, 1, 8, 8)
    record = {"method": method, "fields": {"outer_loop": 3, "inner_loop": 1, "real_batch": 6, **fields}}
    return SyntheticSet(images, torch.arange(3).repeat_interleave(2), tiny.spec, record)


def measured(tiny: ImageData, *sets: SyntheticSet, **more: Any) -> dict[str, Any]:
    return velocity.measure(tiny, sets, network=NETWORK, device="cpu", **more)


def test_gram_is_the_inner_products_of_rows() -> None:
    jacobian = torch.tensor([[[1.0, 2.0]], [[3.0, -1.0]]])  # two images of 1 x 2
    assert gram(jacobian).tolist() == [[5.0, 1.0], [1.0, 10.0]]


def test_velocity_by_hand() -> None:
    kernel = torch.tensor([[2.0, 1.0], [1.0, 2.0]], dtype=torch.float64)  # length sqrt(10)
    assert kernel_velocity(kernel, 7 * kernel) == pytest.approx(0.0, abs=1e-12)
    assert kernel_velocity(torch.diag(torch.tensor([1.0, 0.0])), torch.diag(torch.tensor([0.0, 3.0]))) == 1.0
    assert kernel_velocity(kernel, torch.eye(2).double()) == pytest.approx(1 - 4 / math.sqrt(10 * 2))


def test_turning_all_gradients_alike_is_no_velocity() -> None:
    """The kernel sees inner products alone."""
    jacobian = torch.randn(4, 3, generator=Rng(0).torch())
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=Rng(1).torch()))
    assert kernel_velocity(gram(jacobian), gram(jacobian @ turn)) == pytest.approx(0.0, abs=1e-6)


def test_no_gradient_no_direction() -> None:
    with pytest.raises(BadInput, match="a kernel of zeros has no velocity"):
        kernel_velocity(torch.zeros(2, 2), torch.ones(2, 2))


def test_the_first_velocity_is_that_of_the_first_two_gradients(tiny: ImageData, make_task) -> None:
    found = measured(tiny, set_of(tiny, "dc"), steps=2)
    task, method = make_task(NETWORK, chunk=16), get_method("dc", outer_loop=3, inner_loop=1, real_batch=6)
    rng = Rng(0).fork("velocity", 0)
    state = driver.begin(method, task, rng)
    kernels = []
    for step in range(2):
        total = sum(method.terms(task, state, rng.fork("step", step)), torch.zeros(()))
        (jacobian,) = torch.autograd.grad(total, state.leaves())
        kernels.append(gram(jacobian))
        state, _ = driver.advance(method, task, state, rng)
    assert found["velocity"] == [[pytest.approx(kernel_velocity(*kernels), rel=1e-3)]]


def test_new_networks_are_marked(tiny: ImageData) -> None:
    """With 3 updates on each network: the steps 3 and 6 are the first on theirs."""
    found = measured(tiny, set_of(tiny, "dsa"), set_of(tiny, "dc"), steps=8)
    marks = [False, False, True, False, False, True, False]
    assert found["new_network"] == [marks, marks]
    assert (found["at_new_network"]["n"], found["elsewhere"]["n"]) == (4, 10)
    peaks = [v for values in found["velocity"] for v, new in zip(values, marks, strict=True) if new]
    assert found["at_new_network"]["mean"] == pytest.approx(sum(peaks) / 4)
    assert json.loads(json.dumps(found)) == found


def test_dccs_own_velocity_is_that_without_warm_up(tiny: ImageData) -> None:
    """In the warm-up DCC is DC from real images."""
    contrastive = set_of(tiny, "dcc")
    warming = measured(tiny, contrastive, steps=3)["velocity"]
    assert warming == measured(tiny, set_of(tiny, "dc", init="real"), steps=3)["velocity"]
    own = measured(tiny, contrastive, steps=3, warmup="none")
    assert own["velocity"] != warming and own["changed_fields"] == {"warmup": "none"}


def test_distribution_matching_has_a_new_network_at_every_step(tiny: ImageData) -> None:
    plain = SyntheticSet(torch.zeros(3, 1, 8, 8), torch.arange(3), tiny.spec, {"method": "dm"})
    found = measured(tiny, plain, steps=3)
    assert found["new_network"] == [[True, True]] and found["elsewhere"] is None


def test_refusals(tiny: ImageData) -> None:
    foreign = SyntheticSet(torch.zeros(3, 1, 8, 8), torch.arange(3), tiny.spec)
    with pytest.raises(BadInput, match="steps must be at least 2, not 1"):
        measured(tiny, set_of(tiny, "dc"), steps=1)
    with pytest.raises(BadInput, match="unknown method 'None'"):
        measured(tiny, foreign, steps=2)
    with pytest.raises(BadInput, match="dc has no field 'warmup'"):
        measured(tiny, set_of(tiny, "dc"), steps=2, warmup="none")
