"""MTT gives the experts, images and rates of the authors' programs, in double precision, from the same draws.

`mtt_authors.json` holds what their `buffer.py` and `distill.py`, run as they are, drew and made; its "origin" says how.
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
from condensery.augment import SiameseAugmentation
from condensery.augment.siamese import Parameters
from condensery.budgets import uniform
from condensery.methods.mtt import MTT
from condensery.models.registry import resolve
from condensery.synthetic import Pixels
from condensery.training import TensorImages, train_epoch

THEIRS = json.loads((Path(__file__).parent / "mtt_authors.json").read_text("utf-8"))
CLASSES, IPC, REAL = 3, 2, 7
SPEC = ImageSpec(3, 8, 8, ("a", "b", "c"), (0.0,) * 3, (1.0,) * 3)
FACTORY, CPU, RNG = resolve("convnet+width=4+depth=2"), torch.device("cpu"), Rng(0)


def network(expert: int = 0) -> nn.Module:
    return double_filled(FACTORY.build(SPEC, RNG), expert)


def transforms(recorded: list[dict[str, Any]]) -> list[Parameters]:
    return [
        Parameters(one["group"], {name: torch.tensor(v, dtype=_kind(v)) for name, v in one["values"].items()})
        for one in recorded
    ]


def _kind(values: list[Any]) -> torch.dtype:
    return torch.bool if isinstance(values[0], bool) else torch.float64 if values[0] % 1 else torch.int64


def weights_of(made: nn.Module) -> tuple[Tensor, ...]:
    return tuple(p.detach().clone() for p in made.parameters())


def trained_experts() -> list[list[tuple[Tensor, ...]]]:
    """Weights of two experts after 0, 1, 2 and 3 epochs on their order and transforms of the images."""
    images = TensorImages(
        wave(CLASSES * REAL, 3, 8, 8, phase=3.0), torch.arange(CLASSES).repeat_interleave(REAL)
    )
    theirs, apply = THEIRS["buffer"], SiameseAugmentation("none").apply
    drawn, found = iter(transforms(theirs["augmentations"])), []
    for expert in range(2):
        made = network(expert)
        optimizer, stages = torch.optim.SGD(made.parameters(), 0.1), [weights_of(made)]
        for order in theirs["orders"][3 * expert : 3 * expert + 3]:
            train_epoch(
                made, optimizer, images, 8, RNG, augment=lambda x, _: apply(x, next(drawn)), order=order
            )
            stages.append(weights_of(made))
        found.append(stages)
    return found


def close(ours: Tensor, theirs: list[float]) -> None:
    torch.testing.assert_close(ours, torch.tensor(theirs, dtype=torch.float64), rtol=1e-12, atol=1e-14)


def test_experts() -> None:
    for stages, theirs in zip(trained_experts(), THEIRS["buffer"]["weights"], strict=True):
        close(torch.cat([w.flatten() for w in stages[-1]]), theirs)


@pytest.mark.parametrize("case", ["augmented", "in_parts"])
def test_three_updates_of_images_and_rate(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five steps each; all images of a step with DSA, or batches of four, the rest of a pass first as theirs."""
    theirs, experts = THEIRS["distill"][case], trained_experts()
    asked = theirs["settings"]
    method = get_method(
        "mtt",
        experts=2,
        syn_steps=asked["syn_steps"],
        expert_epochs=asked["expert_epochs"],
        image_lr=asked["lr_img"],
        rate_lr=asked["lr_lr"],
        augmentation="none" if asked["no_aug"] else "auto",
    )
    now = {"update": 0}

    def segment(*_: Any) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        stages = experts[theirs["experts"][now["update"]]]
        first = theirs["start_epochs"][now["update"]]
        return stages[first], stages[first + asked["expert_epochs"]]

    def augmented(self: SiameseAugmentation, images: Tensor, rng: Rng) -> Tensor:
        step = int(rng.path.rpartition(":")[2])
        drawn = transforms(theirs["augmentations"])[5 * now["update"] + step] if self.groups else None
        return self.apply(images, drawn) if drawn else images

    monkeypatch.setattr(MTT, "_segment", segment)
    monkeypatch.setattr(SiameseAugmentation, "__call__", augmented)
    three_updates(
        method, given_images(IPC, asked), theirs, now, 6 if asked["no_aug"] is False else 4, monkeypatch
    )


def given_images(ipc: int, asked: dict[str, Any]) -> Pixels:
    """Images, and the rate that theirs begin with."""
    images = wave(CLASSES * ipc, 3, 8, 8, phase=20.0).requires_grad_()
    rate = torch.tensor([asked["lr_teacher"]], dtype=torch.float64, requires_grad=True)
    return replace(Pixels(images, uniform(ipc, CLASSES)), rates=rate)


def three_updates(
    method: Any,
    synthetic: Pixels,
    theirs: dict[str, Any],
    now: dict[str, int],
    batch: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Losses, rates and images are theirs. `now` holds the number of the update; a step trains on `batch` images."""
    images, rate, asked = synthetic.images, synthetic.rates, theirs["settings"]
    assert rate is not None

    def picked(self: MTT, task: Task, step: int, rng: Rng) -> Tensor:
        per_pass = math.ceil(len(images) / batch)
        passes = math.ceil(asked["syn_steps"] / per_pass)
        order = torch.tensor(theirs["orders"][now["update"] * passes + step // per_pass])
        return order.split(batch)[::-1][step % per_pass]  # they take the last part first

    monkeypatch.setattr(MTT, "_picked", picked)
    groups = [{"params": [images], "lr": method.image_lr}, {"params": [rate], "lr": method.rate_lr}]
    state = State.of(synthetic, torch.optim.SGD(groups, momentum=method.image_momentum), network())
    task = Task(NoPool(), FACTORY, synthetic.counts, CPU)  # type: ignore[arg-type]
    for update in range(3):
        now["update"] = update
        state, loss = driver.advance(method, task, state, RNG)
        assert loss == pytest.approx(theirs["losses"][update], rel=1e-12)
        assert float(rate.detach()) == pytest.approx(theirs["rates"][update], rel=1e-12)
    close(images.detach().flatten()[:: theirs.get("stride", 5)], theirs["images"])


class NoPool:
    """Real images were needed for the experts alone."""

    spec, device = SPEC, CPU
