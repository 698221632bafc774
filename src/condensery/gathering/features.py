"""Real and synthetic images under one small trained network, in the plane."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from condensery.data import ClassPool, load
from condensery.errors import BadInput
from condensery.matching.moments import Embedding
from condensery.models.registry import resolve
from condensery.provenance import pick_device
from condensery.records import ImageData, SyntheticSet
from condensery.report.contents import Scatter
from condensery.report.scatter import scatters
from condensery.rng import Rng
from condensery.training import Recipe, TensorImages, default_chunk, fit
from condensery.words import count

NETWORK = "convnet+width=32"
EPOCHS = 10
MOST_REAL = 1000  # real images that are trained on and drawn
MOST_SETS = 4  # sets that are drawn
_PIXELS = 32 * 32 * MOST_REAL  # larger images: fewer of them


def feature_pictures(sets: Sequence[SyntheticSet], announce: Callable[[str], None]) -> tuple[Scatter, ...]:
    """PCA and t-SNE of some sets beside real images; () with a line for a person if there can be none.

    The features are those of a small ConvNet, trained for a few epochs on the real images that are drawn.
    """
    record = sets[0].record.get("data", {})
    try:
        if not record.get("source"):
            raise BadInput("the set does not say what it was made from")
        data = load(record["source"], announce=announce, **record.get("options", {}))
        if data.fingerprint != record.get("fingerprint"):
            raise BadInput(f"{record['source']} has changed since the set was made")
        return features_of(sets, data)
    except BadInput as error:
        announce(f"no picture of features: {error}")
        return ()


def features_of(sets: Sequence[SyntheticSet], data: ImageData) -> tuple[Scatter, ...]:
    """The pictures of the largest budget's sets. Raises BadInput if the images are too small for the network."""
    rng, device = Rng(0).fork("features"), pick_device("auto")
    real, labels = _real_images(data, rng, device)
    network = resolve(NETWORK).build(data.spec, rng.fork("network")).to(device)
    chunk = default_chunk(device)
    recipe = Recipe(epochs=EPOCHS, batch_size=32)
    fit(network, TensorImages(real, labels), recipe, rng.fork("training"), chunk=chunk)
    where = f"{NETWORK} after {count(EPOCHS, 'epoch')} on {count(len(real), 'real image')}"
    features = _features(network, real)
    found = []
    for one in _chosen(sets):
        record = one.record
        title = f"{record.get('method', 'set')}, {record.get('ipc', '?')} per class; features of {where}"
        synthetic = _features(network, one.images.to(device))
        found += scatters(
            title,
            data.spec.class_names,
            (features, labels.cpu().numpy()),
            (synthetic, one.labels.numpy()),
            rng.fork("scatter"),
        )
    return tuple(found)


def _chosen(sets: Sequence[SyntheticSet]) -> list[SyntheticSet]:
    """One set of each method, with the most images per class."""
    best: dict[str, SyntheticSet] = {}
    for one in sets:
        method = str(one.record.get("method"))
        if method not in best or len(one) > len(best[method]):
            best[method] = one
    return list(best.values())[:MOST_SETS]


def _real_images(data: ImageData, rng: Rng, device: torch.device) -> tuple[Tensor, Tensor]:
    """Equally many training images of each class, as far as there are: (N, C, H, W), (N,)."""
    spec = data.spec
    pool = ClassPool(data.train, spec, device)
    most = min(MOST_REAL, _PIXELS // (spec.height * spec.width))
    per_class = max(5, most // spec.num_classes)
    parts = [pool.sample(c, per_class, rng.fork("real", c)) for c in range(spec.num_classes)]
    labels = torch.arange(len(parts)).repeat_interleave(torch.tensor([len(part) for part in parts]))
    return torch.cat(parts), labels.to(device)


def _features(network: nn.Module, images: Tensor) -> np.ndarray:
    """Embeddings float32 (N, D) in evaluation mode."""
    embed = cast(Embedding, network.embed)
    network.eval()
    with torch.no_grad():
        return torch.cat([embed(part).flatten(1) for part in images.split(64)]).cpu().numpy()
