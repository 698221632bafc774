"""A set that is larger than memory: what decoding it takes, and what a step costs as a set grows.

    python benchmarks/size.py make big --share 0.1        # 128,000 images of 64x64 in 1,000 classes, as ImageNet64 lies
    python benchmarks/size.py decode big                  # images a second, seconds, most memory
    python benchmarks/size.py steps --json results/size.jsonl

`make` writes numbered .npz files as ImageNet64 is handed out, 1.28 million images (15.7 GB of pixels) with --share 1:
the colour and shape of each class with noise on top, so that hardly any two images are equal. `steps` needs no files:
each cell changes one quantity of the same small task, and the exponent is the slope of the seconds over it, both as
logarithms.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import zipfile
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

CLASSES, PER_CLASS, SIDE, FILES, TESTED = 1000, 1280, 64, 10, 50


def make(folder: Path, share: float) -> None:
    """train_data_batch_1.npz to 10 and val_data.npz: data uint8 (N, 3 * 64 * 64), labels from 1 to 1000."""
    folder.mkdir(parents=True)
    count = round(CLASSES * PER_CLASS * share)
    rng = np.random.default_rng(0)
    shapes = (
        rng.integers(0, 128, (CLASSES, 3, 8, 8)).repeat(SIDE // 8, 2).repeat(SIDE // 8, 3).astype(np.uint8)
    )
    noise = rng.integers(0, 128, 1 << 24).astype(np.uint8)
    for number in range(1, FILES + 1):
        _write(folder / f"train_data_batch_{number}.npz", count // FILES, shapes, noise, number)
    _write(folder / "val_data.npz", round(CLASSES * TESTED * share), shapes, noise, 0)


def _write(path: Path, count: int, shapes: np.ndarray, noise: np.ndarray, seed: int) -> None:
    """One file, a thousand images at a time."""
    rng, size = np.random.default_rng(seed), shapes[0].size
    labels = np.arange(count) % CLASSES
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("data.npy", "w", force_zip64=True) as stream:
            header = {"descr": "|u1", "fortran_order": False, "shape": (count, size)}
            np.lib.format.write_array_header_1_0(stream, header)
            for start in range(0, count, 1000):
                chosen = labels[start : start + 1000]
                places = rng.integers(0, len(noise) - size, len(chosen))
                images = np.stack([noise[place : place + size] for place in places])
                images += shapes[chosen].reshape(len(chosen), size)
                stream.write(images.tobytes())
        with archive.open("labels.npy", "w") as stream:
            np.lib.format.write_array(stream, labels + 1, allow_pickle=False)


COMMAND = """
import resource, sys, time
from condensery.memory import keep_freed_memory
keep_freed_memory()
from condensery import load_images
wall, cpu = time.perf_counter(), time.process_time()
data = load_images(sys.argv[1], announce=lambda line: print(line, file=sys.stderr))
print(time.perf_counter() - wall, time.process_time() - cpu, len(data.train) + len(data.test),
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


def decode(folder: Path) -> dict[str, float]:
    """The first reading, into a cache of its own beside the set, which stays for a run."""
    cache = {**os.environ, "CONDENSERY_CACHE": str(folder.with_name(folder.name + "-cache"))}
    printed = subprocess.check_output([sys.executable, "-c", COMMAND, str(folder)], env=cache, text=True)
    wall, cpu, images, peak = map(float, printed.split())
    return {
        "images": images,
        "seconds": wall,
        "cpu_seconds": cpu,
        "images_per_cpu_second": images / cpu,
        "gib": peak,
    }


@dataclass(frozen=True)
class Cell:
    """A DM step to be timed. One quantity of the defaults grows at a time."""

    classes: int = 20
    per_class: int = 100
    side: int = 32
    ipc: int = 2
    real_batch: int = 16
    classes_per_step: int = 0


GROWTH = {
    "classes": (20, 80, 320),
    "per_class": (100, 400, 1600),
    "side": (32, 64, 128),
    "ipc": (2, 8, 32),
    "real_batch": (16, 64, 256),
}
CHOSEN = [Cell(classes=n, ipc=10, classes_per_step=10) for n in (20, 80, 320)]
"""A step that matches ten classes, whatever the set has."""


def step(cell: Cell, device: str, network: str, steps: int) -> dict[str, float]:
    """Median seconds of a step, the processor's on a CPU, and the most that the process held meanwhile."""
    from condensery import ImageData, ImageSpec, LabeledImages, condense
    from condensery.provenance import peak_memory, pick_device, reset_peak_memory

    place = pick_device(device)
    now = time.process_time if place.type == "cpu" else time.perf_counter
    shape = (cell.per_class * cell.classes, cell.side, cell.side, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    images = LabeledImages(pixels, np.arange(len(pixels)) % cell.classes)
    spec = ImageSpec(3, cell.side, cell.side, tuple(map(str, range(cell.classes))), (0.5,) * 3, (0.25,) * 3)
    times: list[float] = []
    reset_peak_memory(place)
    condense(
        ImageData(spec, images, images, "generated", "generated"), "dm", ipc=cell.ipc, real_batch=cell.real_batch,
        classes_per_step=cell.classes_per_step, network=network, steps=steps + 1, init="noise", device=str(place),
        callback=lambda report: times.append(now()),
    )  # fmt: skip
    between = [after - before for before, after in pairwise(times)]
    return {"seconds": statistics.median(between), "gib": (peak_memory(place) - pixels.nbytes) / 2**30}


def steps(device: str, network: str, count: int) -> list[dict[str, object]]:
    """Every cell, with a row of a table for each quantity that grows."""
    rows: list[dict[str, object]] = []
    families = {
        name: [replace(Cell(), **{name: value}) for value in values] for name, values in GROWTH.items()
    }
    families["classes, 10 a step"] = CHOSEN
    step(Cell(), device, network, 1)  # warms up
    print("| grows | values: ms a step | exponent | GiB |\n|---|---|---|---|")
    for name, cells in families.items():
        found = [step(cell, device, network, count) for cell in cells]
        values = [getattr(cell, name.partition(",")[0]) for cell in cells]
        seconds = [row["seconds"] for row in found]
        slope = float(np.polyfit(np.log(values), np.log(seconds), 1)[0])
        shown = ", ".join(f"{value}: {1000 * s:,.0f}" for value, s in zip(values, seconds, strict=True))
        print(f"| {name} | {shown} | {slope:.2f} | {max(row['gib'] for row in found):.2f} |", flush=True)
        rows += [
            {"grows": name, **asdict(c), **row, "exponent": slope}
            for c, row in zip(cells, found, strict=True)
        ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("make", "decode", "steps"))
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--share", type=float, default=1.0, help="of 1.28 million images")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--network", default="convnet+width=32")
    parser.add_argument("--steps", type=int, default=3, help="that are timed for each cell")
    parser.add_argument("--json", help="append the results to this file")
    asked = parser.parse_args()
    if asked.what == "make":
        return make(asked.folder, asked.share)
    from condensery.memory import keep_freed_memory

    keep_freed_memory()
    rows = (
        [decode(asked.folder)] if asked.what == "decode" else steps(asked.device, asked.network, asked.steps)
    )
    if asked.what == "decode":
        print(json.dumps(rows[0]))
    if asked.json:
        from condensery.provenance import environment, pick_device

        with open(asked.json, "a", encoding="utf-8") as file:
            for row in rows:
                file.write(
                    json.dumps({"what": asked.what, **row, **environment(pick_device(asked.device))}) + "\n"
                )


if __name__ == "__main__":
    main()
