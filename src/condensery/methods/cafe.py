"""CAFE: aligned features. Class means of every layer's features are matched, and real images are told apart by them.

Kai Wang, Bo Zhao, Xiangyu Peng, Zheng Zhu, Shuo Yang, Shuo Wang, Guan Huang, Hakan Bilen, Xinchao Wang and Yang You,
"CAFE: Learning to Condense Dataset by Aligning Features", CVPR 2022, arXiv 2203.01531; constants that the paper leaves
out are those of the authors' code (kaiwang960112/CAFE, b718ff5).

Fields: the paper gives augmentation (`auto` is CAFE+DSA); ours are most_updates and most_epochs; the authors' code
gives all others.

Differences from the paper and from the authors' code:

1. Bounds. Neither loop of theirs has one, and either can run for ever. Ours stop at `most_updates` and `most_epochs`.
2. Accuracy window. Theirs adds each accuracy to a tenth of the last: the window holds a running sum.
3. Cross entropy of the network's own head on real images, which they add, has no gradient to the images: left out.
4. Steps are image updates here, not networks.
5. Any number of classes, size and depth. Their code is for ten classes and 32x32 colour images.
6. Evaluation is the common protocol; theirs trains 600 epochs without augmentation, 1,000 with.
7. Weights of layers. 0.1 for all blocks but the last, 1 for the last, 2 for the embedding: they count the last pooling
   and its flattened form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery.augment import SiameseAugmentation, resolve_strategy
from condensery.errors import BadInput
from condensery.matching.moments import Embedding
from condensery.method import State, Task
from condensery.models.custom import trainable
from condensery.optimizers import SGD
from condensery.rng import Rng
from condensery.training import TensorImages, accuracy, chunk_for, train_epoch

HALVED_AT = (1200, 1600, 1800)  # networks after which the learning rate of the images is halved
WINDOW = 10  # accuracies that are looked at
ACTIVATIONS = (nn.ReLU, nn.Sigmoid, nn.LeakyReLU, nn.SiLU)


@dataclass(frozen=True)
class CAFE:
    """Match class means of features layer by layer, for as long as a network's accuracy moves."""

    name: ClassVar[str] = "cafe"
    summary: ClassVar[str] = (
        "aligned features of all layers (Wang et al., 2022), with a schedule that follows accuracy"
    )

    iterations: int = 20_000
    """updates of the images: 2,000 networks with at least 10 each"""
    real_batch: int = 256
    """real images per class and step"""
    image_lr: float = 0.1
    """learning rate of the images; halved after 1,200, 1,600 and 1,800 networks"""
    image_momentum: float = 0.5
    """momentum of the images' SGD"""
    network_lr: float = 0.01
    """learning rate of the network's plain SGD"""
    train_batch: int = 256
    """synthetic images per step of network training"""
    shallow: float = 0.1
    """weight of the features of all blocks but the last, whose weight is 1"""
    discrimination: float = 0.01
    """weight of telling real images apart by the synthetic class means"""
    query_batch: int = 128
    """real images per class that a network's accuracy is measured on"""
    lambda_1: float = 0.04
    """a network is left when its last 10 accuracies after image updates differ by less"""
    lambda_2: float = 0.03
    """training stops when its last 10 accuracies after epochs differ by more"""
    most_updates: int = 50
    """image updates per network at most"""
    most_epochs: int = 50
    """epochs of training between two image updates at most"""
    augmentation: str = "none"
    """Siamese augmentation: groups joined by "_", "none", or "auto" (CAFE+DSA: all six; no flip for digits)"""
    init: str = "noise"
    """start from "noise", "real" images, those nearest to means of "clusters", or another set, by its file"""

    def steps(self, ipc: int) -> int:
        return self.iterations

    def check(self, task: Task) -> list[str]:
        notes = task.start_notes(self.init, 1)
        network = task.network.build(task.spec, Rng(0))
        if not task.network.has_embedding(task.spec) or not _activations(network):
            raise BadInput(
                f"cafe matches embeddings and {task.network.name} has none, or no layers called features: "
                "choose convnet, alexnet or vgg11"
            )
        strategy = self._augmentation(task).strategy or "none"
        return [
            *notes,
            f"features of {len(_activations(network))} layers and the embedding; Siamese augmentation {strategy}",
            f"a network gets at most {self.most_updates} image updates, each with at most {self.most_epochs} epochs",
        ]

    def start(self, task: Task, rng: Rng) -> State:
        synthetic = task.start_images(self.init, 1, rng.fork("images"))
        optimizer = SGD(synthetic.leaves().values(), self.image_lr, self.image_momentum)
        memory = {
            "accuracies": torch.full((WINDOW,), -1.0),
            "updates": torch.zeros(()),
            "networks": torch.zeros(()),
        }
        network = task.new_network(rng.fork("network"))
        trainable(network)
        return State(synthetic, {"synthetic": optimizer}, {"network": network}, memory)

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        for group in state.optimizers["synthetic"].param_groups:
            group["lr"] = self.image_lr * 0.5 ** sum(int(state.memory["networks"]) >= n for n in HALVED_AT)
        network, augmentation = state.network.train(), self._augmentation(task)
        pairs = [task.pair(state.synthetic, c, self.real_batch, augmentation, rng) for c in task.classes]
        real, synthetic = ([pair[k] for pair in pairs] for k in (0, 1))
        with torch.no_grad():
            known, embedded = class_means(network, real, chunk_for(network, task.chunk))
        learned, _ = class_means(network, synthetic, None)
        labels = torch.cat(
            [task.labels(c, len(images)) for c, images in zip(task.classes, real, strict=True)]
        )
        told_apart = F.cross_entropy(embedded @ learned[-1].T, labels, reduction="sum")
        # The last block counts before and after pooling, and the embedding, which is the latter, once more.
        weights = [self.shallow] * (len(known) - 2) + [1.0, 2.0]
        gaps = [w * (a - b).square().sum() for w, a, b in zip(weights, known, learned, strict=True)]
        yield torch.stack(gaps).sum() + self.discrimination * told_apart

    def advance(self, task: Task, state: State, rng: Rng) -> State:
        seen = pushed(state.memory["accuracies"], self._query(task, state.network, rng.fork("query")))
        updates = state.memory["updates"] + 1
        if spread(seen, below=self.lambda_1) or updates >= self.most_updates:
            memory = {"accuracies": torch.full((WINDOW,), -1.0), "updates": torch.zeros(())}
            memory["networks"] = state.memory["networks"] + 1
            return state.next(task.new_network(rng.fork("network")), memory)
        self._train(task, state, rng)
        return state.next(memory={"accuracies": seen, "updates": updates})

    def _train(self, task: Task, state: State, rng: Rng) -> None:
        """Train the network on the set until its accuracy has moved by more than `lambda_2`."""
        optimizer = SGD(trainable(state.network), self.network_lr)
        images = TensorImages(state.synthetic.images.detach(), state.synthetic.labels)
        augmentation, seen = self._augmentation(task), torch.full((WINDOW,), -1.0)
        for epoch in range(self.most_epochs):
            train_epoch(
                state.network,
                optimizer,
                images,
                self.train_batch,
                rng.fork("inner", epoch),
                augment=augmentation if augmentation.groups else None,
                chunk=task.chunk,
            )
            seen = pushed(seen, self._query(task, state.network, rng.fork("inner query", epoch)))
            if spread(seen, above=self.lambda_2):
                return

    def _query(self, task: Task, network: nn.Module, rng: Rng) -> float:
        """The accuracy on real images of all classes."""
        batches = ((task.pool.sample(c, self.query_batch, rng.fork(c)), c) for c in task.classes)
        return accuracy(network, ((images, task.labels(c, len(images))) for images, c in batches), task.chunk)

    def _augmentation(self, task: Task) -> SiameseAugmentation:
        return SiameseAugmentation(resolve_strategy(self.augmentation, task.spec.flip))


def pushed(accuracies: Tensor, newest: float) -> Tensor:
    """The last accuracies with one more; -1 stands where there is none yet."""
    return torch.cat([accuracies[1:], torch.tensor([newest])])


def spread(accuracies: Tensor, *, below: float = -1.0, above: float = 2.0) -> bool:
    """Whether a full window of accuracies differs by less than `below`, or by more than `above`."""
    gap = float(accuracies.max() - accuracies.min())
    return bool((accuracies >= 0).all()) and (gap < below or gap > above)


def class_means(network: nn.Module, classes: list[Tensor], chunk: int | None) -> tuple[list[Tensor], Tensor]:
    """Mean features of each class, layer by layer, and the embeddings of all images.

    Args:
        classes: images (n, C, H, W) of each class.
        chunk: images per pass of one class; None for one pass of all classes.

    Returns:
        For each activation of the network, and for its embedding, (classes, ...); and the embeddings (N, D).
    """
    if chunk is None:
        layers = _layers(network, torch.cat(classes))
        sizes = [len(images) for images in classes]
        means = [torch.stack([part.mean(0) for part in layer.split(sizes)]) for layer in layers]
        return means, layers[-1]
    of_class, embedded = [], []
    for images in classes:
        sums: list[Tensor] = []
        for part in images.split(chunk):
            layers = _layers(network, part)
            embedded.append(layers[-1])
            totals = [layer.sum(0) / len(images) for layer in layers]
            sums = [a + b for a, b in zip(sums, totals, strict=True)] if sums else totals
        of_class.append(sums)
    return [torch.stack(layer) for layer in zip(*of_class, strict=True)], torch.cat(embedded)


def _layers(network: nn.Module, images: Tensor) -> list[Tensor]:
    """Outputs of the activations, in order, and the embedding."""
    found: list[Tensor] = []

    def note(module: nn.Module, inputs: Any, output: Tensor) -> None:
        found.append(output)

    hooks = [layer.register_forward_hook(note) for layer in _activations(network)]
    try:
        embedded = cast(Embedding, network.embed)(images)
    finally:
        for hook in hooks:
            hook.remove()
    return [*found, embedded]


def _activations(network: nn.Module) -> list[nn.Module]:
    features = getattr(network, "features", None)
    return (
        [m for m in features.modules() if isinstance(m, ACTIVATIONS)]
        if isinstance(features, nn.Module)
        else []
    )
