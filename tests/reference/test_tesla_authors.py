"""MTT with TESLA's gradient and labels gives the images and rates of its authors' program, in double precision.

`tesla_authors.json` holds what their `distill.py`, run as it is, drew and made; its "origin" says how.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from test_mtt_authors import CLASSES, CPU, FACTORY, RNG, NoPool, close, network, wave, weights_of
from torch import Tensor

from condensery import Rng, State, Task, driver, get_method
from condensery.budgets import uniform
from condensery.methods.mtt import MTT
from condensery.synthetic import Pixels

THEIRS = json.loads((Path(__file__).parent / "tesla_authors.json").read_text("utf-8"))


def stage(expert: int, epoch: int) -> tuple[Tensor, ...]:
    """Weights of an expert after an epoch: waves, since how experts are trained is MTT's."""
    first = weights_of(network(expert))
    return tuple(w + 0.05 * epoch * wave(*w.shape, phase=50.0 + epoch) for w in first)


@pytest.mark.parametrize("case", ["all_at_once", "in_parts", "expert_labels"])
def test_three_updates_of_images_and_rate(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All images of a step, batches of four and the rest of a pass first as theirs, or labels of the target expert."""
    theirs = THEIRS[case]
    asked = theirs["settings"]
    total, now = CLASSES * asked["ipc"], {"update": 0}
    batch = asked.get("batch_syn", total)
    image_lr = asked["lr_img"] / 2  # theirs doubles a tuple, not the gradient in it: half of the derivative
    method = get_method(
        "mtt",
        gradient="tesla",
        labels="expert" if asked["teacher_label"] else "hard",
        experts=2,
        syn_steps=asked["syn_steps"],
        image_lr=image_lr,
        rate_lr=asked["lr_lr"],
        augmentation="none",
    )

    def segment(*_: Any) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        expert, first = (theirs[name][now["update"]] for name in ("experts", "start_epochs"))
        return stage(expert, first), stage(expert, first + asked["expert_epochs"])

    def picked(self: MTT, task: Task, step: int, rng: Rng) -> Tensor:
        per_pass = math.ceil(total / batch)
        passes = math.ceil(asked["syn_steps"] / per_pass)
        order = torch.tensor(theirs["orders"][now["update"] * passes + step // per_pass])
        return order.split(batch)[::-1][step % per_pass]  # they take the last part first

    monkeypatch.setattr(MTT, "_segment", segment)
    monkeypatch.setattr(MTT, "_picked", picked)
    counts = uniform(asked["ipc"], CLASSES)
    images = wave(total, 3, 8, 8, phase=20.0).requires_grad_()
    rate = torch.tensor([asked["lr_teacher"]], dtype=torch.float64, requires_grad=True)
    groups = [{"params": [images], "lr": image_lr}, {"params": [rate], "lr": asked["lr_lr"]}]
    optimizer = torch.optim.SGD(groups, momentum=method.image_momentum)  # type: ignore[attr-defined]
    synthetic = replace(Pixels(images, counts), rates=rate)
    if asked["teacher_label"]:
        one_hot = F.one_hot(synthetic.labels, CLASSES).double()
        synthetic = replace(synthetic, targets=one_hot.requires_grad_())
    state = State.of(synthetic, optimizer, network())
    task = Task(NoPool(), FACTORY, counts, CPU)  # type: ignore[arg-type]
    for update in range(3):
        now["update"] = update
        state, loss = driver.advance(method, task, state, RNG)
        assert loss == pytest.approx(theirs["losses"][update], rel=1e-12)
        assert float(rate.detach()) == pytest.approx(theirs["rates"][update], rel=1e-12)
    close(images.detach().flatten()[:: theirs["stride"]], theirs["images"])
