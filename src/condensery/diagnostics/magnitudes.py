"""Gradient magnitudes: how large the gradients are that gradient matching compares.

Thesis Figure 4.5 (Zhao & Bilen, ICML 2021, section 5.1): the distribution of the norms of the loss gradient on
real and on synthetic images while a network is trained on the synthetic ones, with and without augmentation. Where
those of the synthetic images vanish, as they do without, the images are hardly updated any more. The papers take update
1,000 of a run; here the set is finished. A value is of one class's batch, which they do not say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from condensery.diagnostics.findings import finding, make_task, spread, with_budget
from condensery.errors import BadInput
from condensery.matching.gradients import gradient
from condensery.method import State, Task
from condensery.methods.dc import DC
from condensery.records import ImageData, SyntheticSet
from condensery.rng import Rng
from condensery.synthetic import Pixels

_SIDES = ("real", "synthetic")


def norm(gradients: Sequence[Tensor]) -> float:
    """Euclidean length of all gradients as one long vector."""
    return float(torch.stack([g.square().sum() for g in gradients]).sum().sqrt())


def measure(
    images: ImageData,
    sets: Sequence[SyntheticSet],
    *,
    network: str = "convnet",
    seed: int = 0,
    device: str = "auto",
    updates: int = 0,
    epochs: int = 0,
) -> dict[str, Any]:
    """Norms of the gradients on real and synthetic images of each class, along a network's training on the set.

    The set stays as it is. What it was condensed with (batches, augmentation, learning rates, loops) holds here too, as
    far as its record has such fields, otherwise DC's defaults; a network that no step of its run has seen goes through
    one outer loop.

    Args:
        images: the real images.
        sets: condensed by any method.
        network: architecture.
        seed: decides weights, batches and transformations.
        device: "auto", "cpu" or "cuda".
        updates: points along the training, 0 for the method's outer loop.
        epochs: of training on the set between two points, 0 for the method's inner loop.

    Returns:
        `real` and `synthetic` {mean, std, n} of all norms, and `tables`, a `real` and a `synthetic` one for each set: a
        row for each update, a value for each class.

    Raises:
        BadInput: a set does not fit the data, or a number is negative.
    """
    if min(updates, epochs) < 0:
        raise BadInput(f"updates {updates} and epochs {epochs} must be 0 or more")
    task = make_task(images, sets, network, device)
    tables = [
        _along_training(
            _matching(one, updates, epochs), with_budget(task, one), one, Rng(seed).fork("magnitudes", i)
        )
        for i, one in enumerate(sets)
    ]
    summary = {
        side: spread(value for table in tables for row in table[side] for value in row) for side in _SIDES
    }
    return finding("gradient magnitudes", images, sets, task, seed, tables=tables, **summary)


def _matching(synthetic: SyntheticSet, updates: int, epochs: int) -> DC:
    """Gradient matching with the settings of the set's record, as far as it has them."""
    known = {f.name for f in fields(DC)}
    dc = DC(**{k: v for k, v in synthetic.record.get("fields", {}).items() if k in known})
    return replace(dc, outer_loop=updates or dc.outer_loop, inner_loop=epochs or dc.inner_loop)


def _along_training(dc: DC, task: Task, synthetic: SyntheticSet, rng: Rng) -> dict[str, list[list[float]]]:
    """For each side a row for each update of one outer loop, as `DC` goes through it with a set that stays."""
    pixels = Pixels(synthetic.images.to(task.device), task.counts)
    state = State(pixels, {}, {"network": task.new_network(rng.fork("network"))})
    updates, _ = dc.loops(task.ipc)
    rows = []
    for update in range(updates):
        source = rng.fork("update", update)
        with source.fork("layers").seeded(task.device):
            rows.append(_norms(dc, task, state, source))
            if update + 1 < updates:
                state = dc.advance(task, state, source.fork("advance"))
    return {side: [[pair[i] for pair in row] for row in rows] for i, side in enumerate(_SIDES)}


def _norms(dc: DC, task: Task, state: State, rng: Rng) -> list[list[float]]:
    """For each class the norms on its real and on its synthetic images, transformed as in matching."""
    network = state.network.train()
    dc.freeze_batch_norm(task, network, rng)
    return [
        [
            norm(gradient(network, batch, task.labels(c, len(batch)), task.chunk))
            for batch in dc.pair(task, state, c, rng)
        ]
        for c in task.classes
    ]
