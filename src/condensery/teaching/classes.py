"""What a teacher knows of each class: the mean of its features, and of its probabilities, over all training images.

Zhang et al., "Dataset Condensation via Generative Model", arXiv 2309.07698, sections 3.2 (class embedding) and 4.2
(soft labels for many classes).

Layout below the cache folder: classes/<key>.npy holds both, float32 (classes, features + classes).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from condensery.data import ClassPool
from condensery.data.cache import Cache, digest
from condensery.matching.layers import layer_features, pooled
from condensery.pretraining.kept import flat_weights
from condensery.training import default_chunk

_PASS = 256


@dataclass(frozen=True)
class ClassMeans:
    """Means over the training images of each class.

    Attributes:
        features: of the last layer's features, each over its positions, float32 (classes, F).
        probabilities: of what the network takes the images for, float32 (classes, classes); rows sum to 1.
    """

    features: Tensor
    probabilities: Tensor


def standardised(features: Tensor) -> Tensor:
    """`features` (classes, F) moved to mean 0 for each feature, and scaled to mean square 1 in all."""
    moved = features - features.mean(0)
    return moved / moved.square().mean().sqrt().clamp(min=1e-6)


def class_means(network: nn.Module, pool: ClassPool) -> ClassMeans:
    """Those of `network` in evaluation mode, on the pool's device; from the cache where it knows them."""
    weights = hashlib.sha256(flat_weights(network).tobytes()).hexdigest()
    key = digest("classes", pool.fingerprint(), type(network).__name__, weights, pool.device.type)
    file = Cache().folder / "classes" / f"{key}.npy"
    try:
        found = torch.from_numpy(np.load(file, allow_pickle=False)).to(pool.device)
    except (OSError, ValueError, EOFError):
        found = torch.stack([_of_class(network, pool, c) for c in range(pool.spec.num_classes)])
        Cache().save_array(file, found.cpu().numpy())
    classes = pool.spec.num_classes
    return ClassMeans(found[:, :-classes].contiguous(), found[:, -classes:].contiguous())


@torch.no_grad()
def _of_class(network: nn.Module, pool: ClassPool, c: int) -> Tensor:
    """Mean features and probabilities of class `c` in one vector, (F + classes,)."""
    network.eval()
    members, total = pool.members(c), torch.zeros(())
    for start in range(0, len(members), _PASS):
        images = pool.images_at(members[start : start + _PASS])
        for part in images.split(default_chunk(pool.device) or _PASS):
            features = pooled(layer_features(network, part)[-1])
            total = total.to(part.device) + torch.cat([features, network(part).softmax(1)], 1).sum(0)
    return total / len(members)
