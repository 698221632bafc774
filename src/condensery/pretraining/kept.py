"""Single networks that were trained on the real images, kept in the cache, so that each is trained once.

What is kept gives what training it would, bit for bit. Layout below the cache folder: trained/<key>.npy holds the
weights, float32 (numbers,). A file never changes; the key says what it was made from.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from condensery.data.cache import Cache, digest
from condensery.models.registry import NetworkFactory
from condensery.rng import Rng
from condensery.training_recipe import Recipe


@dataclass(frozen=True)
class KeptNetwork:
    """Where the weights of one trained network are kept.

    Attributes:
        file: where; None for a user's own network, which is known by name and may change.
    """

    file: Path | None

    @property
    def is_there(self) -> bool:
        """Whether it has been trained before."""
        return self.file is not None and self.file.exists()

    def trained(self, network: nn.Module, train: Callable[[], object]) -> nn.Module:
        """`network` with the weights that `train` gives it; where they are kept it is not called.

        Raises:
            BadInput: the cache folder cannot be written.
        """
        if self._recalled(network):
            return network
        train()
        if self.file is not None:
            Cache().save_array(self.file, flat_weights(network))
        return network

    def _recalled(self, network: nn.Module) -> bool:
        """Give `network` the weights that are kept; False if there are none, or damaged ones."""
        if self.file is None:
            return False
        try:
            restore_weights(network, torch.from_numpy(np.load(self.file, allow_pickle=False)))
        except (OSError, ValueError, EOFError, RuntimeError, TypeError):
            return False
        return True


def kept_network(
    fingerprint: str, network: NetworkFactory, recipe: Recipe, rng: Rng, device: torch.device
) -> KeptNetwork:
    """The place of a network trained by `recipe` without augmentation, with the draws of `rng`.

    The key holds all that decides its bits: the number of threads and torch's version too, since they round
    differently.

    Args:
        fingerprint: of the images with their labels and normalisation.
    """
    if ":" in network.canonical:
        return KeptNetwork(None)
    threads = torch.get_num_threads() if device.type == "cpu" else 0
    words = (fingerprint, network.kept_as, json.dumps(recipe.to_json()), str(rng.entropy), device.type)
    key = digest("trained", *words, str(threads), torch.__version__)
    return KeptNetwork(Cache().folder / "trained" / f"{key}.npy")


def flat_weights(network: nn.Module) -> np.ndarray:
    """Weights and buffers as one float32 vector."""
    tensors = network.state_dict().values()
    return torch.cat([t.detach().cpu().flatten().to(torch.float32) for t in tensors]).numpy()


def restore_weights(network: nn.Module, flat: torch.Tensor) -> None:
    """The inverse of `flat_weights`. Raises RuntimeError if the vector has another length."""
    tensors = list(network.state_dict().values())
    with torch.no_grad():
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.reshape(tensor.shape))
