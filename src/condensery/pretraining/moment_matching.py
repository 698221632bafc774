"""A generative moment matching network on the real images.

Yujia Li, Kevin Swersky and Richard Zemel, "Generative Moment Matching Networks", ICML 2015; thesis equation 2.6, whose
middle term lacks the factor of 2 that a squared distance of means has, and that is used here. Codes are uniform. What
they leave open: a sum of five Gaussian kernels whose widths go by the mean distance of the real images, and Adam with
rate 0.001.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery.optimizers import Adam
from condensery.rng import Rng

LR = 1e-3
WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the kernels, times the mean squared distance of real images


class MomentMatching:
    """A generator and its optimiser.

    Args:
        generator: makes images of codes (N, code_length) and what stands for classes (N, E).
        embeddings: what stands for the classes, (classes, E), on the device.
    """

    def __init__(self, generator: nn.Module, embeddings: Tensor, *, code_length: int) -> None:
        self.embeddings, self.code_length = embeddings, code_length
        self.networks: dict[str, nn.Module] = {"generator": generator.train()}
        self.optimizers: dict[str, torch.optim.Optimizer] = {"generator": Adam(generator.parameters(), LR)}

    def step(self, images: Tensor, labels: Tensor, rng: Rng) -> None:
        codes = uniform_codes(len(labels), self.code_length, rng.fork("codes")).to(images.device)
        made = self.networks["generator"](codes, self.embeddings[labels])
        loss = class_discrepancy(images.flatten(1), made.flatten(1), labels)
        self.optimizers["generator"].zero_grad()
        loss.backward()
        self.optimizers["generator"].step()


def uniform_codes(count: int, length: int, rng: Rng) -> Tensor:
    """Codes from -1 to 1, float32 (count, length), on the CPU."""
    return 2 * torch.rand(count, length, generator=rng.torch()) - 1


def class_discrepancy(real: Tensor, made: Tensor, labels: Tensor) -> Tensor:
    """Maximum mean discrepancy of the images of each class (eq. 2.6), the mean over classes.

    Args:
        real, made: (N, D), the i-th of both of class `labels[i]`.
    """
    squared = _squared_distances(real, real)
    scale = squared.mean().clamp(min=1e-6)
    shares = F.one_hot(labels.unique(return_inverse=True)[1]).to(real.dtype).T  # (classes, N)
    shares = shares / shares.sum(1, keepdim=True)

    def mean_kernel(distances: Tensor) -> Tensor:
        kernel = torch.stack([(-distances / (2 * width * scale)).exp() for width in WIDTHS]).sum(0)
        return ((shares @ kernel) * shares).sum(1)  # each class with itself

    across, within = _squared_distances(real, made), _squared_distances(made, made)
    return (mean_kernel(squared) - 2 * mean_kernel(across) + mean_kernel(within)).mean()


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(N, D) and (M, D) -> (N, M), with gradients that are finite at 0, which those of a root are not."""
    return (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T).clamp(min=0)
