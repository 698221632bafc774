"""A set that is larger than memory: what decoding it takes, and what a step costs as a set grows.

    python benchmarks/size.py make big --share 0.1        # 128,000 images of 64x64 in 1,000 classes, as ImageNet64 lies
    python benchmarks/size.py decode big                  # images a second, seconds, most memory
    python benchmarks/size.py steps --json results/size.jsonl

`make` writes numbered .npz files as ImageNet64 is handed out, 1.28 million images (15.7 GB of pixels) with --share 1:
the colour and shape of each class with noise on top, so that no two images are equal. `steps` needs no files: each cell
changes one quantity of the same small task, and the exponent is the slope of the seconds over it, both as logarithms.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import zipfile
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


STEP = """
import json, sys, time
import numpy as np, torch
from condensery.memory import keep_freed_memory
keep_freed_memory()
from condensery import ImageData, ImageSpec, LabeledImages, condense
from condensery.provenance import peak_memory
asked = json.loads(sys.argv[1])
n, classes, side = asked["per_class"], asked["classes"], asked["side"]
pixels = np.memmap(asked["file"], np.uint8, "w+", shape=(n * classes, side, side, 3))
pixels[:] = np.random.default_rng(0).integers(0, 256, (1, side, side, 3))
pixels[:, :4] = np.random.default_rng(1).integers(0, 256, (len(pixels), 4, side, 3))
pixels.flush()
np.save(asked["file"] + ".npy", pixels)
images = LabeledImages(np.load(asked["file"] + ".npy", mmap_mode="r"), np.arange(len(pixels)) % classes)
spec = ImageSpec(3, side, side, tuple(map(str, range(classes))), (0.5,) * 3, (0.25,) * 3)
data, times = ImageData(spec, images, images, "generated", "generated"), []
condense(data, "dm", ipc=asked["ipc"], real_batch=asked["real_batch"], classes_per_step=asked["classes_per_step"],
         network=asked["network"], steps=asked["steps"] + 1, init="noise", device=asked["device"],
         callback=lambda report: times.append(time.process_time() if asked["device"] == "cpu" else time.perf_counter()))
print(json.dumps([[b - a for a, b in zip(times, times[1:])], peak_memory(torch.device(asked["device"])) / 2**30]))
"""

BASE = {
    "classes": 20, "per_class": 100, "side": 32, "ipc": 2, "real_batch": 16, "classes_per_step": 0,
    "network": "convnet+width=32", "steps": 4, "device": "cpu",
}  # fmt: skip
GROWTH = {
    "classes": (20, 80, 320),
    "per_class": (100, 400, 1600),
    "side": (32, 64, 128),
    "ipc": (2, 8, 32),
    "real_batch": (16, 64, 256),
}
LARGE = {"classes": 1000, "per_class": 20, "side": 64, "ipc": 10, "classes_per_step": 10}
"""ImageNet64's classes and size: a step matches ten of them, drawn anew each time."""


def step(**changes: object) -> dict[str, object]:
    """Median processor seconds of a DM step and most memory, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        asked = {**BASE, **changes, "file": str(Path(folder) / "pixels")}
        printed = subprocess.check_output([sys.executable, "-c", STEP, json.dumps(asked)], text=True)
    times, peak = json.loads(printed)
    return {
        **{k: v for k, v in asked.items() if k != "file"},
        "seconds": statistics.median(times),
        "gib": peak,
    }


def steps() -> list[dict[str, object]]:
    rows = []
    for name, values in GROWTH.items():
        found = [step(**{name: value}) for value in values]
        rows += [{"grows": name, **row} for row in found]
        seconds = [float(str(row["seconds"])) for row in found]
        slope = np.polyfit(np.log(values), np.log(seconds), 1)[0]
        cells = ", ".join(f"{value}: {1000 * s:,.0f} ms" for value, s in zip(values, seconds, strict=True))
        most = max(float(str(row["gib"])) for row in found)
        print(f"| {name} | {cells} | {slope:.2f} | {most:.2f} |", flush=True)
    large = step(**LARGE)
    print(f"| ImageNet64's shape | {float(str(large['seconds'])):.2f} s | | {float(str(large['gib'])):.2f} |")
    return [*rows, {"grows": "large", **large}]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("make", "decode", "steps"))
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--share", type=float, default=1.0, help="of 1.28 million images")
    parser.add_argument("--json", help="append the results to this file")
    asked = parser.parse_args()
    if asked.what == "make":
        return make(asked.folder, asked.share)
    rows = [decode(asked.folder)] if asked.what == "decode" else steps()
    if asked.what == "decode":
        print(json.dumps(rows[0]))
    if asked.json:
        import torch

        from condensery.provenance import environment  # only now: torch

        with open(asked.json, "a", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps({"what": asked.what, **row, **environment(torch.device("cpu"))}) + "\n")


if __name__ == "__main__":
    main()
