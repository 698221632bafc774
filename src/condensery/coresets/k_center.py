"""k-center: images so spread that every image of the class has one near it, greedily.

G. W. Wolf, "Facility location", 2011; O. Sener and S. Savarese, "Active learning for convolutional neural networks: a
core-set approach", ICLR 2018, Algorithm 1; thesis section 2.1, equation 2.2. Which image comes first: thesis A.3.

x_k = argmax over x of min_{j<k} | phi(x) - phi(x_j) |, where phi is the input of the last layer.

Differences from the papers:

1. Training is SGD at 0.01, momentum 0.9, weight decay 5e-4, batches of 256, no augmentation; each paper has its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from condensery.coresets.features import FeatureSelector


def spread(features: Tensor, count: int) -> Tensor:
    """Indices (count,) into `features` (n, D), in the order of equation 2.2.

    x_1 is the one nearest to the mean; x_k = argmax over x of min_{j<k} | phi(x) - phi(x_j) |. Equals go to the lower
    index.
    """
    gap = (features - features.mean(0)).square().sum(1)  # (n,)
    chosen = [int(gap.argmin())]
    nearest = torch.full_like(gap, torch.inf)  # squared distance to the nearest one chosen
    while len(chosen) < count:
        nearest = torch.minimum(nearest, (features - features[chosen[-1]]).square().sum(1))
        nearest[chosen] = -1  # copies of a chosen image are at 0, and still new
        chosen.append(int(nearest.argmax()))
    return torch.tensor(chosen)


@dataclass(frozen=True)
class KCenter(FeatureSelector):
    """Start nearest to the class mean, then add, one by one, the image farthest from all that are selected."""

    name: ClassVar[str] = "k-center"
    summary: ClassVar[str] = "cover the class in feature space (Wolf, 2011; Sener & Savarese, 2018)"
    order = staticmethod(spread)
