"""Features in the plane."""

from __future__ import annotations

import numpy as np
import pytest

from condensery import Rng
from condensery.report.features import scatters

NAMES = ("a", "b")


def two_clouds(count: int = 40, dims: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Two classes, far apart along the first axis."""
    labels = np.arange(2).repeat(count // 2)
    points = Rng(0).fork(count).numpy().normal(size=(count, dims))
    points[:, 0] += 50 * labels
    return points.astype(np.float32), labels


@pytest.fixture(scope="module")
def plots():
    return scatters("title", NAMES, two_clouds(), two_clouds(10), Rng(3))


def test_both_projections_hold_all_images(plots):
    assert [plot.projection for plot in plots] == ["PCA", "t-SNE"]
    for plot in plots:
        assert plot.real.shape == (40, 2) and plot.synthetic.shape == (10, 2)
        assert np.isfinite(plot.real).all() and plot.class_names == NAMES


def test_pca_is_fitted_to_the_real_images(plots):
    real, labels = two_clouds()
    centred = real - real.mean(0)
    first = np.linalg.svd(centred, full_matrices=False)[2][0]
    assert np.allclose(np.abs(centred @ first), np.abs(plots[0].real[:, 0]), atol=1e-3)
    far = scatters("t", NAMES, (real, labels), (1000 + two_clouds(10)[0], two_clouds(10)[1]), Rng(3))
    assert np.allclose(far[0].real, plots[0].real), "the synthetic images do not move the real ones"


def test_classes_stay_apart(plots):
    for plot in plots:
        middles = [plot.real[plot.real_labels == c].mean(0) for c in range(2)]
        nearest = [
            min(range(2), key=lambda c: np.linalg.norm(point - middles[c])) for point in plot.synthetic
        ]
        assert nearest == plot.synthetic_labels.tolist()


def test_one_seed_gives_one_picture(plots):
    again = scatters("title", NAMES, two_clouds(), two_clouds(10), Rng(3))
    assert np.array_equal(again[1].real, plots[1].real)


def test_few_images():
    plots = scatters("t", NAMES, two_clouds(4), two_clouds(2), Rng(0))
    assert all(np.isfinite(plot.synthetic).all() for plot in plots)
