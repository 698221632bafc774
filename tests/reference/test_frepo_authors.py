"""FRePo gives the images and labels of the authors' functions, in double precision.

`frepo_authors.json` holds what their `proto_train_step` with LAMB made; its "origin" says how.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from reference_inputs import double_wave as wave
from torch import Tensor, nn

from condensery import ImageSpec, Rng, State, Task, driver, get_method
from condensery.budgets import uniform
from condensery.matching.kernels import centred
from condensery.methods.frepo import FRePo
from condensery.models.registry import resolve
from condensery.optimizers import Lamb
from condensery.synthetic import Pixels

THEIRS = json.loads((Path(__file__).parent / "frepo_authors.json").read_text("utf-8"))
CLASSES, CPU, RNG = 6, torch.device("cpu"), Rng(0)
SPEC = ImageSpec(1, 4, 5, tuple("abcdef"), (0.0,), (1.0,))


class Features(nn.Module):
    """Of one layer, with the weights that theirs had."""

    def embed(self, x: Tensor) -> Tensor:
        return (x.flatten(1) @ wave(20, 16, phase=5.0)).relu()


class NoPool:
    """Real batches are given."""

    spec, device = SPEC, CPU


@pytest.mark.parametrize("mirror", ["no", "yes"])
def test_three_updates_of_images_and_labels(mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """LAMB at a rate that falls in half a wave. Margins are counted from 1 / classes here, from 0 there."""

    def real(self: Task, count: int, rng: Rng) -> tuple[Tensor, Tensor]:
        step = int(rng.path.rpartition(":")[2])
        return wave(9, 1, 4, 5, phase=31.0 + step), (torch.arange(9) * 5 + step) % CLASSES

    monkeypatch.setattr(Task, "real_batch", real)
    monkeypatch.setattr(FRePo, "_train", lambda *_: None)
    method: Any = get_method("frepo", image_lr=0.05, mirror=mirror, pool_size=1)
    counts, images = uniform(2, CLASSES), wave(2 * CLASSES, 1, 4, 5, phase=20.0).requires_grad_()
    targets = centred(torch.arange(CLASSES).repeat_interleave(2), CLASSES) / math.sqrt(CLASSES / 10)
    synthetic = Pixels(images, counts, targets=targets.requires_grad_())
    task = replace(Task(NoPool(), resolve("convnet"), counts, CPU), steps=3)  # type: ignore[arg-type]
    optimizers = {"synthetic": Lamb(synthetic.leaves().values(), method.image_lr), "0": torch.optim.Optimizer}
    memory = {"ages": torch.zeros(1), "current": torch.tensor(0)}
    state = State(synthetic, optimizers, {"0": Features()}, memory)  # type: ignore[arg-type]
    for loss in THEIRS[mirror]["losses"]:
        state, found = driver.advance(method, task, state, RNG)
        assert found == pytest.approx(loss + 1 / CLASSES, rel=1e-9)
    for ours, name in ((images, "images"), (targets, "targets")):
        theirs = torch.tensor(THEIRS[mirror][name], dtype=torch.float64)
        torch.testing.assert_close(ours.detach().flatten(), theirs.flatten(), rtol=1e-8, atol=1e-9)
