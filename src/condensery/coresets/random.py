"""Random selection: images of each class, drawn uniformly without replacement (thesis section 2.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from condensery.budgets import in_record, recorded
from condensery.coresets.selector import SelectionTask
from condensery.data.pool import ClassPool
from condensery.records import SyntheticSet
from condensery.rng import Rng


@dataclass(frozen=True)
class Random:
    """Draw images of each class uniformly without replacement. Needs no network."""

    name: ClassVar[str] = "random"
    summary: ClassVar[str] = "uniform without replacement: the baseline of all others"
    nested: ClassVar[bool] = True

    def check(self, task: SelectionTask) -> list[str]:
        return []

    def work(self, task: SelectionTask, rng: Rng) -> float:
        return 0

    def select(self, task: SelectionTask, rng: Rng) -> list[np.ndarray]:
        return random_picks(task.pool, task.counts, rng)


def random_picks(pool: ClassPool, counts: Sequence[int], rng: Rng) -> list[np.ndarray]:
    """For each class the first `counts[c]` indices of a random permutation of its images; all, if it has fewer."""
    return [pool.sample_indices(c, n, rng.fork(c)) for c, n in enumerate(counts)]


def random_selection(pool: ClassPool, ipc: int | Sequence[int], rng: Rng) -> SyntheticSet:
    """A set of real images, class-major; its record holds their indices in the training set.

    Args:
        ipc: images of each class, one number for all or one for each.
    """
    picks = random_picks(pool, in_record(ipc, pool.spec.num_classes), rng)
    return as_set(pool, picks, {"method": "random", "ipc": recorded([len(one) for one in picks])})


def as_set(pool: ClassPool, picks: Sequence[np.ndarray], record: dict[str, Any]) -> SyntheticSet:
    """The images that were picked of each class, as a set whose record also holds their indices."""
    labels = torch.arange(len(picks)).repeat_interleave(torch.tensor([len(p) for p in picks]))
    indices = np.concatenate(picks)
    return SyntheticSet(
        pool.images_at(indices).cpu(), labels, pool.spec, {**record, "indices": indices.tolist()}
    )
