"""One network: trained from scratch, tested on the test images."""

from __future__ import annotations

import torch
from torch import nn

from condensery.data.pool import batches
from condensery.models.registry import NetworkFactory
from condensery.records import ImageData, ImageSpec
from condensery.rng import Rng
from condensery.training import Augment, Images, Recipe, accuracy, default_chunk, fit, forward_layout

_TEST_BATCH = 256


def train_network(
    factory: NetworkFactory,
    spec: ImageSpec,
    images: Images,
    recipe: Recipe,
    rng: Rng,
    *,
    augment: Augment | None,
    device: torch.device,
) -> nn.Module:
    """A fresh network, trained by `recipe` on `images`, which are drawn on `device`."""
    network = factory.build(spec, rng.fork("network")).to(device)
    train(network, images, recipe, rng, augment=augment, device=device)
    return network


def train(
    network: nn.Module,
    images: Images,
    recipe: Recipe,
    rng: Rng,
    *,
    augment: Augment | None,
    device: torch.device,
) -> None:
    """Train `network` in place, as `train_network` does."""
    with rng.fork("layers").seeded(device):  # for networks with layers that draw, such as dropout
        fit(network, images, recipe, rng.fork("training"), augment=augment, chunk=default_chunk(device))


def accuracy_on_test(
    network: nn.Module, factory: NetworkFactory, data: ImageData, device: torch.device
) -> float:
    """Fraction of the test images that `network`, made by `factory`, classifies correctly."""
    test = batches(data.test, data.spec, device, _TEST_BATCH)
    if factory.any_layout:
        test = ((forward_layout(images), labels) for images, labels in test)
    return accuracy(network, test, default_chunk(device))
