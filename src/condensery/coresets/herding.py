"""Herding: images whose mean feature follows the mean of their class.

M. Welling, "Herding dynamical weights to learn", ICML 2009; S.-A. Rebuffi et al., "iCaRL", CVPR 2017,
Algorithm 4; thesis section 2.1, equation 2.1, class by class.

x_k = argmin over the x not yet chosen of | mu - (phi(x) + sum_{i<k} phi(x_i)) / k |, where phi is the input of the last
layer and mu its mean over the class.

Differences from the papers:

1. Training is SGD at 0.01, momentum 0.9, weight decay 5e-4, batches of 256, no augmentation; each paper has its own.
2. Features are not scaled to unit length, as in equation 2.1; iCaRL scales them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from condensery.coresets.features import FeatureSelector


def herd(features: Tensor, count: int) -> Tensor:
    """Indices (count,) into `features` (n, D), in the order of equation 2.1.

    x_k = argmin over the x not yet chosen of | mu - (phi(x) + sum_{i<k} phi(x_i)) / k |, where mu is the mean of all
    phi(x). With c(x) = phi(x) - mu that is | c(x) + sum_{i<k} c(x_i) |, whose square is |c(x)|^2 + 2 c(x).sum + a
    constant. Equals go to the lower index.
    """
    centred = features - features.mean(0)  # (n, D)
    squares = centred.square().sum(1)  # (n,)
    total = torch.zeros_like(centred[0])
    chosen: list[int] = []
    for _ in range(count):
        cost = squares + 2 * centred @ total  # (n,)
        cost[chosen] = torch.inf
        chosen.append(int(cost.argmin()))
        total += centred[chosen[-1]]
    return torch.tensor(chosen)


@dataclass(frozen=True)
class Herding(FeatureSelector):
    """Add, one by one, the image that brings the mean feature of the selection closest to that of its class."""

    name: ClassVar[str] = "herding"
    summary: ClassVar[str] = "follow the class mean in feature space (Welling, 2009; Rebuffi et al., 2017)"
    order = staticmethod(herd)
