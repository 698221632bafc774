"""KIP: kernel inducing points. Kernel ridge regression on the set, with the kernel of infinitely wide networks.

Timothy Nguyen, Zhourong Chen and Jaehoon Lee, "Dataset Meta-Learning from Kernel Ridge-Regression", ICLR 2021, arXiv
2011.00050, algorithm 1; constants that the paper leaves out are those of the authors' notebook
(google-research/google-research, kip/KIP.ipynb).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from condensery.data import batches
from condensery.errors import BadInput
from condensery.matching.infinite import KERNELS, fully_connected_kernel
from condensery.matching.kernels import IllConditioned, ridge_solution
from condensery.method import State, Task
from condensery.records import ImageData, SyntheticSet
from condensery.rng import Rng
from condensery.text import count
from condensery.training_recipe import Recipe

LABELS = ("fixed", "learned")
_PASS = 1000  # test images at a time


@dataclass(frozen=True)
class KIP:
    """Learn images on which kernel ridge regression predicts real images. No network is needed."""

    name: ClassVar[str] = "kip"
    summary: ClassVar[str] = (
        "kernel inducing points (Nguyen et al., 2021): regression with infinitely wide networks"
    )

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
    """start from "real" images, from "noise", or from the images of another set, by its file"""

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
            targets = _centred(synthetic.labels, task.spec.num_classes).float()
            if task.start and task.start.targets is not None:
                targets = task.start.targets.to(task.device).clone()
            targets.requires_grad_()
        synthetic = replace(synthetic, targets=targets, training=own_training(len(synthetic.labels)))
        return State(
            synthetic, {"synthetic": torch.optim.Adam(synthetic.leaves().values(), self.image_lr)}, {}
        )

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        real, labels = task.even_batch(self.real_batch, rng)
        real = real.flatten(1).double()
        images = state.synthetic.images.flatten(1).double()
        learned = state.synthetic.leaves().get("targets")
        targets = (
            _centred(state.synthetic.labels, task.spec.num_classes) if learned is None else learned.double()
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
        yield 0.5 * (predicted - _centred(labels, task.spec.num_classes)).square().mean()

    def advance(self, task: Task, state: State, rng: Rng) -> State:
        return state.next()


def kernel_accuracy(synthetic: SyntheticSet, data: ImageData, method: KIP | None = None) -> float:
    """Share of the test images that regression on the set with the kernel itself classifies correctly.

    The figure of the paper; no network is trained, and nothing is drawn.

    Args:
        synthetic: a set, with learned labels or its classes.
        data: real images, normalised as the set is.
        method: kernel, depth and ridge; None takes those in the set's record, or else the defaults.

    Raises:
        BadInput: the images are normalised otherwise, or have another size.
        IllConditioned: the kernel of the set cannot be solved.
    """
    if synthetic.spec.shape != data.spec.shape or not synthetic.spec.normalises_as(data.spec):
        raise BadInput("the kernel's accuracy needs test images of the set's size, normalised as the set is")
    if method is None:
        made_by_kip = synthetic.record.get("method") == KIP.name
        method = KIP(**synthetic.record["fields"]) if made_by_kip else KIP()
    images = synthetic.images.flatten(1).double()
    learned = isinstance(synthetic.targets, Tensor)
    targets = synthetic.targets if learned else _centred(synthetic.labels, synthetic.spec.num_classes)
    within = fully_connected_kernel(images, images, method.kernel, method.depth)
    solution = ridge_solution(within, cast(Tensor, targets).double(), method.ridge)
    correct = 0
    for test, labels in batches(data.test, data.spec, images.device, _PASS):
        known = fully_connected_kernel(test.flatten(1).double(), images, method.kernel, method.depth)
        correct += int(((known @ solution).argmax(1) == labels).sum())
    return correct / len(data.test)


def _centred(classes: Tensor, num_classes: int) -> Tensor:
    """float64 (n, num_classes): 1 - 1 / num_classes at the class, -1 / num_classes elsewhere."""
    return F.one_hot(classes, num_classes).double() - 1 / num_classes


def own_training(images: int) -> dict[str, Any]:
    """For finite networks: squared errors, as the regression has. The rest is ours, see docs/methods/kip.md."""
    return Recipe(
        epochs=1000,
        lr=1e-3,
        weight_decay=0.0,
        batch_size=min(500, images),
        loss="mse",
        optimizer="adam",
        schedule="cosine",
    ).to_json()
