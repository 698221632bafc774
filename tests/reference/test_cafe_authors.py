"""CAFE gives the images of the authors' program, in double precision, from the same draws.

`cafe_authors.json` holds what their `distill.py`, run as it is, drew and made; its "origin" says how.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from reference_inputs import double_filled
from reference_inputs import double_wave as wave
from torch import Tensor, nn

from condensery import ImageSpec, Rng, State, Task, driver, get_method
from condensery.budgets import uniform
from condensery.methods import cafe
from condensery.models.registry import resolve
from condensery.synthetic import Pixels

THEIRS = json.loads((Path(__file__).parent / "cafe_authors.json").read_text("utf-8"))
CLASSES, REAL, SIDE = 10, 5, 32
SPEC = ImageSpec(3, SIDE, SIDE, tuple("abcdefghij"), (0.0,) * 3, (1.0,) * 3)
FACTORY, CPU, RNG = resolve("convnet+width=3"), torch.device("cpu"), Rng(0)


def network() -> nn.Module:
    return double_filled(FACTORY.build(SPEC, RNG))


class Pool:
    """Their real images, and which of them each update drew."""

    spec, device, counts, update = SPEC, CPU, [REAL] * CLASSES, 0

    def sample(self, c: int, n: int, rng: Rng) -> Tensor:
        images = wave(REAL, 3, SIDE, SIDE, phase=10.0 + c) + 0.3 * c - 1
        return images if n >= REAL else images[THEIRS["real"][self.update][c]]


def test_two_updates_and_the_training_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten epochs: where training stops does not depend on accuracies here, since theirs are running sums.

    Ours are compared with what those are sums of.
    """
    pool, counts = Pool(), uniform(1, CLASSES)
    method: Any = get_method("cafe", real_batch=3, train_batch=4, network_lr=0.05, most_updates=2)
    method = replace(method, lambda_2=-1.0)
    trained, query, asked = cafe.train_epoch, cafe.CAFE._query, []

    def in_their_order(*args: Any, **more: Any) -> None:
        more["order"] = THEIRS["orders"][int(args[4].path.rpartition(":")[2])]
        trained(*args, **more)

    def noted(*args: Any) -> float:
        asked.append(query(*args))
        return asked[-1]

    monkeypatch.setattr(cafe, "train_epoch", in_their_order)
    monkeypatch.setattr(cafe.CAFE, "_query", noted)
    images = wave(CLASSES, 3, SIDE, SIDE, phase=20.0).requires_grad_()
    state = State(
        Pixels(images, counts),
        {"synthetic": torch.optim.SGD([images], method.image_lr, method.image_momentum)},
        {"network": network()},
        {
            "accuracies": torch.full((10,), -1.0),
            "updates": torch.zeros(()),
            "networks": torch.zeros(()),
        },
    )
    task = Task(pool, FACTORY, counts, CPU)  # type: ignore[arg-type]
    outer = 0.0
    for update, said in enumerate(THEIRS["accuracies"]):
        pool.update, asked[:] = update, []
        state, loss = driver.advance(method, task, state, RNG)
        assert loss == pytest.approx(THEIRS["losses"][update], rel=1e-12)
        assert asked == pytest.approx(without_sums(said, outer), abs=1e-12)
        close(images, THEIRS["images"][str(update)])
        outer = said[0]


def without_sums(windows: list[float], outer: float) -> list[float]:
    """Accuracies, from the running sums of the outer and of the inner window: each holds a tenth of the one before."""
    inner = [0.0, *windows[1:]]
    first = windows[0] - outer / CLASSES
    return [first, *(b - a / CLASSES for a, b in pairwise(inner))]


def close(images: Tensor, theirs: list[float]) -> None:
    found = images.detach().flatten()[::211]
    torch.testing.assert_close(found, torch.tensor(theirs, dtype=torch.float64), rtol=1e-12, atol=1e-13)
