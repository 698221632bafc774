"""Evaluation networks trained at once beside the same trained one by one, alternated in one process.

    python benchmarks/at_once.py --network convnet+width=32 --networks 3 --images 10
    python benchmarks/at_once.py --device cuda --networks 20 --images 100

Random images of 32x32 in 10 classes, SGD and DSA's transforms as the protocols have them. Prints milliseconds of a step
of all networks one by one, how many times faster all at once are (smallest to largest of the rounds), and the largest
difference between weights of the two ways. It takes processor time on a CPU and seconds on a GPU.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from condensery import ImageSpec, Rng
from condensery.augment import SiameseAugmentation, default_strategy
from condensery.evaluation.stacked import Job, train_together
from condensery.memory import keep_freed_memory
from condensery.models.registry import resolve
from condensery.provenance import pick_device
from condensery.training import TensorImages, untrained
from condensery.training_recipe import Recipe

SPEC = ImageSpec(3, 32, 32, tuple("0123456789"), (0.5,) * 3, (0.25,) * 3)
AUGMENT = SiameseAugmentation(default_strategy(flip=True))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="convnet")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--networks", type=int, default=3)
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(asked.threads)
    device, factory, recipe = pick_device(asked.device), resolve(asked.network), Recipe(asked.steps)
    pixels = torch.randn(asked.images, *SPEC.shape, generator=Rng(0).torch()).to(device)
    images = TensorImages(pixels, torch.arange(asked.images, device=device) % 10)

    def clock() -> float:
        if device.type == "cpu":
            return time.process_time()
        torch.cuda.synchronize(device)
        return time.perf_counter()

    alone, ratios, apart = [], [], 0.0
    for k in range(asked.rounds + 1):  # the first one warms up
        jobs = [Job(images, recipe, Rng(k).fork(i)) for i in range(asked.networks)]
        ways = [[untrained(factory, SPEC, recipe, job.rng, device) for job in jobs] for _ in range(2)]
        times = [clock()]
        for network, job in zip(ways[0], jobs, strict=True):
            train_together([network], [job], recipe, augment=AUGMENT, device=device)
        times.append(clock())
        train_together(ways[1], jobs, recipe, augment=AUGMENT, device=device)
        times.append(clock())
        if k:
            alone.append(1000 * (times[1] - times[0]) / asked.steps)
            ratios.append((times[1] - times[0]) / (times[2] - times[1]))
        weights = ([p.detach() for network in way for p in network.parameters()] for way in ways)
        apart = max(apart, *(float((a - b).abs().max()) for a, b in zip(*weights, strict=True)))
    spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    what = f"{asked.networks} x {asked.network} on {asked.images} images, {device}"
    print(f"{what}: {statistics.median(alone):.1f} ms one by one, at once {spread} times; {apart:.0e} apart")


if __name__ == "__main__":
    main()
