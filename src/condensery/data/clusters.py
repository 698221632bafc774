"""Images of a class in clusters, and a real one for each."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from condensery.rng import Rng


@dataclass(frozen=True)
class Clusters:
    """What `k_means` found.

    Attributes:
        of_image: int64 (N,), the cluster of each image: 0, 1, ... without a gap.
        nearest: int64 (clusters,), of each cluster the image nearest to its mean.
    """

    of_image: np.ndarray
    nearest: np.ndarray


def k_means(values: np.ndarray, count: int, rng: Rng) -> Clusters:
    """`count` clusters of `values` (N, D), or fewer where they are few or equal."""
    from sklearn.cluster import KMeans  # a second to import, and most runs need none

    with warnings.catch_warnings(action="ignore"):  # values that are equal make fewer clusters
        means = KMeans(min(count, len(values)), random_state=rng.entropy % 2**32)
        found = means.fit_predict(values)
    numbers, of_image = np.unique(found, return_inverse=True)
    nearest = means.transform(values)[:, numbers].argmin(0)
    return Clusters(of_image.astype(np.int64), nearest.astype(np.int64))
