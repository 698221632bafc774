"""Real and synthetic images under one small trained network, in the plane by PCA and by t-SNE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from condensery.budgets import per_class
from condensery.data import ClassPool, load
from condensery.errors import BadInput
from condensery.matching.moments import Embedding
from condensery.models.registry import resolve
from condensery.provenance import pick_device
from condensery.records import ImageData, SyntheticSet
from condensery.report.contents import Gallery, Scatter
from condensery.report.page.names import differing, groups
from condensery.rng import Rng
from condensery.text import count
from condensery.training import TensorImages, default_chunk, fit
from condensery.training_recipe import Recipe

NETWORK = "convnet+width=32"
EPOCHS = 10
MOST_REAL = 1000  # real images that are trained on and drawn
MOST_SETS = 12  # methods of which a set is drawn: more cannot be read, and t-SNE takes seconds for each
_PIXELS = 32 * 32 * MOST_REAL  # larger images: fewer of them
_REDUCED = 50  # dimensions that t-SNE is given: enough, and far faster than thousands
_PERPLEXITY = 30.0


class NamedSet(NamedTuple):
    """A set to be drawn, the method's label, and what stands above the picture."""

    name: str
    title: str
    synthetic: SyntheticSet


def feature_pictures(
    sets: Sequence[tuple[Gallery, SyntheticSet]], announce: Callable[[str], None]
) -> tuple[Scatter, ...]:
    """PCA and t-SNE of one set of each method beside real images; () with a line for a person if there can be none.

    The features are those of a small ConvNet, trained for a few epochs on the real images that are drawn.

    Args:
        sets: of one image set, each with the gallery that says what made it.
        announce: called with lines of text for a person.
    """
    record = sets[0][1].record.get("data", {})
    try:
        if not record.get("source"):
            raise BadInput("the set does not say what it was made from")
        data = load(record["source"], announce=announce, **record.get("options", {}))
        if data.fingerprint != record.get("fingerprint"):
            raise BadInput(f"{record['source']} has changed since the set was made")
        return features_of(_chosen(sets), data)
    except BadInput as error:
        announce(f"no picture of features: {error}")
        return ()


def features_of(sets: Sequence[NamedSet], data: ImageData) -> tuple[Scatter, ...]:
    """Two pictures of each set. Raises BadInput if the images are too small for the network."""
    rng, device = Rng(0).fork("features"), pick_device("auto")
    real, labels = _real_images(data, rng, device)
    network = resolve(NETWORK).build(data.spec, rng.fork("network")).to(device)
    recipe = Recipe(epochs=EPOCHS, batch_size=32)
    fit(network, TensorImages(real, labels), recipe, rng.fork("training"), chunk=default_chunk(device))
    where = f"{NETWORK} after {count(EPOCHS, 'epoch')} on {count(len(real), 'real image')}"
    of_real = (_features(network, real), labels.cpu().numpy())
    found: list[Scatter] = []
    for name, title, one in sets:
        of_set = (_features(network, one.images.to(device)), one.labels.numpy())
        pictures = scatters(title, data.spec.class_names, of_real, of_set, rng.fork("scatter"))
        found += [replace(picture, subject=name, network=where) for picture in pictures]
    return tuple(found)


def scatters(
    title: str,
    class_names: tuple[str, ...],
    real: tuple[np.ndarray, np.ndarray],
    synthetic: tuple[np.ndarray, np.ndarray],
    rng: Rng,
) -> tuple[Scatter, Scatter]:
    """One picture by PCA, fitted to the real images alone, and one by t-SNE, fitted to both.

    Args:
        title: which set.
        class_names: one per class.
        real, synthetic: features (N, D) and labels (N,) of each; at least 3 real images.
        rng: decides the t-SNE.
    """
    from sklearn.decomposition import PCA  # heavy, and needed here only
    from sklearn.manifold import TSNE

    both, reals = np.concatenate([real[0], synthetic[0]]).astype(np.float64), len(real[0])
    components = min(_REDUCED, reals, both.shape[1])
    flat = PCA(components, svd_solver="full").fit(both[:reals]).transform(both)  # (N + M, components)
    tsne = TSNE(
        perplexity=min(_PERPLEXITY, (len(both) - 1) / 3),
        init="pca",
        learning_rate="auto",
        random_state=rng.fork("t-SNE").entropy % 2**32,
    ).fit_transform(flat.astype(np.float32))

    def plot(projection: str, points: np.ndarray) -> Scatter:
        return Scatter(title, projection, class_names, points[:reals], real[1], points[reals:], synthetic[1])

    return plot("PCA", flat[:, :2]), plot("t-SNE", np.asarray(tsne))


def _chosen(sets: Sequence[tuple[Gallery, SyntheticSet]]) -> list[NamedSet]:
    """Of each name the first set of the largest budget, with a title that tells it from the others of its name."""
    chosen = []
    for name, alike in groups(sets, lambda one: one[0].subject).items():
        gallery, synthetic = max(alike, key=lambda one: len(one[1]))
        said = differing(gallery, [other for other, _ in alike], "condensed_with", "seed")
        chosen.append(NamedSet(name, ", ".join([name, per_class(gallery.ipc), *said]), synthetic))
    return chosen[:MOST_SETS]


def _real_images(data: ImageData, rng: Rng, device: torch.device) -> tuple[Tensor, Tensor]:
    """Equally many training images of each class, as far as there are: (N, C, H, W), (N,)."""
    spec = data.spec
    pool = ClassPool(data.train, spec, device)
    per_class = max(5, min(MOST_REAL, _PIXELS // (spec.height * spec.width)) // spec.num_classes)
    parts = [pool.sample(c, per_class, rng.fork("real", c)) for c in range(spec.num_classes)]
    labels = torch.arange(len(parts)).repeat_interleave(torch.tensor([len(part) for part in parts]))
    return torch.cat(parts), labels.to(device)


def _features(network: nn.Module, images: Tensor) -> np.ndarray:
    """Embeddings float32 (N, D) in evaluation mode."""
    embed = cast(Embedding, network.embed)
    network.eval()
    with torch.no_grad():
        return torch.cat([embed(part).flatten(1) for part in images.split(64)]).cpu().numpy()
