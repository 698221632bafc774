"""Networks trained on the real images and kept: single ones, and pools at many stages."""

from condensery.pretraining.kept import KeptNetwork, kept_network
from condensery.pretraining.pool import (
    NetworkPool,
    Stage,
    pool_preparation,
    require_keepable,
    trained_networks,
)

__all__ = [
    "KeptNetwork",
    "NetworkPool",
    "Stage",
    "kept_network",
    "pool_preparation",
    "require_keepable",
    "trained_networks",
]
