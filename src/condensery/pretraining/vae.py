"""A conditional variational autoencoder on the real images.

Diederik Kingma and Max Welling, "Auto-Encoding Variational Bayes", arXiv 1312.6114, equation 10, with the class given
to both sides. The encoder is the trunk of the GAN's discriminator. The thesis takes a DC-VAE, which is larger.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condensery.optimizers import Adam
from condensery.pretraining.discriminators import ConvolutionalTrunk
from condensery.rng import Rng

LR = 1e-3


class Encoder(nn.Module):
    """Mean and logarithm of the variance of an image's code."""

    def __init__(self, shape: tuple[int, int, int], class_length: int, width: int, code_length: int) -> None:
        super().__init__()
        self.trunk = ConvolutionalTrunk(shape, class_length, width)
        self.heads = nn.Linear(self.trunk.length, 2 * code_length)

    def forward(self, images: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W), classes (N, class_length) -> two (N, code_length)."""
        mean, log_variance = self.heads(self.trunk(images, classes)).chunk(2, 1)
        return mean, log_variance


class VariationalAutoencoder:
    """Encoder and generator with one optimiser.

    Args:
        generator: makes images of codes (N, code_length) and what stands for classes (N, E).
        embeddings: what stands for the classes, (classes, E), on the device.
        width: filters of the encoder's first block.
    """

    def __init__(
        self,
        generator: nn.Module,
        embeddings: Tensor,
        shape: tuple[int, int, int],
        *,
        code_length: int,
        width: int,
        rng: Rng,
    ) -> None:
        self.embeddings = embeddings
        with rng.fork("encoder").seeded():
            encoder = Encoder(shape, embeddings.shape[1], width, code_length).to(embeddings.device)
        self.networks: dict[str, nn.Module] = {"generator": generator.train(), "encoder": encoder.train()}
        weights = [p for network in self.networks.values() for p in network.parameters()]
        self.optimizers: dict[str, torch.optim.Optimizer] = {"both": Adam(weights, LR)}

    def step(self, images: Tensor, labels: Tensor, rng: Rng) -> None:
        classes = self.embeddings[labels]
        mean, log_variance = self.networks["encoder"](images, classes)
        noise = torch.randn(mean.shape, generator=rng.fork("noise").torch()).to(images.device)
        made = self.networks["generator"](mean + noise * (0.5 * log_variance).exp(), classes)
        loss = vae_loss(images, made, mean, log_variance)
        self.optimizers["both"].zero_grad()
        loss.backward()
        self.optimizers["both"].step()


def vae_loss(images: Tensor, made: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Half the squared distance of images (N, ...), and the divergence of codes (N, D) from normal ones; their mean.

    The first is the likelihood of a normal distribution of variance 1 without its constant, the second is
    -(1 + log s^2 - m^2 - s^2) / 2, summed over a code.
    """
    distance = 0.5 * (images - made).square().flatten(1).sum(1)
    divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1)
    return (distance + divergence).mean()
