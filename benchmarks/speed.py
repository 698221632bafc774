"""How fast condensery is beside a plain transcription of the papers, alternated in one process.

    python benchmarks/speed.py --data random --repeats 5
    python benchmarks/speed.py --data cifar10 --repeats 15 --json speed.jsonl

Whole steps at 10 images per class, 10 classes of 32x32 colour images, 256 real images per class, the default
128-wide ConvNet; a matching step is timed without the network training that follows it, which is a row of its
own. Both sides draw the same batches and transforms, and drawing is part of the step.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
import transcription
from draws import draw_batches
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from condensery import (
    ImageData,
    ImageSpec,
    LabeledImages,
    Method,
    Rng,
    State,
    Task,
    driver,
    get_method,
    load_images,
)
from condensery.augment import SiameseAugmentation, default_strategy
from condensery.budgets import uniform
from condensery.data import ClassPool
from condensery.models.registry import resolve
from condensery.provenance import environment
from condensery.training import accuracy, default_chunk, forward_layout, train_step

CPU = torch.device("cpu")
IPC = 10
RNG = Rng(0)
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Contest:
    """Two ways to do the same work; each call is given the number of the round."""

    name: str
    required: float
    ours: Callable[[int], None]
    plain: Callable[[int], None]


def random_data() -> ImageData:
    """Noise in the shape of a tenth of CIFAR-10."""
    pixels = RNG.numpy().integers(0, 256, (5000, 32, 32, 3), dtype=np.uint8)
    images = LabeledImages(pixels, np.arange(5000) % 10)
    spec = ImageSpec(3, 32, 32, tuple("0123456789"), (0.5,) * 3, (0.25,) * 3)
    return ImageData(spec, images, images, "random", "random")


def make_task(data: ImageData) -> Task:
    pool, counts = ClassPool(data.train, data.spec, CPU), uniform(IPC, data.spec.num_classes)
    return Task(pool, resolve("convnet"), counts, CPU, default_chunk(CPU))


def plain_network(task: Task) -> nn.Module:
    return transcription.PlainConvNet(task.spec.channels, task.spec.height, task.spec.num_classes)


def start(method: Method, task: Task) -> tuple[State, Tensor, torch.optim.Optimizer]:
    """The same images twice: in a state of condensery, and as a leaf with its optimiser."""
    state = driver.begin(method, task, RNG)
    images = state.synthetic.images.detach().clone().requires_grad_()
    return state, images, torch.optim.SGD([images], method.image_lr, method.image_momentum)  # type: ignore[attr-defined]


def dm_contest(task: Task) -> Contest:
    method = get_method("dm")
    state, images, optimizer = start(method, task)

    def ours(k: int) -> None:
        driver.advance(method, task, replace(state, step=k, network=task.new_network(RNG.fork(k))), RNG)

    def plain(k: int) -> None:
        draw = draw_batches(method, task, RNG.fork("step", k), None)  # type: ignore[arg-type]
        transcription.dm_step(plain_network(task), images, optimizer, draw)

    return Contest(f"DM step, ipc {IPC}", 2.0, ours, plain)


def matching_contest(task: Task, name: str) -> Contest:
    """One update of the images with a given network; the last of its outer loop, so no training follows."""
    method = get_method(name, outer_loop=1)
    state, images, optimizer = start(method, task)

    def ours(k: int) -> None:
        driver.advance(method, task, replace(state, step=k), RNG)

    def plain(k: int) -> None:
        draw = draw_batches(method, task, RNG.fork("step", k), None)  # type: ignore[arg-type]
        transcription.matching_step(plain_network(task), images, optimizer, draw)

    return Contest(f"{name.upper()} matching step, ipc {IPC}", 1.5, ours, plain)


def training_contest(task: Task) -> Contest:
    """One step of plain SGD on the whole synthetic set."""
    images, labels = synthetic(task)
    network, other = task.new_network(RNG), plain_network(task)
    optimizers = [torch.optim.SGD(n.parameters(), 0.01) for n in (network, other)]
    return Contest(
        f"inner training step, {len(labels)} images",
        1.3,
        lambda k: train_step(network, optimizers[0], images, labels, task.chunk),
        lambda k: transcription.training_step(other, optimizers[1], images, labels),
    )


def evaluation_contest(task: Task) -> Contest:
    """One step of the evaluation recipe: momentum, weight decay, a transform per image."""
    images, labels = synthetic(task)
    network, other = task.new_network(RNG), plain_network(task)
    settings = {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}
    optimizers = [torch.optim.SGD(n.parameters(), **settings) for n in (network, other)]
    augmentation = SiameseAugmentation(default_strategy(flip=True))

    def ours(k: int) -> None:
        parameters = augmentation.sample(RNG.fork(k), task.spec.shape[1:], len(images))
        train_step(network, optimizers[0], augmentation.apply(images, parameters), labels, task.chunk)

    def plain(k: int) -> None:
        p = augmentation.sample(RNG.fork(k), task.spec.shape[1:], len(images))
        transformed = transcription.apply(images, (p.group, p.values))
        transcription.training_step(other, optimizers[1], transformed, labels)

    return Contest(f"evaluation training step, {len(labels)} images", 1.3, ours, plain)


def testing_contest(task: Task) -> Contest:
    """Accuracy on 256 images."""
    images, labels = task.pool.sample(0, 256, RNG), torch.zeros(256, dtype=torch.long)
    network, other = task.new_network(RNG), plain_network(task)
    return Contest(
        "evaluation test step, 256 images",
        1.3,
        lambda k: _ignore(accuracy(network, [(forward_layout(images), labels)], task.chunk)),
        lambda k: _ignore(transcription.count_correct(other, images, labels)),
    )


def synthetic(task: Task) -> tuple[Tensor, Tensor]:
    classes = task.classes
    images = torch.cat([task.pool.sample(c, IPC, RNG.fork(c)) for c in classes])
    return images, torch.arange(len(classes)).repeat_interleave(IPC)


def _ignore(value: object) -> None:
    pass


def contests(task: Task) -> Iterator[Contest]:
    yield dm_contest(task)
    yield matching_contest(task, "dc")
    yield matching_contest(task, "dsa")
    yield training_contest(task)
    yield evaluation_contest(task)
    yield testing_contest(task)


def seconds(call: Callable[[int], None], k: int, clock: Callable[[], float]) -> float:
    started = clock()
    call(k)
    return clock() - started


def measure(contest: Contest, repeats: int, clock: Callable[[], float]) -> dict[str, object]:
    """One round to warm up, then `repeats` rounds in which the two take turns at going first."""
    times: dict[str, list[float]] = {"ours": [], "plain": []}
    for k in range(repeats + 1):
        for side in ("ours", "plain") if k % 2 else ("plain", "ours"):
            taken = seconds(getattr(contest, side), k, clock)
            if k:
                times[side].append(taken)
    medians = {side: statistics.median(values) for side, values in times.items()}
    ratio = medians["plain"] / medians["ours"]
    return {
        "name": contest.name,
        "required": contest.required,
        "ratio": ratio,
        "medians": medians,
        "times": times,
    }


def milliseconds(times: list[float]) -> str:
    return f"{1000 * statistics.median(times):,.0f} ({1000 * min(times):,.0f} to {1000 * max(times):,.0f})"


def table(rows: list[dict], facts: dict) -> Table:
    made = Table(title=f"{facts['hardware']}, torch {facts['versions']['torch']}", title_justify="left")
    for column in ("", "condensery, ms", "transcription, ms", "times faster", "required"):
        made.add_column(column, justify="left" if not column else "right")
    for row in rows:
        enough = "green" if row["ratio"] >= row["required"] else "red"
        made.add_row(
            row["name"],
            milliseconds(row["times"]["ours"]),
            milliseconds(row["times"]["plain"]),
            f"[{enough}]{row['ratio']:.2f}[/]",
            f"{row['required']:.1f}",
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="random", choices=("random", "cifar10"))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, help="of torch; its own choice if left out")
    parser.add_argument("--clock", default="wall", choices=tuple(CLOCKS), help="cpu: on a busy machine")
    parser.add_argument("--only", default="", help="run contests whose name contains this")
    parser.add_argument("--json", help="append one line per contest to this file")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    data = random_data() if options.data == "random" else load_images("cifar10")
    facts = environment(CPU)
    chosen = [c for c in contests(make_task(data)) if options.only.lower() in c.name.lower()]
    rows = []
    for contest in chosen:
        rows.append(measure(contest, options.repeats, CLOCKS[options.clock]))
        print(f"{contest.name}: {rows[-1]['ratio']:.2f}", file=sys.stderr, flush=True)
    Console(width=110).print(table(rows, facts))
    print(
        f"Medians of whole steps in {options.clock} time (smallest to largest), both sides alternated in one process."
    )
    if options.json:
        with open(options.json, "a", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps({"data": options.data, "clock": options.clock, **facts, **row}) + "\n")


if __name__ == "__main__":
    main()
