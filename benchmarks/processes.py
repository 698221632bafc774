"""How much faster one run gets on several processes, beside one process with one thread, in turn.

    python benchmarks/processes.py --data cifar10 --processes 2                  # wants as many idle cores
    python benchmarks/processes.py --data cifar10 --methods dm --clock cpu       # where others keep the cores busy
    torchrun --nnodes 2 ... benchmarks/processes.py --data cifar10               # several machines beside the first

Seconds of a step at 10 images per class by the 128-wide ConvNet, the first step left out. Every process has one thread,
those of torchrun as many as OMP_NUM_THREADS says.
With --clock cpu the seconds are the first process's own, which is what it has left to do, without the waiting.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from itertools import pairwise

import torch

from condensery import condense
from condensery.memory import keep_freed_memory
from condensery.provenance import environment
from condensery.team import Team, launched
from condensery.together import follow

FIELDS = {"dm": {}, "frepo": {"pool_size": 2}, "rfad": {}, "kip": {}}
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def step(method: str, processes: int | Team, options: argparse.Namespace) -> list[float]:
    """Seconds of each step but the first."""
    now, times = CLOCKS[options.clock], []
    fields = {"real_batch": options.real_batch} if options.real_batch else {}
    condense(
        options.data, method, ipc=10, steps=options.steps + 1, processes=processes, device="cpu", init="real",
        callback=lambda report: times.append(now()), **FIELDS[method], **fields,
    )  # fmt: skip
    return [after - before for before, after in pairwise(times)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--methods", default=",".join(FIELDS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--real-batch", type=int, help="the method's own if left out")
    parser.add_argument("--clock", default="wall", choices=tuple(CLOCKS))
    parser.add_argument("--json", help="append one line per method to this file")
    options = parser.parse_args()
    keep_freed_memory()
    team = launched()
    size = team.size if team.size > 1 else options.processes
    for method in options.methods.split(","):
        times: dict[int, list[float]] = {1: [], size: []}
        for _ in range(options.rounds):
            if team.number:
                follow(team, options.data)
                continue
            for processes, found in times.items():
                if team.size == 1:
                    torch.set_num_threads(processes)  # which the processes share
                found += step(method, team if processes == team.size else processes, options)
        if team.number:
            continue
        one, shared = (statistics.median(found) for found in times.values())
        faster = one / shared
        row = {
            "name": f"{method} step",
            "processes": size,
            "clock": options.clock,
            "times": times,
        }
        row |= {"ratio": faster, "efficiency": faster / size, **environment(torch.device("cpu"))}
        print(f"{method}: {1000 * one:,.0f} ms alone, {1000 * shared:,.0f} ms on {size} processes, "
              f"{faster:.2f} times faster, efficiency {faster / size:.0%}", flush=True)  # fmt: skip
        if options.json:
            with open(options.json, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
