"""MTT with TESLA's gradient and labels gives the images and rates of its authors' program, in double precision.

`tesla_authors.json` holds what their `distill.py`, run as it is, drew and made; its "origin" says how.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch.nn.functional as F
from reference_inputs import double_wave as wave
from test_mtt_authors import CLASSES, given_images, network, three_updates, weights_of
from torch import Tensor

from condensery import get_method
from condensery.methods.mtt import MTT

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
    now = {"update": 0}
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

    monkeypatch.setattr(MTT, "_segment", segment)
    synthetic = given_images(asked["ipc"], asked)
    if asked["teacher_label"]:
        one_hot = F.one_hot(synthetic.labels, CLASSES).double()
        synthetic = replace(synthetic, targets=one_hot.requires_grad_())
    batch = asked.get("batch_syn", len(synthetic.images))
    three_updates(method, synthetic, theirs, now, batch, monkeypatch)
