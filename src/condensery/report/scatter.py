"""Features of real and synthetic images in the plane, by PCA and by t-SNE."""

from __future__ import annotations

import numpy as np

from condensery.report.contents import Scatter
from condensery.rng import Rng

_REDUCED = 50  # dimensions that t-SNE is given: enough, and far faster than thousands
_PERPLEXITY = 30.0


def scatters(
    title: str,
    class_names: tuple[str, ...],
    real: tuple[np.ndarray, np.ndarray],
    synthetic: tuple[np.ndarray, np.ndarray],
    rng: Rng,
) -> tuple[Scatter, Scatter]:
    """One picture by PCA, fitted to the real images alone, and one by t-SNE, fitted to both.

    Args:
        title: which set.
        class_names: one per class.
        real, synthetic: features (N, D) and labels (N,) of each; at least 3 real images.
        rng: decides the t-SNE.
    """
    from sklearn.decomposition import PCA  # heavy, and needed here only
    from sklearn.manifold import TSNE

    both = np.concatenate([real[0], synthetic[0]]).astype(np.float64)
    count = len(real[0])
    components = min(_REDUCED, count, both.shape[1])
    flat = PCA(components, svd_solver="full").fit(both[:count]).transform(both)  # (N + M, components)
    tsne = TSNE(
        perplexity=min(_PERPLEXITY, (len(both) - 1) / 3),
        init="pca",
        learning_rate="auto",
        random_state=rng.fork("t-SNE").entropy % 2**32,
    ).fit_transform(flat.astype(np.float32))

    def plot(projection: str, points: np.ndarray) -> Scatter:
        return Scatter(title, projection, class_names, points[:count], real[1], points[count:], synthetic[1])

    return plot("PCA", flat[:, :2]), plot("t-SNE", np.asarray(tsne))
