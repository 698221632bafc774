"""Kernel ridge regression on a set as a classifier: what stands in place of a trained network (KIP, RFAD)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from condensery.errors import BadInput
from condensery.matching.infinite import fully_connected_kernel
from condensery.matching.kernels import centred, ridge_solution
from condensery.matching.random_features import feature_kernel, gaussian, joined_features
from condensery.models.registry import NetworkFactory
from condensery.records import ImageSpec
from condensery.rng import Rng
from condensery.training import Images
from condensery.training_recipe import Regression

Represent = Callable[[Tensor], Tensor]
"""Images (n, C, H, W) -> what a kernel compares, (n, D)."""
Kernel = Callable[[Tensor, Tensor], Tensor]
"""(n, D), (m, D) -> float64 (n, m)."""


class Regressor(nn.Module):
    """The predictions of kernel ridge regression, as a network whose outputs they are."""

    def __init__(
        self, represent: Represent, kernel: Kernel, images: Tensor, targets: Tensor, ridge: float
    ) -> None:
        """Raises IllConditioned: the kernel of the images cannot be solved."""
        super().__init__()
        self.represent, self.kernel, self.known = represent, kernel, represent(images)
        self.solution = ridge_solution(kernel(self.known, self.known), targets.double(), ridge)

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, C, H, W) -> float64 (n, classes)."""
        return self.kernel(self.represent(images), self.known) @ self.solution


@torch.no_grad()
def fitted(
    recipe: Regression,
    factory: NetworkFactory,
    spec: ImageSpec,
    images: Images,
    rng: Rng,
    device: torch.device,
) -> Regressor:
    """The regression on `images`, towards the values in their labels or their classes centred.

    Args:
        factory: makes the random networks of the kernel "features"; others need none.
        rng: of those networks.

    Raises:
        BadInput: those networks have no embedding.
        IllConditioned: the kernel of the images cannot be solved.
    """
    learned, labels = images.batch(torch.arange(len(images)))
    targets = labels if labels.ndim == 2 else centred(labels, spec.num_classes)
    represent, kernel = (
        _flat,
        lambda one, other: fully_connected_kernel(one, other, recipe.kernel, recipe.depth),
    )
    if recipe.kernel == "features":
        if not factory.has_embedding(spec):
            raise BadInput(
                f"the set's own recipe regresses on embeddings and {factory.name} has none: choose a network with "
                "embed(), such as convnet, or --recipe common"
            )
        networks = [_network(factory, spec, rng.fork("network", i), device) for i in range(recipe.networks)]
        represent, kernel = (lambda x: joined_features(networks, x, None)), feature_kernel
    return Regressor(represent, kernel, learned, targets, recipe.ridge)


def _flat(images: Tensor) -> Tensor:
    return images.flatten(1).double()


def _network(factory: NetworkFactory, spec: ImageSpec, rng: Rng, device: torch.device) -> nn.Module:
    network = factory.build(spec, rng).to(device).eval()
    gaussian(network, rng.fork("weights"))
    return network
