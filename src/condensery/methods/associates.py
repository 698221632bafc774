"""The real images that synthetic ones are compared with, and what a network sees of both.

Zhang et al., "Dataset Condensation via Generative Model", arXiv 2309.07698, section 3.2: a subset of the real images of
its class is sampled as the association of each synthetic image. How, the paper does not say: here a class's real images
are dealt to its synthetic ones anew at each step, or divided among them once and for all, or all are those of each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from condensery.augment import Parameters, SiameseAugmentation
from condensery.budgets import Counts
from condensery.data.clusters import k_means
from condensery.matching.layers import dealt, layer_features
from condensery.method import Task
from condensery.methods.adversary import Drawn
from condensery.rng import Rng

_DIVIDED = 1000  # real images of a class that are divided; the others have no part


@dataclass(frozen=True)
class Eye:
    """A network that looks at real and synthetic images with one transformation.

    Attributes:
        task: for its images.
        network: in evaluation mode.
        augmentation, parameters: the transformation.
        logits: whether it says the logits too, last.
    """

    task: Task
    network: nn.Module
    augmentation: SiameseAugmentation
    parameters: Parameters
    logits: bool = False

    def layers(self, images: Tensor) -> list[Tensor]:
        """Features (N, D) of each layer."""
        moved = self.augmentation.apply(images, self.parameters)
        found = [layer.flatten(1) for layer in layer_features(self.network, moved, self.task.chunk)]
        if self.logits:
            found.append(
                torch.cat([self.network(part) for part in moved.split(self.task.chunk or len(moved))])
            )
        return found

    @torch.no_grad()
    def associates(
        self, drawn: Drawn, real: int, clusters: Tensor | None, rng: Rng, *, joint: bool = False
    ) -> list[Tensor]:
        """Mean features of the real images of each synthetic one: for each layer (N, D).

        Args:
            drawn: the synthetic images.
            real: images of each class, at most.
            clusters: int64 (real images in all,), see `Divided`; None deals them anew.
            joint: whether a class's synthetic images have all its real ones in common.
        """
        found = []
        for c, numbers in zip(drawn.classes, drawn.numbers, strict=True):
            indices, shares = self._of_class(c, numbers, real, clusters, rng.fork("real batch", c))
            if joint:
                shares = torch.full_like(shares, 1 / len(indices))
            images = self.task.forward_only(self.task.pool.images_at(indices))
            found.append([shares.to(images.device) @ layer for layer in self.layers(images)])
        return [torch.cat(layer) for layer in zip(*found, strict=True)]

    def _of_class(
        self, c: int, numbers: Tensor, real: int, clusters: Tensor | None, rng: Rng
    ) -> tuple[np.ndarray, Tensor]:
        """Indices (B,) of real images, and the shares (n, B) of each of them in the mean of each synthetic image."""
        pool = self.task.pool
        if clusters is None:
            indices = pool.sample_indices(c, real, rng)
            return indices, dealt(len(indices), len(numbers))
        members = pool.members(c)
        of_member = clusters[torch.from_numpy(members)].numpy()
        groups = []
        for k in numbers.tolist():
            own = members[of_member == k % (int(of_member.max()) + 1)]
            groups.append(rng.fork(k).numpy().permutation(own)[: max(1, real // len(numbers))])
        return np.concatenate(groups), torch.block_diag(
            *[torch.full((1, len(g)), 1 / len(g)) for g in groups]
        )


@dataclass(frozen=True)
class Divided:
    """Each class's real images in as many clusters as it has synthetic ones.

    Attributes:
        clusters: int64 (real images in all,), on the CPU. Numbers run from 0 in each class, without a gap; images of a
            class beyond a thousand, which are drawn at random, have -1.
        nearest: int64 (synthetic images in all,), class-major, on the CPU: the real image nearest to the mean of each
            one's cluster.
    """

    clusters: Tensor
    nearest: Tensor


@torch.no_grad()
def divided(task: Task, counts: Counts, network: nn.Module | None, rng: Rng) -> Divided:
    """Clusters, `counts` of each class, by k-means on the last features of `network`, or on pixels without one."""
    clusters, nearest = torch.full((len(task.pool.labels),), -1), []
    for c, count in enumerate(counts):
        indices = task.pool.sample_indices(c, _DIVIDED, rng.fork("divided", c))
        images = task.pool.images_at(indices)
        seen = layer_features(network.eval(), images, task.chunk)[-1] if network else images
        found = k_means(seen.flatten(1).cpu().numpy(), count, rng.fork("clusters", c))
        clusters[torch.from_numpy(indices)] = torch.from_numpy(found.of_image)
        best = indices[found.nearest]
        nearest.append(best[np.arange(count) % len(best)])
    return Divided(clusters, torch.from_numpy(np.concatenate(nearest)))
