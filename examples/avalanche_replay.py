"""A condensed memory beside a reservoir in Avalanche's class-incremental benchmark, on any images.

pip install 'condensery[avalanche]'
python examples/avalanche_replay.py --data mnist --experiences 5 --memory 100 --methods random,dm --seeds 0,1,2
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from avalanche.benchmarks import class_incremental_benchmark
from avalanche.benchmarks.utils import TransformGroups, as_classification_dataset
from avalanche.training.plugins import ReplayPlugin
from avalanche.training.storage_policy import ExemplarsBuffer, ReservoirSamplingBuffer
from avalanche.training.supervised import Naive
from torch import Tensor
from torch.utils.data import Dataset

import condensery
from condensery import ImageData, LabeledImages, Rng
from condensery.apps.avalanche_memory import CondensedBuffer
from condensery.methods import METHODS
from condensery.models.registry import resolve


class Images(Dataset):
    """Images (C, H, W) in [0, 1] with classes as numbers, which is what Avalanche wants."""

    def __init__(self, images: LabeledImages) -> None:
        self.images, self.targets = images, images.labels.tolist()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = torch.tensor(self.images.pixels[index]).permute(2, 0, 1)
        return pixels.float() / 255, self.targets[index]


def shifted(image: Tensor) -> Tensor:
    """The training augmentation of this example: a shift by up to two pixels."""
    by = torch.randint(-2, 3, (2,)).tolist()
    return torch.roll(image, by, dims=(1, 2))


def benchmark(data: ImageData, experiences: int, seed: int):
    """Classes in steps; training images are shifted, all are normalised."""

    def normalised(image: Tensor) -> Tensor:
        return data.spec.normalise(255 * image[None])[0]

    groups = TransformGroups({"train": (lambda x: normalised(shifted(x)), None), "eval": (normalised, None)})
    parts = {
        name: as_classification_dataset(Images(part), groups)
        for name, part in (("train", data.train), ("test", data.test))
    }
    return class_incremental_benchmark(parts, num_experiences=experiences, seed=seed)


def learned(data: ImageData, memory: ExemplarsBuffer, seed: int, asked: argparse.Namespace) -> float:
    """Accuracy on all classes after the last experience."""
    with Rng(seed).fork("avalanche").seeded():
        stream = benchmark(data, asked.experiences, seed)
        network = resolve(asked.network).build(data.spec, Rng(seed))
        strategy = Naive(
            model=network,
            optimizer=torch.optim.SGD(network.parameters(), lr=asked.lr, momentum=0.9),
            train_mb_size=asked.batch,
            train_epochs=asked.epochs,
            eval_mb_size=256,
            plugins=[ReplayPlugin(mem_size=memory.max_size, storage_policy=memory)],
            evaluator=None,
        )
        for experience in stream.train_stream:
            strategy.train(experience)
        network.eval()
        correct = total = 0
        for experience in stream.test_stream:
            for images, labels, *_ in torch.utils.data.DataLoader(experience.dataset.eval(), 256):
                correct += int((network(images).argmax(1) == labels).sum())
                total += len(labels)
    return correct / total


def memories(data: ImageData, seed: int, asked: argparse.Namespace) -> dict[str, ExemplarsBuffer]:
    """A reservoir, and one of each method."""
    found: dict[str, ExemplarsBuffer] = {"reservoir": ReservoirSamplingBuffer(asked.memory)}
    for method in asked.methods.split(","):
        found[method] = CondensedBuffer(
            asked.memory,
            num_classes=data.spec.num_classes,
            mean=data.spec.mean,
            std=data.spec.std,
            method=method,
            seed=seed,
            network=asked.network,
            augment=shifted,
            flip=data.spec.flip,
            **({"steps": asked.steps} if method in METHODS else {}),
        )
    return found


def main(words: Sequence[str] | None = None) -> dict[str, list[float]]:
    """Prints and returns the accuracies of each memory."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="digits", help="a source of images")
    parser.add_argument("--size", type=int, default=None)
    parser.add_argument("--experiences", type=int, default=5)
    parser.add_argument("--memory", type=int, default=100, help="images in each memory")
    parser.add_argument("--methods", default="dm", help="methods and selectors, beside the reservoir")
    parser.add_argument("--steps", type=int, default=300, help="updates of each condensed set")
    parser.add_argument("--network", default="convnet+width=32")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--seeds", default="0", help="an order of the classes, and all else, for each")
    asked = parser.parse_args(words)
    data = condensery.load_images(asked.data, size=asked.size)
    found: dict[str, list[float]] = {}
    for seed in map(int, asked.seeds.split(",")):
        for name, memory in memories(data, seed, asked).items():
            found.setdefault(name, []).append(learned(data, memory, seed, asked))
            print(f"seed {seed}, {name}: {100 * found[name][-1]:.1f} %", flush=True)
    for name, values in found.items():
        mean, spread = 100 * np.mean(values), 100 * np.std(values)
        print(f"{name}: {mean:.1f} ± {spread:.1f} %, {asked.memory} images, {len(values)} seeds")
    return found


if __name__ == "__main__":
    main()
