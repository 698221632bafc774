"""What makes better use of a minute of DM: settings and ideas, each tried on held-out training images alone.

    python benchmarks/fast_settings.py --data cifar10 --results results/fast_settings.jsonl

Every try changes one thing of `condense run --method dm --preset fast --factor 2`. Training images, 5,000 or a fifth of
them, take the place of the test images. The network that matches and judges is narrow, so that a try takes a minute.
What is there already in --results is not made again. A setting that wins here is tried at full width before it becomes
the preset. With --views N a teacher labels N views of each image, and the set is judged by the recipe of its labels.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from rows import measure
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor, nn
from view_settings import without_test

import condensery
from condensery import ImageData, LabelSettings, Rng, TeacherSettings, ViewSampling
from condensery.augment import SiameseAugmentation, augment_pair, resolve_strategy
from condensery.matching.moments import segment_means, squared_gap
from condensery.memory import keep_freed_memory
from condensery.method import State, Task
from condensery.models.convnet import ConvNet
from condensery.models.registry import resolve
from condensery.provenance import environment
from condensery.teaching import get_teacher, label_images, teacher_network
from condensery.training import train_step
from condensery.views import Views

TRIED: dict[str, dict[str, Any]] = {
    "four tiles for the bytes of an image": {},
    "no tiles": {"factor": 1},
    "16 tiles": {"factor": 4},
    "twice the updates": {"steps": 600},
    "64 tiles": {"factor": 8},
    "half of the real images": {"real_batch": 32},
    "twice the real images": {"real_batch": 128},
    "one real image of each of 64 clusters": {"clusters": True},
    "half of the width in the first half": {"narrow_first": True},
    "learning rate falls to 0 in half a wave": {"cosine": True},
    "mean of the last third of the updates": {"averaged": True},
    "all blocks are matched": {"all_blocks": True},
    "networks trained for 400 updates": {"trained": 6},
    "trained networks that classify the images too": {"trained": 6, "cross_entropy": 1.0},
    "random and trained networks in equal parts": {"trained": 6, "untrained": 0.5},
    "matched in views": {"views": True},
    "matched in views that a teacher classifies": {"views": True, "taught": 10.0},
    "matched as ever and classified by a teacher": {"taught": 10.0},
    "16 tiles classified by a teacher": {"factor": 4, "taught": 10.0},
    "16 tiles classified by a teacher a third as much": {"factor": 4, "taught": 3.0},
    "16 tiles classified by a teacher thrice as much": {"factor": 4, "taught": 30.0},
    "16 tiles classified by a teacher of 3 epochs": {"factor": 4, "taught": 10.0, "teacher_epochs": 3},
    "16 tiles classified by a teacher of 1 epoch": {"factor": 4, "taught": 10.0, "teacher_epochs": 1},
}
"""What each try changes."""


@dataclass(frozen=True)
class Tried:
    """DM with one more idea. Fields as in `condensery.methods.dm.DM`, and the ideas, all of them off."""

    name: ClassVar[str] = "tried"
    summary: ClassVar[str] = "DM with one more idea"
    scheduled: ClassVar[bool] = True

    iterations: int = 300
    real_batch: int = 64
    image_lr: float = 1.0
    factor: int = 2
    clusters: bool = False
    """real images are one of each cluster of a class, as in DREAM (Liu et al., ICCV 2023), of pixels"""
    narrow_first: bool = False
    """networks of half the width in the first half of the updates"""
    cosine: bool = False
    averaged: bool = False
    all_blocks: bool = False
    """the class means after each block are matched, not after the last alone"""
    trained: int = 0
    """networks trained for 400 updates on 64 real images each, one of which is drawn at each step, as in IDM (Zhao et
    al., CVPR 2023); 0 for random ones"""
    untrained: float = 0.0
    """share of steps with a random network all the same"""
    cross_entropy: float = 0.0
    """weight of the synthetic images' loss in a trained network (IDM, equation 7)"""
    views: bool = False
    """real and synthetic images are matched in views of the labelled kind: crops, patches of other images"""
    taught: float = 0.0
    """weight of a teacher's cross entropy on views of the synthetic images"""
    teacher_epochs: int | None = None
    """that it is trained for; None for as many as by default"""

    def steps(self, ipc: int) -> int:
        return self.iterations

    def check(self, task: Task) -> list[str]:
        return []

    def start(self, task: Task, rng: Rng) -> State:
        synthetic = task.start_images("real", self.factor, rng.fork("images"))
        optimizer = torch.optim.SGD(synthetic.leaves().values(), self.image_lr, momentum=0.5)
        prepared = Prepared(task, self, rng.fork("prepared"))
        memory = {f"mean.{name}": torch.zeros_like(leaf) for name, leaf in synthetic.leaves().items()}
        return replace(
            State.of(synthetic, optimizer, task.new_network(rng.fork("network")), prepared), memory=memory
        )

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        network, is_trained = self._network(task, state, rng.fork("network", state.step))
        if self.taught:
            ours = view_of(state.synthetic.images, task, 0.0, rng.fork("taught"))
            yield self.taught * F.cross_entropy(state.prepared.teacher(ours), state.synthetic.labels)
        if self.views:
            yield self._gap_of_views(network, task, state, rng)
            return
        augmentation = SiameseAugmentation(resolve_strategy("auto", task.spec.flip))
        for c in task.classes:
            drawn = rng.fork("real batch", c)
            real = (
                state.prepared.of_each_cluster(c, drawn)
                if self.clusters
                else task.pool.sample(c, self.real_batch, drawn)
            )
            real, ours = augment_pair(
                augmentation, real, state.synthetic.of_class(c), rng.fork("augmentation", c), "siamese"
            )
            with torch.no_grad():
                targets = self._means(network, real)[0]
            means, embedded = self._means(network, ours)
            gap = torch.stack([squared_gap(t, m) for t, m in zip(targets, means, strict=True)]).sum()
            if is_trained and self.cross_entropy:
                gap = gap + self.cross_entropy * F.cross_entropy(
                    network.head(embedded), task.labels(c, len(ours))
                )
            yield gap

    def advance(self, task: Task, state: State, rng: Rng) -> State:
        total = task.steps or self.iterations
        done, leaves = state.step + 1, state.synthetic.leaves()
        if self.cosine:
            for group in state.optimizers["synthetic"].param_groups:
                group["lr"] = self.image_lr * (1 + math.cos(math.pi * done / total)) / 2
        memory = dict(state.memory)
        first = total - total // 3
        if self.averaged and done > first:
            for name, leaf in leaves.items():
                memory[f"mean.{name}"] = memory[f"mean.{name}"] + leaf.detach() / (total - first)
                if done == total:
                    with torch.no_grad():
                        leaf.copy_(memory[f"mean.{name}"])
        return state.next(memory=memory)

    def _gap_of_views(self, network: ConvNet, task: Task, state: State, rng: Rng) -> Tensor:
        """The gap of the class means, each class in views with patches of images of all."""
        real = [task.pool.sample(c, self.real_batch, rng.fork("real batch", c)) for c in task.classes]
        batches = view_of(torch.cat(real), task, 1.0, rng.fork("real")), [len(images) for images in real]
        each = [len(state.synthetic.labels) // len(task.classes)] * len(task.classes)
        ours = view_of(state.synthetic.images, task, 1.0, rng.fork("ours")), each
        with torch.no_grad():
            target = segment_means(network.embed(batches[0]), batches[1])
        return squared_gap(target, segment_means(network.embed(ours[0]), ours[1]))

    def _network(self, task: Task, state: State, rng: Rng) -> tuple[ConvNet, bool]:
        """That of this step, and whether it is a trained one."""
        states: list[dict[str, Tensor]] = state.prepared.states if self.trained else []
        if self.narrow_first and state.step < (task.steps or self.iterations) / 2:
            width = int(dict(task.network.options).get("width", 128))
            narrow = resolve(f"convnet+width={width // 2}")
            return cast(ConvNet, narrow.build(task.spec, rng).train().requires_grad_(False)), False
        network = cast(ConvNet, task.new_network(rng).requires_grad_(False))
        draws = rng.fork("which").numpy()
        if states and draws.random() >= self.untrained:
            network.load_state_dict(states[draws.integers(len(states))])
            return network, True
        return network, False

    def _means(self, network: ConvNet, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Class means that are matched, each (D,), and embeddings (N, D)."""
        blocks: list[Tensor] = []
        for layer in cast(nn.Sequential, network.features):
            images = layer(images)
            if "Pool" in type(layer).__name__:
                blocks.append(images.flatten(1).mean(0))
        return (blocks if self.all_blocks else blocks[-1:]), images.flatten(1)


def view_of(images: Tensor, task: Task, patches: float, rng: Rng) -> Tensor:
    """A random view of each image, of the kind that `condense label` draws; differentiable in `images`."""
    drawn = ViewSampling(1, smallest=0.5, patches=patches).draw(len(images), task.spec.flip, rng)
    blank = torch.zeros(len(images), 1, len(task.classes), dtype=torch.uint8)
    views = Views(**drawn, levels=blank, step=1.0, temperature=1.0, num_classes=len(task.classes))
    return views.of(images, torch.arange(len(images)), 0)


class Prepared:
    """What a try needs before its first step, made when it is asked for."""

    def __init__(self, task: Task, tried: Tried, rng: Rng) -> None:
        self.task, self.tried, self.rng = task, tried, rng

    @cached_property
    def states(self) -> list[dict[str, Tensor]]:
        """Weights of the trained networks."""
        return [self._trained(self.rng.fork("network", i)) for i in range(self.tried.trained)]

    @cached_property
    def clusters(self) -> list[list[np.ndarray]]:
        """Positions of the real images of each cluster, by class."""
        found = []
        for c in self.task.classes:
            members = self.task.pool.members(c)
            pixels = self.task.pool.images_at(members).flatten(1).numpy()
            kmeans = MiniBatchKMeans(self.tried.real_batch, random_state=0).fit(pixels)
            found.append([members[kmeans.labels_ == k] for k in range(self.tried.real_batch)])
        return found

    @cached_property
    def teacher(self) -> nn.Module:
        """The default teacher, but for its epochs."""
        settings = TeacherSettings(epochs=self.tried.teacher_epochs)
        return teacher_network(self.task.pool, settings, self.task.device).requires_grad_(False)

    def of_each_cluster(self, c: int, rng: Rng) -> Tensor:
        draws = rng.numpy()
        chosen = [draws.choice(cluster) for cluster in self.clusters[c] if len(cluster)]
        return self.task.pool.images_at(np.array(chosen))

    def _trained(self, rng: Rng) -> dict[str, Tensor]:
        network = self.task.new_network(rng)
        optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)
        for update in range(400):
            batch = self.task.real_batch(64, rng.fork(update))
            train_step(network, optimizer, *batch, self.task.chunk)
        return network.state_dict()


def tried(data: ImageData, key: dict[str, Any]) -> dict[str, Any]:
    """The row of a try."""
    name = key["tried"]
    changes = dict(TRIED[name])
    steps, network = changes.pop("steps", 300), key["network"]
    accuracies, seconds = [], []
    for seed in range(key["seeds"]):
        began = time.process_time()
        made = condensery.condense(
            data, Tried(**changes), ipc=key["ipc"], network=network, steps=steps, seed=seed
        )
        seconds.append(time.process_time() - began)
        how: dict[str, Any] = {"protocol": "quick"}
        if views := key.get("views"):
            teacher = get_teacher(data, TeacherSettings(), torch.device("cpu"))
            made = label_images(
                made,
                teacher,
                LabelSettings(ViewSampling(views, smallest=0.5), augmentation="none", seed=seed),
            )
            how["recipe"] = "own"
        judged = condensery.evaluate(made, data, **how, repeats=1, baselines=(), networks=[network])
        accuracies.append(judged.scores[0].mean)
    print(
        f"{name:40} {100 * np.mean(accuracies):.1f} ± {100 * np.std(accuracies):.1f} (n = {len(accuracies)}), "
        f"{np.mean(seconds):.0f} s",
        flush=True,
    )
    return {"key": key, "accuracies": accuracies, "cpu_seconds": seconds, **environment(torch.device("cpu"))}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--size", type=int, help="side of the images in pixels")
    parser.add_argument("--ipc", type=int, default=1)
    parser.add_argument("--network", default="convnet+width=32")
    parser.add_argument("--views", type=int, default=0, help="labelled views of each image; 0: classes")
    parser.add_argument("--seeds", type=int, default=3, help="sets, each judged by one network")
    parser.add_argument("--tried", default=",".join(TRIED), help="names, joined by commas")
    parser.add_argument("--results", type=Path, default=Path("results/fast_settings.jsonl"))
    asked = parser.parse_args()
    keep_freed_memory()
    data = without_test(condensery.load_images(asked.data, size=asked.size))
    same = {"data": Path(asked.data).name, "size": asked.size, "ipc": asked.ipc, "network": asked.network}
    if asked.views:
        same["views"] = asked.views
    for name in asked.tried.split(","):
        key = {**same, "seeds": asked.seeds, "tried": name}
        measure(asked.results, key, partial(tried, data))


if __name__ == "__main__":
    main()
