"""Inversion of a generator: codes and weights whose images are given real ones.

Gradient descent on the squared distance, as Zhao and Bilen, "Synthesizing Informative Training Samples with GAN" (arXiv
2204.07513) find the first codes of a fixed generator.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery.optimizers import Adam
from condensery.rng import Rng
from condensery.synthetic import Generated


class Inversion:
    """The inversion under way; see `GenerativeModel`.

    Args:
        synthetic: as it begins. Its leaves are learned in place.
        targets: gives real images (M, C, H, W), one for each of its images; asked once, before the first update.
        code_lr, generator_lr: learning rates of Adam at first; they fall to 0 in a straight line.
        steps: of the whole inversion.
    """

    def __init__(
        self,
        synthetic: Generated,
        targets: Callable[[], Tensor],
        *,
        code_lr: float,
        generator_lr: float,
        steps: int,
    ) -> None:
        self.synthetic, self.steps = synthetic, steps
        self._targets = cache(targets)
        learned = _Leaves(synthetic.leaves())
        groups = [
            {"params": [leaf], "lr": rate, "initial_lr": rate}
            for name, leaf in synthetic.leaves().items()
            for rate in [code_lr if name == "codes" else generator_lr]
        ]
        self.networks: dict[str, nn.Module] = {"learned": learned}
        self.optimizers: dict[str, torch.optim.Optimizer] = {"learned": Adam(groups)}
        self._done = learned.done

    def step(self, images: Tensor, labels: Tensor, rng: Rng) -> None:
        """One update, for which neither `images` nor `labels` nor `rng` are needed."""
        optimizer = self.optimizers["learned"]
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * (1 - int(self._done) / self.steps)
        loss = F.mse_loss(self.synthetic.images, self._targets())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        self._done += 1


class _Leaves(nn.Module):
    """Tensors that are learned, and how many updates were made."""

    done: Tensor

    def __init__(self, leaves: dict[str, Tensor]) -> None:
        super().__init__()
        self.register_buffer("done", torch.tensor(0))
        for name, leaf in leaves.items():
            parameter = nn.Parameter(leaf.detach())
            self.register_parameter(name.replace(".", "_"), parameter)
