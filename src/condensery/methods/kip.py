"""KIP: kernel inducing points. Kernel ridge regression on the set, with the kernel of infinitely wide networks.

Timothy Nguyen, Zhourong Chen and Jaehoon Lee, "Dataset Meta-Learning from Kernel Ridge-Regression", ICLR 2021, arXiv
2011.00050, algorithm 1; constants that the paper leaves out are those of the authors' notebook
(google-research/google-research, kip/KIP.ipynb).

The loss is |K_XS (K_SS + lambda tr(K_SS)/n I)^-1 Y - y|^2 / (2 B C), with the symbols of `condensery.methods.frepo`.

Fields: all are the notebook's; it has "1000+" iterations "for full convergence".

Differences from the paper and from the authors' code:

1. Kernels of fully connected networks only. For convolutional ones RFAD takes random features.
2. Whitening (ZCA): --whitening zca, set by the preset `paper` for CIFAR, as for the sets that they published; their
   notebook standardises alone. Ours takes the mean away before whitening.
3. Evaluation. Published figures are of kernel regression, our own recipe, or of wide networks with tuned rates.
4. Images alike. Where two images are parallel the angle has no derivative; its part of the gradient is zero.
5. Augmentation and label noise of the paper are not offered.
6. The first updates. Their notebook numbers them from 1 where JAX's Adam begins at 0: the first ones are shorter, the
   very first by a quarter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from condensery.errors import BadInput
from condensery.matching.infinite import KERNELS, fully_connected_kernel
from condensery.matching.kernels import IllConditioned, centred, ridge_solution
from condensery.method import State, Task
from condensery.optimizers import Adam
from condensery.rng import Rng
from condensery.text import count
from condensery.training_recipe import Regression

LABELS = ("fixed", "learned")


@dataclass(frozen=True)
class KIP:
    """Learn images on which kernel ridge regression predicts real images. No network is needed."""

    name: ClassVar[str] = "kip"
    summary: ClassVar[str] = (
        "kernel inducing points (Nguyen et al., 2021): regression with infinitely wide networks"
    )

    splits: ClassVar[str] = "terms"

    iterations: int = 1000
    """updates of the images"""
    kernel: str = "ntk"
    """of fully connected networks: "ntk" (trained by gradient descent) or "nngp" (random)"""
    depth: int = 1
    """their hidden layers"""
    real_batch: int = 5000
    """real images per step, as many of each class as can be"""
    image_lr: float = 0.04
    """learning rate of Adam for images and labels"""
    labels: str = "fixed"
    """"fixed": the classes, or "learned" with the images"""
    ridge: float = 1e-6
    """of the regression, as a share of the mean diagonal of the kernel"""
    init: str = "real"
    """start from "real" images, those nearest to means of "clusters", "noise", or another set, by its file"""

    def steps(self, ipc: int) -> int:
        return self.iterations

    def check(self, task: Task) -> list[str]:
        notes = task.start_notes(self.init, 1, learns_labels=self.labels == "learned")
        for name, choices in (("kernel", KERNELS), ("labels", LABELS)):
            if getattr(self, name) not in choices:
                raise BadInput(f"unknown {name} {getattr(self, name)!r}; choose one of {', '.join(choices)}")
        return [
            *notes,
            f"labels {self.labels}; {self.kernel} of fully connected networks with "
            f"{count(self.depth, 'hidden layer')}: {task.network.name} is for the evaluation alone",
        ]

    def start(self, task: Task, rng: Rng) -> State:
        synthetic = task.start_images(self.init, 1, rng.fork("images"))
        targets = None
        if self.labels == "learned":
            targets = centred(synthetic.labels, task.spec.num_classes).float()
            if task.start and task.start.targets is not None:
                targets = task.start.targets.to(task.device).clone()
            targets.requires_grad_()
        training = Regression(self.kernel, depth=self.depth, ridge=self.ridge)
        synthetic = replace(synthetic, targets=targets, training=training.to_json())
        return State(synthetic, {"synthetic": Adam(synthetic.leaves().values(), self.image_lr)}, {})

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        drawn, classes = task.even_batch(self.real_batch, rng)
        own, labels = task.team.share(drawn), task.team.share(classes)
        if not len(own):
            return
        real = own.flatten(1).double()
        images = state.synthetic.images.flatten(1).double()
        learned = state.synthetic.leaves().get("targets")
        targets = (
            centred(state.synthetic.labels, task.spec.num_classes) if learned is None else learned.double()
        )
        within = fully_connected_kernel(images, images, self.kernel, self.depth)
        try:
            solution = ridge_solution(within, targets, self.ridge)
        except IllConditioned as error:
            raise IllConditioned(
                f"step {state.step}: {error}; use more than --ridge {self.ridge:g} or less than --image-lr "
                f"{self.image_lr:g}"
            ) from error
        predicted = fully_connected_kernel(real, images, self.kernel, self.depth) @ solution
        loss = 0.5 * (predicted - centred(labels, task.spec.num_classes)).square().mean()
        yield loss * (len(own) / len(drawn))

    def advance(self, task: Task, state: State, rng: Rng) -> State:
        return state.next()
