"""KIP gives the kernels, images and labels of the authors' notebook, in double precision.

`kip_authors.json` holds what their cells made with JAX and neural-tangents; its "origin" says how.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from reference_inputs import double_wave as wave
from torch import Tensor

from condensery import ImageSpec, Rng, State, Task, driver, get_method
from condensery.budgets import uniform
from condensery.matching.infinite import fully_connected_kernel
from condensery.matching.kernels import centred
from condensery.models.registry import resolve
from condensery.synthetic import Pixels

THEIRS = json.loads((Path(__file__).parent / "kip_authors.json").read_text("utf-8"))
SPEC = ImageSpec(1, 4, 5, ("a", "b", "c"), (0.0,), (1.0,))
CPU, RNG = torch.device("cpu"), Rng(0)


@pytest.mark.parametrize("case", ["ntk1", "ntk3", "nngp1", "nngp3"])
def test_kernels(case: str) -> None:
    ours = fully_connected_kernel(wave(4, 20, phase=1.0), wave(3, 20, phase=2.0), case[:-1], int(case[-1]))
    exact = torch.tensor(THEIRS["kernels"][case], dtype=torch.float64)
    torch.testing.assert_close(ours, exact, rtol=1e-12, atol=0)


class NoPool:
    """Real batches are given."""

    spec, device = SPEC, CPU


@pytest.mark.parametrize("labels", ["fixed", "learned"])
def test_three_updates(labels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Theirs number the updates from 1 where JAX's Adam numbers from 0: an update of nothing comes before ours.

    Eight digits are what a ridge of 1e-6 leaves of sixteen; the ninth differs between processors.
    """

    def real(self: Task, count: int, rng: Rng) -> tuple[Tensor, Tensor]:
        step = int(rng.path.rpartition(":")[2])
        return wave(9, 1, 4, 5, phase=31.0 + step), torch.arange(3).repeat_interleave(3)

    monkeypatch.setattr(Task, "even_batch", real)
    method: Any = get_method("kip", labels=labels)
    counts, images = uniform(2, 3), wave(6, 1, 4, 5, phase=20.0).requires_grad_()
    targets = centred(torch.arange(3).repeat_interleave(2), 3).requires_grad_()
    synthetic = Pixels(images, counts, targets=targets if labels == "learned" else None)
    optimizer = torch.optim.Adam(synthetic.leaves().values(), method.image_lr)
    for leaf in synthetic.leaves().values():
        leaf.grad = torch.zeros_like(leaf)
    optimizer.step()
    state = State(synthetic, {"synthetic": optimizer}, {})
    task = Task(NoPool(), resolve("convnet"), counts, CPU)  # type: ignore[arg-type]
    for loss in THEIRS[labels]["losses"]:
        state, found = driver.advance(method, task, state, RNG)
        assert found == pytest.approx(loss, rel=1e-8)
    for ours, name in ((images, "images"), (targets, "targets")):
        theirs = torch.tensor(THEIRS[labels][name], dtype=torch.float64)
        torch.testing.assert_close(ours.detach().flatten(), theirs.flatten(), rtol=1e-7, atol=1e-8)
