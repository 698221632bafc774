"""Two programs in turn: condensery as its command runs, and the transcription as a program that sets nothing.

    python benchmarks/programs.py                               # DM, DC, DSA, DCC, training, evaluation, test
    python benchmarks/programs.py --only DM --compiled          # plain float32 beside compiled float32

`speed.py` lets both sides keep the memory that they free, so that its ratios are about arithmetic. Here each side is a
process of its own with one thread, and only condensery's keeps it: the ratio is what a user sees. The first round
warms up. Seconds are the processor's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

SIDES = ("ours", "plain")


def child(side: str, name: str, real_batch: int, precision: str) -> None:
    """Do the work of a round for each line of stdin, and print the seconds that it took."""
    import speed
    import torch

    from condensery.memory import keep_freed_memory

    keep_freed_memory()  # unless the environment says otherwise
    torch.set_num_threads(1)
    task = speed.make_task(speed.random_data(), torch.device("cpu"))
    task = replace(task, network=task.network.computing_in(precision))
    work: Callable[[int], None] | None = None
    with tempfile.TemporaryDirectory() as folder:
        for make in speed.contests(task, real_batch, Path(folder)):
            contest = make()
            if contest.name == name:
                work = getattr(contest, side)
                break
        assert work is not None
        for k, _ in enumerate(sys.stdin):
            started = time.process_time()
            work(k)
            print(time.process_time() - started, flush=True)


def start(side: str, name: str, real_batch: int, compiled: bool) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    precision = "float32-compiled" if compiled and side == "ours" else "float32"
    if side == "plain" and not compiled:
        environment["CONDENSERY_RETURN_MEMORY"] = "1"
    if compiled:
        side = "ours"
    words = [sys.executable, __file__, "--child", side, name, str(real_batch), precision]
    return subprocess.Popen(words, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def answer(process: subprocess.Popen[str]) -> float:
    assert process.stdin and process.stdout
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


NAMES = (
    "DM step, ipc 10",
    "DC matching step, ipc 10",
    "DSA matching step, ipc 10",
    "DCC matching step, ipc 10",
    "inner training step, 100 images",
    "evaluation training step, 100 images",
    "evaluation test step, 256 images",
)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        side, name, real_batch, precision = sys.argv[2:]
        return child(side, name, int(real_batch), precision)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--real-batch", type=int, default=256)
    parser.add_argument("--compiled", action="store_true", help="compiled float32 beside plain float32")
    parser.add_argument("--json", help="append one line per row to this file")
    options = parser.parse_args()
    for name in NAMES:
        if options.only.lower() not in name.lower():
            continue
        both = {side: start(side, name, options.real_batch, options.compiled) for side in SIDES}
        times = {side: [answer(process) for _ in "w"][1:] for side, process in both.items()}  # warms up
        for _ in range(options.repeats):
            for side, process in both.items():
                times[side].append(answer(process))
        for process in both.values():
            process.kill()
        ratios = [plain / ours for ours, plain in zip(times["ours"], times["plain"], strict=True)]
        ours, plain = (1000 * statistics.median(times[side]) for side in SIDES)
        print(f"{name}: {ours:,.0f} ms, {plain:,.0f} ms, {plain / ours:.2f} times faster "
              f"({min(ratios):.2f} to {max(ratios):.2f})", flush=True)  # fmt: skip
        if options.json:
            from torch import device

            from condensery.provenance import environment

            row = {
                "name": f"programs: {name}",
                "compiled": options.compiled,
                "real_batch": options.real_batch,
            }
            with open(options.json, "a", encoding="utf-8") as file:
                file.write(
                    json.dumps(
                        {
                            **row,
                            "ratio": plain / ours,
                            "ratios": ratios,
                            "times": times,
                            **environment(device("cpu")),
                        }
                    )
                    + "\n"
                )


if __name__ == "__main__":
    main()
