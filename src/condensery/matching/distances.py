"""How far the gradient of a synthetic batch is from the gradient of a real one.

Each function takes the two gradients as sequences of tensors in `network.parameters()` order and returns a
scalar tensor that can be differentiated with respect to the synthetic side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from condensery.errors import BadInput

Gradients = Sequence[Tensor]
Distance = Callable[[Gradients, Gradients], Tensor]

_EPS = 1e-6  # added to the product of the norms, as in the authors' code (utils.py, distance_wb)


def rowwise_cosine(synthetic: Gradients, real: Gradients) -> Tensor:
    """Sum over layers and output nodes of 1 - cosine: the distance of DC (thesis eq. 3.10).

    A convolution of shape (out, in, h, w) has `out` rows of length in*h*w, a linear layer (out, in) has `out`
    rows, a layer norm (C, h, w) has C rows. One-dimensional parameters (biases, affine scales) count nothing,
    which the paper does not say and the authors' code does.
    """
    total = torch.zeros((), device=real[0].device)
    for s, r in zip(synthetic, real, strict=True):
        if r.ndim > 1:
            total = total + _one_minus_cosine(s.flatten(1), r.flatten(1)).sum()
    return total


def squared_euclidean(synthetic: Gradients, real: Gradients) -> Tensor:
    """Squared Euclidean distance of all parameters as one long vector (thesis Table T7, "Euclidean")."""
    return torch.stack([(s - r).square().sum() for s, r in zip(synthetic, real, strict=True)]).sum()


def cosine(synthetic: Gradients, real: Gradients) -> Tensor:
    """1 - cosine of all parameters as one long vector (thesis Table T7, "Cosine")."""
    return _one_minus_cosine(_one_vector(synthetic), _one_vector(real))


def _one_minus_cosine(a: Tensor, b: Tensor) -> Tensor:
    return 1 - (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1) + _EPS)


def _one_vector(gradients: Gradients) -> Tensor:
    return torch.cat([g.flatten() for g in gradients])


DISTANCES: dict[str, Distance] = {
    "rowwise": rowwise_cosine,
    "euclidean": squared_euclidean,
    "cosine": cosine,
}


def get_distance(name: str) -> Distance:
    """The distance called `name`. Raises BadInput if there is none."""
    if name not in DISTANCES:
        raise BadInput(f"unknown distance {name!r}; choose one of {', '.join(DISTANCES)}")
    return DISTANCES[name]
