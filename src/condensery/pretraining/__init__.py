"""Networks trained on the real images and kept: single ones, pools of stages, experts, and generative models."""

from condensery.pretraining.discriminators import (
    FeatureDiscriminator,
    ImageDiscriminator,
    discriminator_loss,
    generator_loss,
)
from condensery.pretraining.experts import Experts, ExpertTraining, expert_preparation, trained_experts
from condensery.pretraining.gan import ConditionalGan, random_codes
from condensery.pretraining.generators import GenerativeModel, GeneratorTraining, joined
from condensery.pretraining.inversion import Inversion
from condensery.pretraining.kept import KeptNetwork, kept_network
from condensery.pretraining.pool import (
    NetworkPool,
    Stage,
    accuracy_range,
    pool_preparation,
    require_keepable,
    trained_networks,
)

__all__ = [
    "ConditionalGan",
    "ExpertTraining",
    "Experts",
    "FeatureDiscriminator",
    "GenerativeModel",
    "GeneratorTraining",
    "ImageDiscriminator",
    "Inversion",
    "KeptNetwork",
    "NetworkPool",
    "Stage",
    "accuracy_range",
    "discriminator_loss",
    "expert_preparation",
    "generator_loss",
    "joined",
    "kept_network",
    "pool_preparation",
    "random_codes",
    "require_keepable",
    "trained_experts",
    "trained_networks",
]
