"""LD gives the labels and networks of its authors' programs, in double precision, from the same draws.

`ld_authors.json` holds what their `train` functions, run as they are, drew and made; its "origin" says how.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from reference_inputs import double_filled
from reference_inputs import double_wave as wave
from torch import Tensor, nn

from condensery import ImageSpec, Rng, State, Task, driver, get_method
from condensery.budgets import uniform
from condensery.methods.ld import LD
from condensery.models.registry import resolve

THEIRS = json.loads((Path(__file__).parent / "ld_authors.json").read_text("utf-8"))
CLASSES, IPC, REAL, BATCH = 3, 2, 30, 4
SPEC = ImageSpec(3, 8, 8, tuple("abc"), (0.0,) * 3, (1.0,) * 3)
FACTORY, CPU, RNG = resolve("convnet+width=4+depth=1+norm=none"), torch.device("cpu"), Rng(0)


def network(number: int) -> nn.Module:
    return double_filled(FACTORY.build(SPEC, RNG), number, about=0.0)


@pytest.mark.parametrize("variant", ["second-order", "ridge"])
def test_labels_and_networks(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 120 steps, in which a network stops and the next one begins, or of 40 with the ridge regression."""
    theirs, now = THEIRS[variant], {"step": 0, "networks": 0}
    method = get_method("ld", variant=variant, base_batch=BATCH, label_lr=0.02, inner_lr=0.05)
    real, classes = wave(REAL, 3, 8, 8, phase=3.0), torch.arange(REAL) % CLASSES

    def batch(self: Task, n: int, rng: Rng) -> tuple[Tensor, Tensor]:
        drawn = [(7 * now["step"] + 4 * j) % REAL for j in range(6)]
        return real[drawn], classes[drawn]

    def base(self: LD, state: State, rng: Rng) -> tuple[Tensor, Tensor]:
        picked = torch.tensor(theirs["orders"][now["step"]])
        return state.synthetic.images[picked], picked

    def new_network(self: Task, rng: Rng) -> nn.Module:
        now["networks"] += 1
        return network(now["networks"] - 1)

    monkeypatch.setattr(Task, "real_batch", batch)
    monkeypatch.setattr(Task, "new_network", new_network)
    monkeypatch.setattr(LD, "_base", base)
    task = Task(_Pool(), FACTORY, uniform(IPC, CLASSES), CPU)  # type: ignore[arg-type]
    state = method.start(task, RNG)
    losses = []
    for step in range(theirs["steps"]):
        now["step"] = step
        state, loss = driver.advance(method, task, state, RNG)
        losses.append(loss)
    assert losses[::10] == pytest.approx(theirs["losses"], rel=1e-11)
    (labels,) = state.leaves()
    close(labels, theirs["labels"])
    of_network = (
        p for name, p in state.network.named_parameters() if variant != "ridge" or "features" in name
    )
    close(torch.cat([p.flatten() for p in of_network])[::9], theirs["weights"])
    recorded = state.memory["recorded"]
    assert recorded[recorded > 0].tolist() == theirs["recorded"]
    assert now["networks"] == theirs["networks"]


def close(ours: Tensor, theirs: list[Any]) -> None:
    torch.testing.assert_close(
        ours.detach(), torch.tensor(theirs, dtype=torch.float64), rtol=1e-9, atol=1e-11
    )


class _Pool:
    """Their images of the set; real batches are given."""

    spec, device, counts = SPEC, CPU, [REAL] * CLASSES

    def sample(self, c: int, n: int, rng: Rng) -> Tensor:
        return wave(CLASSES * IPC, 3, 8, 8, phase=20.0)[c * IPC : (c + 1) * IPC]


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
