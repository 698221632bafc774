"""Sets made in minutes: the table on the front page, by the commands that a user has.

    python benchmarks/minutes.py mnist-1 --out /tmp/minutes --results results/minutes.jsonl

Two tracks. Images alone: `condense run` as it is, three seeds, judged by classes. With labels: patches of real images,
labelled by a teacher in as many views as take the bytes of the pixels. Random images stand beside each, in as many bytes, with
labels of the same teacher in the second track. Every command is printed, and what exists in --out is not made again.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

TARGETS = {
    "mnist-1": ("mnist", 1, 10),
    "mnist-10": ("mnist", 10, 10),
    "cifar10-1": ("cifar10", 1, 40),
    "cifar10-10": ("cifar10", 10, 40),
}  # images, images per class, views of each tile: 4 tiles x 19 bytes a view, as many as the bytes of an image
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
    parser.add_argument("--baselines", default="random")
    parser.add_argument("--out", type=Path, default=Path("minutes"))
    parser.add_argument("--results", type=Path, default=Path("results/minutes.jsonl"))
    options = parser.parse_args()
    data, ipc, views = TARGETS[options.target]
    for track in [options.track] if options.track else TRACKS:
        sets = [made(options.out, data, ipc, views, track, seed) for seed in options.seeds.split(",")]
        judged = ["--recipe", "own"] if track == "labels" else []
        how = ["--repeats", options.repeats, "--baselines", options.baselines, "--results", options.results]
        condense("evaluate", *sets, *judged, *how)


def made(out: Path, data: str, ipc: int, views: int, track: str, seed: str) -> Path:
    """The folder of a set, which is made if it is not there."""
    method = "dm" if track == "images" else "patches"
    place = out / f"{data}-{method}-ipc{ipc}-seed{seed}"
    if not (place / "set.safetensors").exists():
        how = [] if track == "images" else ["--factor", "2"]
        condense(
            "run", "--data", data, "--method", method, *how, "--ipc", str(ipc), "--seed", seed, "--out", place, "--resume"
        )
    if track == "images":
        return place
    labelled = place.with_name(f"{place.name}-views{views}")
    if not (labelled / "set.safetensors").exists():
        condense("label", place, "--views", str(views), "--seed", seed, "--pixels", "--out", labelled)
    return labelled


if __name__ == "__main__":
    main()
