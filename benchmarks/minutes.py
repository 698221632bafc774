"""Sets made in minutes: the table on the front page, by the commands that a user has.

    python benchmarks/minutes.py mnist-1 --out /tmp/minutes --results results/minutes.jsonl

Two tracks. Images alone: `condense run` as it is, with three seeds, stored as 8-bit pixels and judged by classes. With
labels: the same sets, labelled by a teacher in as many views as take the bytes of the pixels, judged by their own
recipe.
Random images stand beside each, with labels of the same teacher in the second track. Every command is printed, and what
exists in --out is not made again.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

TARGETS = {
    "mnist-1": ("mnist", 1, 10, "dm-2023"),
    "mnist-10": ("mnist", 10, 10, "quick"),
    "cifar10-1": ("cifar10", 1, 40, "quick"),
    "cifar10-10": ("cifar10", 10, 40, "quick"),
}  # images, images per class, views of each tile (4 tiles x 19 bytes a view: the bytes of an image), protocol
TRACKS = ("images", "labels")


def condense(*words: str | Path) -> None:
    line = ["condense", *map(str, words)]
    print("$", shlex.join(line), flush=True)
    subprocess.run([sys.executable, "-m", "condensery", *line[1:]], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--track", choices=TRACKS, help="one of the two (default: both)")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--repeats", default="3", help="networks for each set")
    parser.add_argument("--epochs", help="of the sets' own recipe (default: as condense label has it)")
    parser.add_argument("--baselines", default="random")
    parser.add_argument("--out", type=Path, default=Path("minutes"))
    parser.add_argument("--results", type=Path, default=Path("results/minutes.jsonl"))
    options = parser.parse_args()
    data, ipc, views, protocol = TARGETS[options.target]
    how = ["--protocol", protocol, "--repeats", options.repeats, "--baselines", options.baselines]
    for track in [options.track] if options.track else TRACKS:
        sets = []
        for seed in options.seeds.split(","):
            learned = options.out / f"{data}-ipc{ipc}-seed{seed}"
            if not (learned / "set.safetensors").exists():
                named = ["--data", data, "--ipc", str(ipc), "--seed", seed]
                condense("run", *named, "--out", learned, "--resume")
            found = options.out / f"{learned.name}-{track}.safetensors"
            if not found.exists() and track == "images":
                condense("export", learned, "--format", "safetensors", "--out", found)
            elif track == "labels":
                found = options.out / f"{learned.name}-views"
                epochs = ["--epochs", options.epochs] if options.epochs else []
                if not found.exists():
                    how_labelled = ["--views", str(views), "--pixels", "--seed", seed, *epochs]
                    condense("label", learned, *how_labelled, "--out", found)
            sets.append(found)
        own = ["--recipe", "own"] if track == "labels" else []
        condense("evaluate", *sets, *own, *how, "--results", options.results)


if __name__ == "__main__":
    main()
