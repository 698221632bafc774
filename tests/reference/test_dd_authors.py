"""DD gives the images and rates of the authors' program, in double precision.

`dd_authors.json` holds what their `Trainer.train`, run as it is, made; its "origin" says how.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from reference_inputs import double_filled
from reference_inputs import double_wave as wave
from torch import Tensor, nn

from condensery import ImageSpec, Rng, State, Task, driver, get_method
from condensery.budgets import uniform
from condensery.methods.dd import BETAS
from condensery.models.registry import resolve
from condensery.synthetic import Pixels

THEIRS = json.loads((Path(__file__).parent / "dd_authors.json").read_text("utf-8"))
SPEC = ImageSpec(1, 28, 28, tuple("0123456789"), (0.0,), (1.0,))
FACTORY, CPU, RNG = resolve("lenet"), torch.device("cpu"), Rng(0)


def network(number: int) -> nn.Module:
    return double_filled(FACTORY.build(SPEC, RNG), number, about=0.0)


class NoPool:
    """Real batches are given."""

    spec, device = SPEC, CPU


def test_four_updates_of_images_and_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two batches gone through twice, a new network for each update, Adam whose rate is halved after two."""
    made = iter(range(5))

    def real(self: Task, count: int, rng: Rng) -> tuple[Tensor, Tensor]:
        i = int(rng.path.rpartition(":")[2]) % 2
        return wave(6, 1, 28, 28, phase=40.0 + i), (torch.arange(6) * 7 + i) % 10

    monkeypatch.setattr(Task, "real_batch", real)
    monkeypatch.setattr(Task, "new_network", lambda *_: network(next(made)))
    method: Any = get_method("dd", passes=2, rate=0.1, halve_after=2)
    images = torch.stack([wave(10, 1, 28, 28, phase=20.0 + step) for step in range(2)], 1)
    images = images.reshape(20, 1, 28, 28).requires_grad_()
    raw = torch.full((4,), math.log(math.expm1(0.1)), dtype=torch.float64, requires_grad=True)
    counts = uniform(2, 10)
    optimizer = torch.optim.Adam([images, raw], method.image_lr, betas=BETAS)
    task = Task(NoPool(), FACTORY, counts, CPU)  # type: ignore[arg-type]
    state = State.of(replace(Pixels(images, counts), rates=raw), optimizer, task.new_network(RNG))
    state = replace(state, memory={"weights": torch.tensor(0)})
    for loss, rates in zip(THEIRS["losses"], THEIRS["raw_rates"], strict=True):
        state, found = driver.advance(method, task, state, RNG)
        assert found == pytest.approx(loss, rel=1e-12)
        assert raw.tolist() == pytest.approx(rates, rel=1e-12)
    theirs = torch.tensor(THEIRS["images"], dtype=torch.float64)
    torch.testing.assert_close(images.detach().flatten()[::53], theirs, rtol=1e-12, atol=1e-13)
