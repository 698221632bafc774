"""Alignment and uniformity of the features of a set: are images of a class close, are images spread evenly?

Tongzhou Wang and Phillip Isola, "Understanding contrastive representation learning through alignment and uniformity
on the hypersphere", ICML 2020; used on condensed sets by Lee et al. (ICML 2022, Figure 6: CIFAR-10, 50 images per
class, DC beside DCC, features of six ResNet-18 and VGG-11 trained on the real images). Lower is better in both. Open
there, and ours: networks are trained as DM's; pairs are all of a class, once (Wang and Isola: two views of an image).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery.diagnostics.findings import finding, make_task, spread, with_budget
from condensery.errors import BadInput
from condensery.matching.moments import Embedding
from condensery.method import Task
from condensery.pretraining import require_keepable, trained_networks
from condensery.records import ImageData, SyntheticSet
from condensery.rng import Rng

_NO_PAIR = "alignment compares images of a class: it needs sets of 2 or more images per class"


def alignment_loss(features: Tensor, labels: Tensor, alpha: float = 2.0) -> float:
    """Mean distance to the power `alpha` of two different images of one class, over all such pairs.

    Args:
        features: (N, D), which are put on the unit sphere first.
        labels: int64 (N,).

    Raises:
        BadInput: no class has two images.
    """
    points = F.normalize(features.double())
    total, count = 0.0, 0
    for c in labels.unique():
        gaps = torch.pdist(points[labels == c]).pow(alpha)  # one for each pair
        total, count = total + float(gaps.sum()), count + len(gaps)
    if not count:
        raise BadInput(_NO_PAIR)
    return total / count


def uniformity_loss(features: Tensor, t: float = 2.0) -> float:
    """Logarithm of the mean of exp(-t * squared distance) over all pairs of different images.

    0 where all features are equal, and -4 * t would be all at opposite ends.

    Args:
        features: (N, D), N of 2 or more, which are put on the unit sphere first.
    """
    return float(torch.pdist(F.normalize(features.double())).square().mul(-t).exp().mean().log())


def measure(
    images: ImageData,
    sets: Sequence[SyntheticSet],
    *,
    network: str = "resnet18",
    seed: int = 0,
    device: str = "auto",
    networks: int = 3,
    epochs: int = 20,
) -> dict[str, Any]:
    """Both losses of each set in the feature space of each of several networks trained on the real images.

    The networks depend on data, seed and epochs alone and are kept in the cache: all sets are measured on the same.

    Args:
        images: the real images.
        sets: of 2 or more images per class.
        network: architecture with an embedding, whose output the features are.
        seed: decides weights and order of training.
        device: "auto", "cpu" or "cuda".
        networks: how many are trained.
        epochs: that each is trained for; see `condensery.pretraining` for the recipe.

    Returns:
        `alignment` and `uniformity` {mean, std, n} over all pairs of set and network, and `points`, one for each
        pair: set, network (numbers from 0), validation_accuracy (of the network, a fraction), alignment, uniformity.

    Raises:
        BadInput: the network has no embedding, a set does not fit the data or has 1 image per class.
    """
    task = make_task(images, sets, network, device)
    if not task.network.has_embedding(task.spec):
        raise BadInput(f"{network} has no embedding: choose a network with embed(), such as resnet18")
    require_keepable(task.network)
    if any(min(with_budget(task, s).counts) < 2 for s in sets):  # before hours of training
        raise BadInput(_NO_PAIR)
    pool = trained_networks(task, networks, epochs, Rng(seed).fork("diagnostics"), stages_between=False)
    points = []
    for j, stage in enumerate(pool.finished().stages):
        trained = task.new_network(Rng(seed))
        stage.load_into(trained)
        for i, synthetic in enumerate(sets):
            features = _features(task, trained, synthetic.images)
            losses = {
                "alignment": alignment_loss(features, synthetic.labels),
                "uniformity": uniformity_loss(features),
            }
            points.append({"set": i, "network": j, "validation_accuracy": stage.accuracy, **losses})
    summary = {key: spread(point[key] for point in points) for key in ("alignment", "uniformity")}
    return finding(
        "alignment and uniformity", images, sets, task, seed, epochs=epochs, points=points, **summary
    )


@torch.no_grad()
def _features(task: Task, network: nn.Module, images: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, D) on the CPU, in evaluation mode."""
    embed = cast(Embedding, network.eval().embed)
    parts = images.to(task.device).split(task.chunk or 256)
    return torch.cat([embed(part).cpu() for part in parts])
