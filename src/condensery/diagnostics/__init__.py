"""Quantities of the papers that are no accuracies: what a set's features, gradients and updates look like.

Each module has pure functions and `measure(images, sets, *, network, seed, device, ...)`, which returns JSON-able
facts: every value, their mean, standard deviation and n, and what it takes to find them again.
"""

from condensery.diagnostics.alignment import alignment_loss, uniformity_loss
from condensery.diagnostics.magnitudes import norm
from condensery.diagnostics.velocity import gram, kernel_velocity

__all__ = ["alignment_loss", "gram", "kernel_velocity", "norm", "uniformity_loss"]
