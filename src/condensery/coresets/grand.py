"""GraNd: the norm of the gradient that an image would train a network with.

M. Paul, S. Ganguli, G. K. Dziugaite, "Deep learning on a data diet: finding important examples early in training",
NeurIPS 2021. S. Lee et al., "Dataset condensation with contrastive signals", ICML 2022, section 4.2, keep the
lowest scores as a baseline of condensation.

GraNd(x) is the mean over networks of | gradient of the loss of x over all weights |, exactly.

Differences from the papers:

1. Training is SGD at 0.01, momentum 0.9, weight decay 5e-4, batches of 256, no augmentation; each paper has its own.
2. Images are ranked class by class, as Lee et al. do; Paul et al. rank the whole training set.
3. Scores are taken after short trainings and the lowest are kept, as Lee et al. do; Paul et al. keep the highest.
4. Its GPU path is tested on a CPU alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from condensery.coresets.networks import check_weights, ready_network, training_work
from condensery.coresets.ranking import check_keep, ranked
from condensery.coresets.selector import SelectionTask
from condensery.errors import BadInput
from condensery.models.custom import trainable
from condensery.rng import Rng

_GRADIENT = (
    1.5  # work of the gradient of one image by itself, beside 1 for an image of a batch (see the docs)
)
_BATCH = 64


@dataclass(frozen=True)
class GraNd:
    """Keep the images whose own loss has the smallest gradient, averaged over networks early in training."""

    name: ClassVar[str] = "grand"
    summary: ClassVar[str] = "smallest gradient of the own loss (Paul et al., 2021)"
    nested: ClassVar[bool] = True

    weights: str = "trained"
    """networks "trained" on the whole training set, or with "random" weights"""
    epochs: int = 20
    """epochs that each network is trained for"""
    networks: int = 10
    """networks whose scores are averaged"""
    candidates: int = 0
    """random images of each class that are scored and can be kept; 0 for all"""
    keep: str = "easy"
    """keep the "easy" or the "hard" end of the scores"""

    def check(self, task: SelectionTask) -> list[str]:
        check_keep(self.keep)
        if 0 < self.candidates < max(task.counts):
            raise BadInput(
                f"--candidates {self.candidates} is less than --ipc {max(task.counts)}: ask for more, or 0 for all"
            )
        notes = [f"scores of {check_weights(task, self.weights, self.epochs, self.networks)}"]
        if self.candidates:
            notes.append(f"up to {self.candidates} random candidates of each class are scored")
        elif task.device.type == "cpu":
            notes.append("the gradient of every image is taken by itself: --candidates 500 would score fewer")
        return notes

    def work(self, task: SelectionTask, rng: Rng) -> float:
        scored = sum(min(self.candidates or count, count) for count in task.pool.counts)
        trained = [training_work(task, self.weights, self.epochs, rng.fork(k)) for k in range(self.networks)]
        return sum(trained) + self.networks * _GRADIENT * scored

    def select(self, task: SelectionTask, rng: Rng) -> list[np.ndarray]:
        count = self.candidates or max(task.pool.counts)
        drawn = [task.pool.sample_indices(c, count, rng.fork("candidates", c)) for c in task.classes]
        scored = np.sort(np.concatenate(drawn))
        total = np.full(len(task.pool.labels), np.nan)
        total[scored] = 0
        for k in range(self.networks):
            network = ready_network(task, self.weights, self.epochs, rng.fork(k)).eval()
            total[scored] += self._norms(task, network, scored)
        return ranked(task, total / self.networks, self.keep, rng)

    @staticmethod
    def _norms(task: SelectionTask, network: nn.Module, indices: np.ndarray) -> np.ndarray:
        images = task.images(indices)
        one_by_one = task.device.type == "cpu" or not task.network.any_layout  # a user's may not be mappable
        norms = []
        for part in torch.arange(len(images)).split(_BATCH):
            batch = images.batch(part)
            norms.append((gradient_norms if one_by_one else gradient_norms_at_once)(network, *batch))
            task.worked("scores", _GRADIENT * len(part))
        return torch.cat(norms).cpu().numpy()


def gradient_norms(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """| d cross entropy(network(x), y) / d all weights |_2 of each image: (n, C, H, W), (n,) -> (n,)

    Exact: one backward pass per image, which any network can take.
    """
    weights = trainable(network)
    norms = []
    for image, label in zip(images.split(1), labels.split(1), strict=True):
        gradients = torch.autograd.grad(F.cross_entropy(network(image), label), weights)
        norms.append(torch.stack([g.square().sum() for g in gradients]).sum().sqrt())
    return torch.stack(norms)


def gradient_norms_at_once(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The same for all images at once, which keeps a GPU busy; holds n gradients in memory."""
    weights = {name: p.detach() for name, p in network.named_parameters() if p.requires_grad}

    def loss(weights: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(network, weights, (image[None],)), label[None])

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))(weights, images, labels)
    return torch.stack([g.square().flatten(1).sum(1) for g in gradients.values()]).sum(0).sqrt()
