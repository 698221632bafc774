"""Random selection: `ipc` images of each class, drawn uniformly without replacement (thesis section 2.1)."""

from __future__ import annotations

import numpy as np
import torch

from condensery.data.pool import ClassPool
from condensery.records import SyntheticSet
from condensery.rng import Rng


def random_selection(pool: ClassPool, ipc: int, rng: Rng) -> SyntheticSet:
    """A set of real images, class-major; its record holds their indices in the training set."""
    picks = [pool.sample_indices(c, ipc, rng.fork(c)) for c in range(pool.spec.num_classes)]
    labels = torch.arange(len(picks)).repeat_interleave(torch.tensor([len(p) for p in picks]))
    record = {"method": "random", "ipc": ipc, "indices": np.concatenate(picks).tolist()}
    return SyntheticSet(pool.images_at(np.concatenate(picks)).cpu(), labels, pool.spec, record)
