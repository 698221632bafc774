"""What a DM step on photos costs at each size, in seconds and in memory, each in a process of its own.

    python benchmarks/photos.py sign-digits/ --ipc 10
    python benchmarks/photos.py sign-digits/ --sizes 224 --real-batch 16 --network convnet+width=32 --clock cpu

One step warms up, the next is timed. With --clock cpu the time is the processor's, which other work on the machine
disturbs little; take one thread for it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

STEP = """
import sys, time
import torch
from condensery import condense, load_images
from condensery.provenance import peak_memory

data, size, ipc, factor, batch, network, clock, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
now = time.process_time if clock == "cpu" else time.perf_counter
images, times = load_images(data, size=int(size)), []
condense(images, "dm", ipc=int(ipc), factor=int(factor), real_batch=int(batch), network=network, steps=2, device="cpu",
         callback=lambda report: times.append(now()))
print(times[1] - times[0], peak_memory(torch.device("cpu")) / 2**30)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--sizes", default="32,64,128,224")
    parser.add_argument("--ipc", default="10")
    parser.add_argument("--factor", default="1")
    parser.add_argument("--real-batch", default="64")
    parser.add_argument("--network", default="convnet")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--threads", default="2")
    asked = parser.parse_args()
    print("| pixels | s a step | GiB |\n|---|---|---|")
    for size in asked.sizes.split(","):
        settings = (
            size,
            asked.ipc,
            asked.factor,
            asked.real_batch,
            asked.network,
            asked.clock,
            asked.threads,
        )
        command = [sys.executable, "-c", STEP, asked.data, *settings]
        seconds, memory = subprocess.check_output(command, text=True).split()
        print(f"| {size} | {float(seconds):.2f} | {float(memory):.2f} |", flush=True)


if __name__ == "__main__":
    main()
