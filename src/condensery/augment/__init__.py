"""Augmentation: differentiable and shared by two branches (DSA), or one operation for each image (DC)."""

from condensery.augment.per_image import PerImageAugmentation
from condensery.augment.siamese import (
    GROUPS,
    Parameters,
    SiameseAugmentation,
    default_strategy,
    resolve_strategy,
)

__all__ = [
    "GROUPS",
    "Parameters",
    "PerImageAugmentation",
    "SiameseAugmentation",
    "default_strategy",
    "resolve_strategy",
]
