"""Networks trained on the real images and kept: single ones, pools at many stages, and generative models."""

from condensery.pretraining.discriminators import (
    FeatureDiscriminator,
    ImageDiscriminator,
    discriminator_loss,
    generator_loss,
)
from condensery.pretraining.gan import ConditionalGan, random_codes
from condensery.pretraining.generators import GenerativeModel, GeneratorTraining, joined
from condensery.pretraining.kept import KeptNetwork, kept_network
from condensery.pretraining.pool import (
    NetworkPool,
    Stage,
    pool_preparation,
    require_keepable,
    trained_networks,
)

__all__ = [
    "ConditionalGan",
    "FeatureDiscriminator",
    "GenerativeModel",
    "GeneratorTraining",
    "ImageDiscriminator",
    "KeptNetwork",
    "NetworkPool",
    "Stage",
    "discriminator_loss",
    "generator_loss",
    "joined",
    "kept_network",
    "pool_preparation",
    "random_codes",
    "require_keepable",
    "trained_networks",
]
