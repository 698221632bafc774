"""Networks trained on the real images and kept: single ones, pools at many stages, and experts at every epoch."""

from condensery.pretraining.experts import Experts, ExpertTraining, expert_preparation, trained_experts
from condensery.pretraining.kept import KeptNetwork, kept_network
from condensery.pretraining.pool import (
    NetworkPool,
    Stage,
    pool_preparation,
    require_keepable,
    trained_networks,
)

__all__ = [
    "ExpertTraining",
    "Experts",
    "KeptNetwork",
    "NetworkPool",
    "Stage",
    "expert_preparation",
    "kept_network",
    "pool_preparation",
    "require_keepable",
    "trained_experts",
    "trained_networks",
]
