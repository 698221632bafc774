"""GTN gives the codes, generator and schedule of its authors' program, in double precision, from the same draws.

`gtn_authors.json` holds what their `train_cgtn.py`, run as it is but for generator and networks, made; its "origin"
says how.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from reference_inputs import double_filled
from reference_inputs import double_wave as wave
from torch import Tensor, nn

from condensery import ImageSpec, Rng, State, Task, driver, get_method
from condensery.budgets import uniform
from condensery.methods import gtn
from condensery.models.registry import resolve
from condensery.synthetic import Generated

THEIRS = json.loads((Path(__file__).parent / "gtn_authors.json").read_text("utf-8"))
CLASSES, STEPS, LENGTH, WIDTH, REAL = 10, 3, 2, 3, 40
SPEC = ImageSpec(3, 8, 8, tuple("abcdefghij"), (0.0,) * 3, (1.0,) * 3)
FACTORY, CPU, RNG = resolve("convnet+width=4+depth=1"), torch.device("cpu"), Rng(0)
NETWORKS = (0, 2, 3)  # of all that were drawn, those of the updates; the others are for their validation
SHAPES = {
    "projection.weight": (LENGTH, CLASSES),
    "projection.bias": (LENGTH,),
    "input.weight": (WIDTH * 16, 2 * LENGTH),
    "input.bias": (WIDTH * 16,),
    "layers.0.weight": (WIDTH, WIDTH, 3, 3),
    "layers.0.bias": (WIDTH,),
    "layers.1.weight": (WIDTH, WIDTH, 3, 3),
    "layers.1.bias": (WIDTH,),
    "output.weight": (3, WIDTH, 3, 3),
    "output.bias": (3,),
}


def scaled(shape: tuple[int, ...], phase: float, about: float) -> Tensor:
    """A bias or norm about a value, or weights over the root of their inputs."""
    values = wave(*shape, phase=phase)
    return about + 0.2 * values if len(shape) == 1 else values / math.sqrt(math.prod(shape[1:]))


def network(number: int) -> nn.Module:
    return double_filled(FACTORY.build(SPEC, RNG), number)


@pytest.mark.parametrize("judged", ["every", "last"])
def test_three_updates(judged: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three inner steps each; the weights after every step are judged, the last first, or those alone."""
    theirs, now = THEIRS[judged], {"update": 0}
    real, classes = wave(REAL, 3, 8, 8, phase=3.0), torch.arange(REAL) % CLASSES

    def batch(self: Task, n: int, rng: Rng) -> tuple[Tensor, Tensor]:
        each = STEPS if judged == "every" else 1
        number = each * now["update"] + STEPS - int(rng.path.rpartition(":")[2])
        drawn = [(7 * number + 3 * j) % REAL for j in range(6)]
        return real[drawn], classes[drawn]

    monkeypatch.setattr(Task, "real_batch", batch)
    monkeypatch.setattr(Task, "new_network", lambda *_: network(NETWORKS[min(2, now["update"] + 1)]))
    monkeypatch.setattr(gtn, "FLOOR", 1.0)  # a rate of Adam that stays
    method: Any = get_method("gtn", judged=judged, generator_lr=0.02)
    synthetic = curriculum()
    groups = [{"params": [leaf], "initial_lr": 0.02} for leaf in synthetic.leaves().values()]
    optimizer = torch.optim.Adam(groups, betas=gtn.BETAS)
    state = State.of(synthetic, optimizer, network(0))
    task = Task(_NoPool(), FACTORY, uniform(STEPS, CLASSES), CPU)  # type: ignore[arg-type]
    for update in range(3):
        now["update"] = update
        state, loss = driver.advance(method, task, state, RNG)
        if judged == "last":
            assert loss == pytest.approx(theirs["losses"][update], rel=1e-12)
    leaves = synthetic.leaves()
    codes = (
        leaves["codes"].view(CLASSES, STEPS, LENGTH).transpose(0, 1)
    )  # theirs are in the order of the steps
    close(codes.flatten(), theirs["codes"])
    close(torch.cat([leaves[name].flatten() for name in SHAPES])[::5], theirs["weights"])
    close(leaves["schedule"], [theirs["log_rates"], theirs["log_momenta"]])


def curriculum() -> gtn.Curriculum:
    weights = {
        name: scaled(shape, 40.0 + i, 0.0).requires_grad_() for i, (name, shape) in enumerate(SHAPES.items())
    }
    codes = wave(STEPS, CLASSES, LENGTH, phase=30.0).transpose(0, 1).reshape(-1, LENGTH)
    one_hot = nn.Embedding.from_pretrained(torch.eye(CLASSES).double(), freeze=True)
    learned = frozenset({"codes", *weights})
    generated = Generated(codes.requires_grad_(), weights, one_hot, uniform(STEPS, CLASSES), (8, 8), learned)
    logs = torch.tensor([math.log(0.3 + 1e-6), math.log(0.5 + 1e-6)], dtype=torch.float64)
    return gtn.Curriculum(generated, logs[:, None].repeat(1, STEPS).requires_grad_())


def close(ours: Tensor, theirs: list[Any]) -> None:
    torch.testing.assert_close(
        ours.detach(), torch.tensor(theirs, dtype=torch.float64), rtol=1e-10, atol=1e-12
    )


class _NoPool:
    """Real images are given."""

    spec, device = SPEC, CPU
