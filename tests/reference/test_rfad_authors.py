"""RFAD gives the images, labels and factor of its authors' program, in double precision, from the same draws.

`rfad_authors.json` holds what their `distill_dataset`, run as it is, drew and made; its "origin" says how. Their matrix
over all pixels, which ours leaves out, is held still.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from reference_inputs import double_wave as wave
from torch import Tensor, nn

from condensery import ImageSpec, Rng, State, Task, driver, get_method
from condensery.budgets import uniform
from condensery.matching.kernels import centred
from condensery.methods.rfad import RFAD
from condensery.models.registry import resolve
from condensery.optimizers import AdaBelief
from condensery.synthetic import Pixels

THEIRS = json.loads((Path(__file__).parent / "rfad_authors.json").read_text("utf-8"))
CLASSES, IPC, NETWORKS = 4, 2, 2
SPEC = ImageSpec(3, 8, 8, tuple("abcd"), (0.0,) * 3, (1.0,) * 3)
FACTORY, CPU, RNG = resolve("convnet+width=4+depth=2+norm=none"), torch.device("cpu"), Rng(0)


def network(number: int) -> nn.Module:
    """The network with this number of all that were drawn."""
    made = FACTORY.build(SPEC, RNG).double().requires_grad_(False)
    for i, parameter in enumerate(p for name, p in made.named_parameters() if "features" in name):
        values = wave(*parameter.shape, phase=1.0 + i + 10 * number)
        biased = parameter.ndim == 1
        parameter.copy_(0.1 * values if biased else math.sqrt(2 / parameter[0].numel()) * values)
    return made


@pytest.mark.parametrize("case", ["cross_entropy", "mse"])
def test_four_updates(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, now = THEIRS[case], {"step": 0}
    method = get_method("rfad", networks=NETWORKS, loss=theirs["loss"], labels=theirs["labels"])
    real, classes = wave(32, 3, 8, 8, phase=3.0), torch.arange(32) % CLASSES

    def batch(self: Task, n: int, rng: Rng) -> tuple[Tensor, Tensor]:
        drawn = theirs["real"][now["step"]]
        return real[drawn], classes[drawn]

    def drawn_network(self: RFAD, task: Task, rng: Rng) -> nn.Module:
        return network(NETWORKS * now["step"] + int(rng.path.rpartition(":")[2]))

    monkeypatch.setattr(Task, "real_batch", batch)
    monkeypatch.setattr(RFAD, "_network", drawn_network)
    counts = uniform(IPC, CLASSES)
    images = wave(CLASSES * IPC, 3, 8, 8, phase=20.0).requires_grad_()
    targets = factor = None
    groups: list[dict[str, Any]] = [{"params": [images]}]
    if theirs["labels"] == "learned":
        targets = centred(torch.arange(CLASSES).repeat_interleave(IPC), CLASSES).requires_grad_()
        groups[0]["params"].append(targets)
    if theirs["loss"] == "cross-entropy":
        factor = torch.zeros((), dtype=torch.float64, requires_grad=True)
        groups.append({"params": [factor], "lr": method.temperature_lr})  # type: ignore[attr-defined]
    synthetic = Pixels(images, counts, targets=targets, rates=factor)
    state = State(synthetic, {"synthetic": AdaBelief(groups, theirs["lr"])}, {})
    task = Task(_NoPool(), FACTORY, counts, CPU)  # type: ignore[arg-type]
    for step in range(4):
        now["step"] = step
        state, loss = driver.advance(method, task, state, RNG)
        assert loss == pytest.approx(theirs["losses"][step], rel=1e-12)
    close(images.flatten()[::7], theirs["images"])
    if targets is not None:
        close(targets, theirs["learned"])
    if factor is not None:
        assert float(factor.detach()) == pytest.approx(theirs["factor"], rel=1e-12)


def close(ours: Tensor, theirs: list[Any]) -> None:
    torch.testing.assert_close(
        ours.detach(), torch.tensor(theirs, dtype=torch.float64), rtol=1e-11, atol=1e-13
    )


class _NoPool:
    """Real images are given."""

    spec, device = SPEC, CPU
