"""How fast condensery is beside a plain transcription of the papers, alternated in one process.

    make bench                                                        # everything, appended to results/speed.jsonl
    python benchmarks/speed.py --data random --repeats 5
    python benchmarks/speed.py --only "training step" --threads 1 --clock cpu

Whole steps at 10 images per class, 10 classes of 32x32 colour images, 256 real images per class, the default
128-wide ConvNet; a matching step is timed without the network training that follows it, which is a row of its
own. Both sides draw the same batches and transforms, and drawing is part of the step. In rows called "bfloat16 for
float32" both sides are condensery, in these precisions. On a GPU, where there is one, both sides run there. The
share of the peak is the arithmetic of convolutions and matrices, counted while the first round warms up, over what
the machine was measured to multiply in float32.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import transcription
from draws import draw_batches
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

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
from condensery.memory import keep_freed_memory
from condensery.models.registry import resolve
from condensery.provenance import environment, peak_memory, pick_device, reset_peak_memory
from condensery.training import accuracy, default_chunk, forward_layout, train_step

IPC = 10
RNG = Rng(0)
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Contest:
    """Two ways to do the same work; each call is given the number of the round.

    Attributes:
        wanted: how many times faster ours has to be.
    """

    name: str
    wanted: float
    ours: Callable[[int], None]
    plain: Callable[[int], None]


def random_data() -> ImageData:
    """Noise in the shape of a tenth of CIFAR-10."""
    pixels = RNG.numpy().integers(0, 256, (5000, 32, 32, 3), dtype=np.uint8)
    images = LabeledImages(pixels, np.arange(5000) % 10)
    spec = ImageSpec(3, 32, 32, tuple("0123456789"), (0.5,) * 3, (0.25,) * 3)
    return ImageData(spec, images, images, "random", "random")


def make_task(data: ImageData, device: torch.device) -> Task:
    pool, counts = ClassPool(data.train, data.spec, device), uniform(IPC, data.spec.num_classes)
    return Task(pool, resolve("convnet"), counts, device, default_chunk(device))


def plain_network(task: Task) -> nn.Module:
    spec = task.spec
    return transcription.PlainConvNet(spec.channels, spec.height, spec.num_classes).to(task.device)


def start(method: Method, task: Task) -> tuple[State, Tensor, torch.optim.Optimizer]:
    """The same images twice: in a state of condensery, and as a leaf with its optimiser."""
    state = driver.begin(method, task, RNG)
    images = state.synthetic.images.detach().clone().requires_grad_()
    return state, images, torch.optim.SGD([images], method.image_lr, method.image_momentum)  # type: ignore[attr-defined]


def dm_contest(task: Task, real_batch: int) -> Contest:
    method = get_method("dm", real_batch=real_batch)
    state, images, optimizer = start(method, task)

    def ours(k: int) -> None:
        networks = {"network": task.new_network(RNG.fork(k))}
        driver.advance(method, task, replace(state, step=k, networks=networks), RNG)

    def plain(k: int) -> None:
        draw = draw_batches(method, task, RNG.fork("step", k), None)  # type: ignore[arg-type]
        transcription.dm_step(plain_network(task), images, optimizer, draw)

    return Contest(f"DM step, ipc {IPC}", 3.0, ours, plain)


def matching_contest(task: Task, name: str, real_batch: int) -> Contest:
    """One update of the images with a given network; the last of its outer loop, so no training follows."""
    warmup = {"warmup": "none"} if name == "dcc" else {}
    method = get_method(name, outer_loop=1, real_batch=real_batch, **warmup)
    plain_step = transcription.contrastive_step if name == "dcc" else transcription.matching_step
    state, images, optimizer = start(method, task)

    def ours(k: int) -> None:
        driver.advance(method, task, replace(state, step=k), RNG)

    def plain(k: int) -> None:
        draw = draw_batches(method, task, RNG.fork("step", k), None)  # type: ignore[arg-type]
        plain_step(plain_network(task), images, optimizer, draw)

    return Contest(f"{name.upper()} matching step, ipc {IPC}", 2.0, ours, plain)


def training_contest(task: Task) -> Contest:
    """One step of plain SGD on the whole synthetic set."""
    images, labels = synthetic(task)
    network, other = task.new_network(RNG), plain_network(task)
    optimizers = [torch.optim.SGD(n.parameters(), 0.01) for n in (network, other)]
    return Contest(
        f"inner training step, {len(labels)} images",
        2.0,
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

    return Contest(f"evaluation training step, {len(labels)} images", 2.0, ours, plain)


def testing_contest(task: Task) -> Contest:
    """Accuracy on 256 images."""
    images, labels = task.pool.sample(0, 256, RNG), torch.zeros(256, dtype=torch.long, device=task.device)
    network, other = task.new_network(RNG), plain_network(task)
    return Contest(
        "evaluation test step, 256 images",
        2.0,
        lambda k: _ignore(accuracy(network, [(forward_layout(images), labels)], task.chunk)),
        lambda k: _ignore(transcription.count_correct(other, images, labels)),
    )


def in_bfloat16(task: Task) -> Task:
    factory = task.network.computing_in("bfloat16")
    return replace(task, network=factory, chunk=default_chunk(task.device, factory.precision))


def precision_training_contest(task: Task, count: int) -> Contest:
    """One step of plain SGD in bfloat16, and in float32."""
    images, labels = (part[:count] for part in synthetic(task))
    steps = []
    for here in (in_bfloat16(task), task):
        network = here.new_network(RNG)
        optimizer = torch.optim.SGD(network.parameters(), 0.01)
        steps.append(partial(_training_step, network, optimizer, images, labels, here.chunk))
    return Contest(f"bfloat16 for float32: training step, {count} images", 1.0, *steps)


def _training_step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    chunk: int | None,
    k: int,
) -> None:
    train_step(network, optimizer, images, labels, chunk)


def precision_dm_contest(task: Task, real_batch: int) -> Contest:
    """A DM step that matches one class, in bfloat16 and in float32."""
    method = get_method("dm", real_batch=real_batch, classes_per_step=1)
    state = driver.begin(method, task, RNG)

    def step(here: Task, k: int) -> None:
        networks = {"network": here.new_network(RNG.fork(k))}
        driver.advance(method, here, replace(state, step=k, networks=networks), RNG)

    sides = (partial(step, here) for here in (in_bfloat16(task), task))
    return Contest(f"bfloat16 for float32: DM step of one class, ipc {IPC}", 1.0, *sides)


def precision_testing_contest(task: Task) -> Contest:
    """Accuracy on 256 images, in bfloat16 and in float32."""
    images, labels = task.pool.sample(0, 256, RNG), torch.zeros(256, dtype=torch.long, device=task.device)

    def test(here: Task, network: nn.Module, k: int) -> None:
        accuracy(network, [(here.forward_only(images), labels)], here.chunk)

    sides = (partial(test, here, here.new_network(RNG)) for here in (in_bfloat16(task), task))
    return Contest("bfloat16 for float32: evaluation test step, 256 images", 1.0, *sides)


def synthetic(task: Task) -> tuple[Tensor, Tensor]:
    classes = task.classes
    images = torch.cat([task.pool.sample(c, IPC, RNG.fork(c)) for c in classes])
    return images, torch.arange(len(classes), device=task.device).repeat_interleave(IPC)


def decoding_contest(folder: Path) -> Contest:
    """256 JPEG photos of 400x300 in class folders, brought to 64x64: PIL image by image against `load_images`."""
    rng = np.random.default_rng(0)
    for c in range(4):
        (folder / "photos" / str(c)).mkdir(parents=True)
        for i in range(64):
            noise = rng.integers(0, 256, (15, 20, 3)).astype(np.uint8)
            Image.fromarray(noise).resize((400, 300)).save(folder / "photos" / str(c) / f"{i}.jpg")

    def ours(k: int) -> None:
        load_images(folder / "photos", size=64, cache_dir=folder / f"cache{k}")

    def plain(k: int) -> None:
        for path in sorted((folder / "photos").rglob("*.jpg")):
            with Image.open(io.BytesIO(path.read_bytes())) as image:
                image.convert("RGB").resize((85, 64), Image.Resampling.BICUBIC).crop(
                    (10, 0, 74, 64)
                ).tobytes()

    return Contest("decoding 256 photos", 1.0, ours, plain)


def _ignore(value: object) -> None:
    pass


def contests(task: Task, real_batch: int, folder: Path) -> Iterator[Callable[[], Contest]]:
    yield lambda: dm_contest(task, real_batch)
    for name in ("dc", "dsa", "dcc"):
        yield lambda name=name: matching_contest(task, name, real_batch)
    yield lambda: training_contest(task)
    yield lambda: evaluation_contest(task)
    yield lambda: testing_contest(task)
    yield lambda: decoding_contest(folder)
    for count in (16, 32, 100):
        yield lambda count=count: precision_training_contest(task, count)
    yield lambda: precision_dm_contest(task, real_batch)
    yield lambda: precision_testing_contest(task)


def peak_flops(device: torch.device, clock: Callable[[], float]) -> float:
    """Floating point operations a second in float32, the most of several products of matrices and convolutions.

    Both, since they come from two libraries, of which either may be the faster one.
    """
    side, images = (1024, 16) if device.type == "cpu" else (8192, 1024)
    a, b = (torch.rand(side, side, device=device) for _ in range(2))
    x, w = torch.rand(images, 128, 32, 32, device=device), torch.rand(128, 128, 3, 3, device=device)
    product = min(seconds(lambda _: _ignore(a @ b), 0, clock, device) for _ in range(6))
    convolution = min(
        seconds(lambda _: _ignore(torch.conv2d(x, w, padding=1)), 0, clock, device) for _ in range(6)
    )
    return max(2 * side**3 / product, 2 * images * 32**2 * w.numel() / convolution)


def seconds(call: Callable[[int], None], k: int, clock: Callable[[], float], device: torch.device) -> float:
    _wait(device)
    started = clock()
    call(k)
    _wait(device)
    return clock() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(
    contest: Contest, repeats: int, clock: Callable[[], float], device: torch.device, longest: float
) -> dict[str, object]:
    """One round to warm up and to count, then up to `repeats` rounds in which the two take turns at going first.

    No round begins after `longest` seconds.
    """
    times: dict[str, list[float]] = {"ours": [], "plain": []}
    work, bytes_, began = {}, {}, time.perf_counter()
    for side in times:
        reset_peak_memory(device)
        with FlopCounterMode(display=False) as counter:
            getattr(contest, side)(0)
        work[side], bytes_[side] = counter.get_total_flops(), peak_memory(device)
    for k in range(1, repeats + 1):
        for side in ("ours", "plain") if k % 2 else ("plain", "ours"):
            times[side].append(seconds(getattr(contest, side), k, clock, device))
        if time.perf_counter() - began > longest:
            break
    ratios = [plain / ours for ours, plain in zip(times["ours"], times["plain"], strict=True)]
    return {
        "name": contest.name,
        "wanted": contest.wanted,
        "ratio": statistics.median(times["plain"]) / statistics.median(times["ours"]),
        "ratios": ratios,
        "times": times,
        "flops": work,
        "bytes": bytes_,
    }


def milliseconds(times: list[float]) -> str:
    return f"{1000 * statistics.median(times):,.0f} ({1000 * min(times):,.0f} to {1000 * max(times):,.0f})"


def table(rows: list[dict], facts: dict, peak: float) -> Table:
    title = f"{facts['hardware']}, torch {facts['versions']['torch']}, {peak / 1e9:,.0f} GFLOP/s measured"
    made = Table(title=title, title_justify="left")
    for column in ("", "condensery, ms", "transcription, ms", "times faster", "wanted", "of peak", "GiB"):
        made.add_column(column, justify="left" if not column else "right")
    for row in rows:
        enough = "green" if row["ratio"] >= row["wanted"] else "red"
        share = row["flops"]["ours"] / statistics.median(row["times"]["ours"]) / peak
        made.add_row(
            row["name"],
            milliseconds(row["times"]["ours"]),
            milliseconds(row["times"]["plain"]),
            f"[{enough}]{row['ratio']:.2f}[/] ({min(row['ratios']):.2f} to {max(row['ratios']):.2f})",
            f"{row['wanted']:.1f}",
            f"{share:.0%}" if share else "-",
            f"{row['bytes']['ours'] / 2**30:.2f}",
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="random", choices=("random", "cifar10"))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument(
        "--real-batch", type=int, default=256, help="fewer real images a class take less time"
    )
    parser.add_argument(
        "--longest", type=float, help="seconds after which a row starts no other round (30; 15 on a GPU)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, help="of torch; its own choice if left out")
    parser.add_argument("--clock", default="wall", choices=tuple(CLOCKS), help="cpu: on a busy machine")
    parser.add_argument("--only", default="", help="run rows whose name contains this")
    parser.add_argument("--json", help="append one line per row to this file")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    keep_freed_memory()  # as the command does, for both sides
    device, clock = pick_device(options.device), CLOCKS[options.clock]
    data = random_data() if options.data == "random" else load_images("cifar10")
    facts, rows = environment(device), []
    longest = options.longest or (30 if device.type == "cpu" else 15)
    peak = peak_flops(device, clock)
    with tempfile.TemporaryDirectory() as folder:
        for make in contests(make_task(data, device), options.real_batch, Path(folder)):
            contest = make()
            if options.only.lower() not in contest.name.lower():
                continue
            row = measure(contest, options.repeats, clock, device, longest)
            asked = {key: getattr(options, key) for key in ("data", "clock", "real_batch")}
            rows.append({**row, "peak_flops": peak, **asked})
            print(f"{contest.name}: {row['ratio']:.2f}", file=sys.stderr, flush=True)
            if options.json:
                with open(options.json, "a", encoding="utf-8") as file:
                    file.write(json.dumps({**facts, **rows[-1]}) + "\n")
    Console(width=130).print(table(rows, facts, peak))
    print(f"Medians of whole steps in {options.clock} time (smallest to largest), alternated in one process.")


if __name__ == "__main__":
    main()
