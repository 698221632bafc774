"""Most memory that `condense run` holds, in a process of its own.

    python benchmarks/memory.py --data cifar10 --method dm --ipc 10

The limit is 1.5 GiB on CIFAR-10; the exit code is 1 where it is broken. The cache of decoded pixels is filled
first by a process that is measured as well, as decoding happens once only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

LIMIT_GIB = 1.5


def run(arguments: list[str]) -> float:
    """Peak resident memory in GiB of `condense` with these arguments, and of no other process."""
    command = [str(Path(sys.executable).with_name("condense")), *arguments]
    process = subprocess.Popen(command, stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with exit code {process.returncode}")
    return usage.ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--method", default="dm", choices=("dm", "dc", "dsa"))
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--json", help="append the result to this file")
    options = parser.parse_args()
    what = ["--data", options.data, "--method", options.method, "--ipc", str(options.ipc)]
    with tempfile.TemporaryDirectory() as folder:
        tail = ["--steps", str(options.steps), "--device", "cpu"]
        peaks = {
            name: run(["run", *what, *tail, "--out", str(Path(folder) / name)])
            for name in ("first", "second")
        }
    worst = max(peaks.values())
    verdict = "within" if worst <= LIMIT_GIB else "OVER"
    print(f"condense run {' '.join(what)}: {worst:.2f} GiB at most, {verdict} the limit of {LIMIT_GIB} GiB")
    if options.json:
        with open(options.json, "a", encoding="utf-8") as file:
            file.write(json.dumps({**vars(options), "gib": peaks, "limit": LIMIT_GIB}) + "\n")
    raise SystemExit(worst > LIMIT_GIB)


if __name__ == "__main__":
    main()
