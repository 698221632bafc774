"""Fields of DM, each try on held-out training images alone; at full width for a machine with a GPU.

    python benchmarks/dm_settings.py --data cifar10 --ipc 10 --tried preset,steps=1000,factor=4+steps=1000

Every try changes fields of what `condense run --preset fast` takes, and "preset" none. The set is made with
--network, and --repeats of them train on it. Training images, 5,000 or a fifth of them, take the place of the test
images. What is there already in --results is not made again.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rows import measure
from view_settings import without_test

import condensery
from condensery import ImageData
from condensery.memory import keep_freed_memory
from condensery.methods.dm import DM
from condensery.presets import with_preset
from condensery.provenance import environment, pick_device

KINDS = {field.name: type(field.default) for field in fields(DM)}


def tried(data: ImageData, key: dict[str, Any], device: str) -> dict[str, Any]:
    """The row of a try."""
    changes = dict(change.split("=") for change in key["tried"].split("+") if change != "preset")
    method, steps = with_preset("fast", DM(), changes, data, key["ipc"], key["network"], print)
    steps = int(changes.pop("steps", steps))
    method = replace(method, **{name: KINDS[name](value) for name, value in changes.items()})
    accuracies, seconds = [], []
    for seed in range(key["seeds"]):
        began = time.perf_counter()
        network = key["network"]
        made = condensery.condense(
            data, method, ipc=key["ipc"], network=network, steps=steps, seed=seed, device=device
        )
        seconds.append(round(time.perf_counter() - began, 1))
        how = {"protocol": key["protocol"], "repeats": key["repeats"], "seed": seed, "device": device}
        judged = condensery.evaluate(made, data, baselines=(), networks=[network], **how)
        accuracies += np.ravel(judged.scores[0].accuracies).tolist()
    print(
        f"{key['tried']:40} {100 * np.mean(accuracies):.1f} ± {100 * np.std(accuracies):.1f} "
        f"(n = {len(accuracies)}), {np.mean(seconds):.0f} s",
        flush=True,
    )
    return {"key": key, "accuracies": accuracies, "seconds": seconds, **environment(pick_device(device))}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--network", default="convnet")
    parser.add_argument("--seeds", type=int, default=1, help="sets")
    parser.add_argument("--repeats", type=int, default=3, help="networks on each set")
    parser.add_argument("--protocol", default="quick")
    parser.add_argument(
        "--tried", default="preset", help="fields of DM and steps, joined by +; tries by commas"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--results", type=Path, default=Path("results/dm_settings.jsonl"))
    asked = parser.parse_args()
    keep_freed_memory()
    data = without_test(condensery.load_images(asked.data))
    same = {name: getattr(asked, name) for name in ("data", "ipc", "network", "seeds", "repeats", "protocol")}
    for name in asked.tried.split(","):
        measure(asked.results, {**same, "tried": name}, partial(tried, data, device=asked.device))


if __name__ == "__main__":
    main()
