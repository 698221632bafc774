"""Every method on the same images for the same time: one row of results/methods.jsonl for each cell of one table.

    python benchmarks/methods.py --minutes 10
    python benchmarks/methods.py --minutes 60 --methods mtt,frepo --data cifar10 --ipc 10

A cell is `condense run --minutes M`, judged by `condense evaluate` with the common protocol and with the set's own
recipe, if it has one. Networks that a method trains first count in its minutes, so each cell has a cache of its own for
them; decoding the images and judging the set do not count. What is in --results is not made again, and a run that was
stopped goes on: the same command finishes the table. A cell that cannot be made in the time is a row that says why.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from condensery import disk
from condensery.coresets import SELECTORS
from condensery.data import load
from condensery.data.cache import Cache
from condensery.methods import METHODS
from condensery.presets import has_preset


class Refused(Exception):
    """A command that ended with a line about what has to change."""


class Cell:
    """One method, data set and budget: where its runs are, and what they took."""

    def __init__(self, data: str, ipc: int, method: str, asked: argparse.Namespace) -> None:
        self.data, self.ipc, self.method, self.asked = data, ipc, method, asked
        self.folder = asked.out / f"{data}-ipc{ipc}-{method}-{asked.minutes:g}min"
        self.cache = self.folder / "cache"

    @property
    def key(self) -> dict[str, Any]:
        asked = self.asked
        how = {"seeds": asked.seeds, "repeats": asked.repeats, "judged_by": asked.protocol}
        cell = {"data": self.data, "ipc": self.ipc, "method": self.method, "minutes": asked.minutes}
        return {**cell, **how}

    def made(self) -> dict[str, Any]:
        """The row."""
        self._share_images()
        runs = [self._run(seed) for seed in self.asked.seeds.split(",")]
        judged = self.folder / "evaluation.jsonl"
        judged.unlink(missing_ok=True)
        # --minutes may learn a set on a narrower network: one and the same judges all.
        how = ["--networks", "convnet", "--protocol", self.asked.protocol]
        how += ["--repeats", self.asked.repeats, "--baselines", "none"]
        self._condense(["evaluate", *map(str, runs), *how, "--results", str(judged)], os.environ)
        seconds = [float((run.parent / f"{run.name}.seconds").read_text()) for run in runs]
        return {**json.loads(judged.read_text()), "cell": self.key, "wall_seconds": seconds}

    def _run(self, seed: str) -> Path:
        """Make the set of a seed, or go on with it."""
        out, what = self.folder / f"seed{seed}", ["--data", self.data, "--ipc", str(self.ipc), "--seed", seed]
        done = self.folder / f"seed{seed}.done"
        if done.exists():
            return out
        if self.method in SELECTORS:
            self._timed(["select", *what, "--method", self.method, "--out", str(out)], out)
        else:
            preset = ["--preset", "fast" if has_preset("fast", self.method) else "paper"]
            what += ["--method", self.method, *preset]
            if not (out / "run.json").exists():
                left = (
                    self.asked.minutes - self._spent(out) / 60
                )  # less what a stopped run took to train experts
                if left <= 0:
                    raise Refused(f"what is trained first took {self._spent(out) / 60:.1f} minutes")
                what += ["--minutes", f"{left:.3g}"]
            self._timed(["run", *what, "--out", str(out), "--resume"], out)
        done.touch()
        return out

    def _spent(self, out: Path) -> float:
        """Seconds that commands for this run took so far, those that were stopped too."""
        file = out.parent / f"{out.name}.seconds"
        return float(file.read_text()) if file.exists() else 0.0

    def _timed(self, words: list[str], out: Path) -> None:
        began = time.perf_counter()
        try:
            self._condense(words, {**os.environ, "CONDENSERY_CACHE": str(self.cache.absolute())})
        finally:
            spent = self._spent(out) + time.perf_counter() - began
            (out.parent / f"{out.name}.seconds").write_text(f"{spent:.1f}")

    def _share_images(self) -> None:
        """Decode once for all cells, whose own caches hold networks."""
        load(self.data, announce=print)
        self.cache.mkdir(parents=True, exist_ok=True)
        for name in ("sets", "index"):
            if not (self.cache / name).exists():
                (self.cache / name).symlink_to(Cache().folder / name)

    def _condense(self, words: list[str], environment: Any) -> None:
        print("$", shlex.join(["condense", *words]), flush=True)
        command = [sys.executable, "-m", "condensery", *words]
        said = "it ended without a line"
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as running:
            for line in running.stderr or ():
                print(line, end="", file=sys.stderr, flush=True)
                said = line.strip().removeprefix("condense: error: ") or said
        if running.returncode in (1, 2):
            raise Refused(said)
        if running.returncode:
            raise SystemExit(f"stopped: {said}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10, help="of this machine for each set")
    parser.add_argument("--methods", default=",".join(["random", *METHODS]), help="methods and selectors")
    parser.add_argument("--data", default="mnist,cifar10")
    parser.add_argument("--ipc", default="1,10")
    parser.add_argument("--seeds", default="0", help="a set for each")
    parser.add_argument("--repeats", default="3", help="networks for each set")
    parser.add_argument("--protocol", default="quick")
    parser.add_argument("--out", type=Path, default=Path("methods"))
    parser.add_argument("--results", type=Path, default=Path("results/methods.jsonl"))
    parser.add_argument("--again", action="store_true", help="try cells again that could not be made")
    asked = parser.parse_args()
    rows = (
        [json.loads(line) for line in asked.results.read_text().splitlines()]
        if asked.results.exists()
        else []
    )
    there = [row["cell"] for row in rows if not (asked.again and "failed" in row)]
    for ipc in map(int, asked.ipc.split(",")):
        for data in asked.data.split(","):
            for method in asked.methods.split(","):
                cell = Cell(data, ipc, method, asked)
                if cell.key in there:
                    continue
                try:
                    row = cell.made()
                except Refused as line:
                    row = {"cell": cell.key, "failed": str(line)}
                disk.append_line(asked.results, json.dumps(row))


if __name__ == "__main__":
    main()
