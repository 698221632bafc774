"""Named randomness."""

from __future__ import annotations

import random
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from torch import nn

from condensery import Rng


def draw(rng: Rng) -> list[float]:
    return torch.rand(5, generator=rng.torch()).tolist()


def test_same_names_same_numbers() -> None:
    assert draw(Rng(1).fork("a", 2)) == draw(Rng(1).fork("a", 2)) == draw(Rng(1).fork("a").fork(2))
    assert Rng(1).fork("a").numpy().integers(1000, size=5).tolist() == (
        Rng(1).fork("a").numpy().integers(1000, size=5).tolist()
    )


@pytest.mark.parametrize(
    "other",
    [Rng(2).fork("a", 1), Rng(1).fork("a", 2), Rng(1).fork("b", 1), Rng(1).fork("a"), Rng(1), Rng(-1)],
)
def test_other_names_other_numbers(other: Rng) -> None:
    assert draw(Rng(1).fork("a", 1)) != draw(other)


def test_paths_that_look_alike_are_apart() -> None:
    alike = [
        Rng(1).fork(1),
        Rng(1).fork("1"),
        Rng(11),
        Rng(1).fork(1, 1),
        Rng(1).fork(11),
        Rng(1).fork("1", "1"),
    ]
    assert len({rng.entropy for rng in alike}) == len(alike)


def test_drawing_changes_nothing() -> None:
    rng = Rng(7)
    first = draw(rng)
    rng.numpy().random(10)
    rng.fork("other").torch()
    assert draw(rng) == first


def test_known_values_never_change() -> None:
    """Results of old runs stay reproducible: these numbers are part of the format."""
    assert Rng(0).entropy == 2033344993903900207
    assert Rng(0).fork("step", 3).entropy == 7095743627019352880


def test_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Rng(0).seed = 1  # type: ignore[misc]


def test_seeded_decides_initialisers_and_puts_the_generator_back() -> None:
    before = torch.get_rng_state()
    with Rng(1).seeded():
        first = nn.Linear(3, 3).weight.detach().clone()
    assert torch.equal(torch.get_rng_state(), before)
    with Rng(1).seeded():
        assert torch.equal(nn.Linear(3, 3).weight, first)
    with Rng(2).seeded():
        assert not torch.equal(nn.Linear(3, 3).weight, first)


def test_seeded_puts_the_generator_back_after_an_error() -> None:
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), Rng(1).seeded():
        torch.rand(3)
        _ = 1 / 0
    assert torch.equal(torch.get_rng_state(), before)


def test_other_generators_are_never_touched() -> None:
    python, numpy = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    draw(Rng(3))
    Rng(3).numpy().random()
    with Rng(3).seeded():
        torch.rand(1)
    assert random.getstate() == python
    assert np.random.get_state()[1].tolist() == numpy  # type: ignore[index]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_generator_of_a_gpu_is_never_touched() -> None:
    before = torch.cuda.get_rng_state()
    with Rng(3).seeded():
        nn.Linear(3, 3)
    assert torch.equal(torch.cuda.get_rng_state(), before)
