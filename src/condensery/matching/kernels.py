"""Kernel ridge regression: what a linear model on given features, trained to the end on a set, says of other images.

Source: Zhou, Nezhadarya & Ba, "Dataset Distillation using Neural Feature Regression" (FRePo), NeurIPS 2022,
arXiv 2206.00719, section 3.2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from condensery.errors import FailedWork

_LEAST_PIVOT = 1e-13  # smallest over largest; below it double precision has fewer than three digits left


class IllConditioned(FailedWork):
    """A kernel that cannot be solved in double precision."""


def centred(classes: Tensor, num_classes: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """(n, num_classes): 1 - 1 / num_classes at the class, -1 / num_classes elsewhere."""
    return F.one_hot(classes, num_classes).to(dtype) - 1 / num_classes


def ridge_solution(kernel: Tensor, targets: Tensor, ridge: float) -> Tensor:
    """(K + ridge * trace(K) / n * I)^-1 y, by Cholesky decomposition; differentiable.

    Args:
        kernel: K, float64 (n, n), symmetric and positive semidefinite.
        targets: y, float64 (n, classes).
        ridge: share of the mean diagonal of the kernel that is added to its diagonal.

    Returns:
        float64 (n, classes).

    Raises:
        IllConditioned: the kernel holds values that are not finite, or its condition number is beyond 1e13.
    """
    count = len(kernel)
    if not bool(torch.isfinite(kernel).all()):
        raise IllConditioned(f"the kernel of {count} synthetic images holds values that are not finite")
    regularised = kernel + ridge * kernel.trace() / count * torch.eye(count).to(kernel)
    factor, failed = torch.linalg.cholesky_ex(regularised)
    pivots = factor.detach().diagonal().square()
    if int(failed) or not bool(pivots.min() > _LEAST_PIVOT * pivots.max()):
        raise IllConditioned(
            f"the kernel of {count} synthetic images cannot be solved in double precision: "
            "to the network, some of them are nearly combinations of others"
        )
    return torch.cholesky_solve(targets, factor)


def ridge_predictions(features: Tensor, targets: Tensor, others: Tensor, ridge: float) -> Tensor:
    """Predictions for `others` of the linear model that ridge regression fits to `features` and `targets`.

    All in double precision: the kernels are those of the features, without bias and normalisation.

    Args:
        features: (n, D), of the synthetic images.
        targets: (n, classes), their labels.
        others: (m, D), features of the images that are predicted.
        ridge: see `ridge_solution`.

    Returns:
        float64 (m, classes).

    Raises:
        IllConditioned: see `ridge_solution`.
    """
    features, targets, others = features.double(), targets.double(), others.double()
    return others @ (features.T @ ridge_solution(features @ features.T, targets, ridge))
