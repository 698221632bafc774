"""Augmentation: differentiable and shared by two branches (DSA), or one operation for each image (DC)."""

from condensery.augment.per_image import PerImageAugmentation
from condensery.augment.schemes import SCHEMES, augment_pair, require_scheme
from condensery.augment.siamese import (
    GROUPS,
    Parameters,
    SiameseAugmentation,
    default_strategy,
    resolve_strategy,
)

__all__ = [
    "GROUPS",
    "SCHEMES",
    "Parameters",
    "PerImageAugmentation",
    "SiameseAugmentation",
    "augment_pair",
    "default_strategy",
    "require_scheme",
    "resolve_strategy",
]
