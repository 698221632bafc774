"""How features of synthetic images lie to each other: spread within a class, apart between classes.

Zhang et al., "Dataset Condensation via Generative Model", arXiv 2309.07698, equations 3 and 4.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def intra_class(
    features: Tensor, centres: Tensor, temperature: float, drawn_to_centre: bool = True
) -> Tensor:
    """Equation 3, the mean over images: each is drawn to the centre of its class and driven from the class's others.

    -log(e(<f, c>) / (sum over others e(<f, f_i>) + e(<f, c>))), e(x) = exp(x / temperature). Features and centres are
    scaled to length 1 first. With one image in a class it is 0.

    Args:
        features: (classes, n, D).
        centres: (classes, D).
        drawn_to_centre: without it (the paper's Figure 4b) what is left is log(sum over others e(<f, f_i>) + 1).
    """
    features, centres = F.normalize(features, dim=2), F.normalize(centres, dim=1)
    drawn = torch.einsum("cnd,cd->cn", features, centres) / temperature
    drawn = drawn if drawn_to_centre else torch.zeros_like(drawn)
    driven = features @ features.transpose(1, 2) / temperature  # (classes, n, n)
    itself = torch.eye(features.shape[1], dtype=torch.bool, device=features.device)
    every = torch.cat([drawn.unsqueeze(2), driven.masked_fill(itself, -torch.inf)], 2)
    return (every.logsumexp(2) - drawn).mean()


def inter_class(means: Tensor, margin: float) -> Tensor:
    """Equation 4 divided by the number of ordered pairs: by how much class means are nearer than `margin`.

    Args:
        means: of each class's synthetic features, (classes, D).
    """
    classes = len(means)
    if classes < 2:
        return means.sum() * 0
    first, second = torch.triu_indices(classes, classes, 1)
    distances = torch.linalg.vector_norm(
        means[first] - means[second], dim=1
    )  # each pair once: twice is the same mean
    return (margin - distances).clamp(min=0).mean()


def mean_distance(means: Tensor) -> Tensor:
    """Mean distance between two of `means` (classes, D), a scalar; 1 where there is one alone."""
    return torch.pdist(means).mean() if len(means) > 1 else means.new_ones(())
