"""What to type for the number of a cell: the same, bit for bit, on the same kind of machine."""

from __future__ import annotations

import shlex

from condensery.comparison.jobs import Job, job_of
from condensery.errors import BadInput
from condensery.evaluation import get_protocol
from condensery.methods import METHODS
from condensery.presets import run_command

_FLAGS = {"network": "--teacher", "epochs": "--teacher-epochs", "temperature": "--temperature"}  # of labels
_CHEAPEST = {"method": "random", "fields": {}, "ipc": 1, "network": None, "seed": 0, "steps": None}


def commands(cell: Job, threads: int | None) -> list[str]:
    """Make the set, and evaluate it; nothing where the protocol or a setting has no words on a command line."""
    record, protocol = cell.record, cell.record["protocol"]
    try:
        if get_protocol(protocol["name"]).to_json() != protocol:
            return []
        options = _options(cell)
    except (BadInput, KeyError):
        return []
    # `condense evaluate` trains on the whole set beside some set
    made = cell.made or job_of({"data": record["data"], **_CHEAPEST})
    kind = {"step": made.record["steps"]} if made.record["method"] in METHODS else {"indices": []}
    make = run_command({**made.record, "network": made.record["network"] or "convnet", **kind})
    words = ["condense", "evaluate", f"runs/{made.key}", "--networks", record["network"]]
    words += ["--protocol", protocol["name"], "--seed", str(record["seed"])]
    if cell.made:
        words += ["--repeats", str(record["repeats"]), "--baselines", "none", *options]
    else:
        words += ["--repeats", "1", "--baselines", "whole", "--whole-epochs", str(record["epochs"])]
        words += ["--whole-repeats", str(record["repeats"])]
    environment = f"OMP_NUM_THREADS={threads} " if threads else ""
    out = shlex.quote(f"runs/{made.key}")
    return [f"{environment}{make} --out {out}", environment + shlex.join(words)]


def _options(cell: Job) -> list[str]:
    """Flags of an evaluation's further options. Raises KeyError if a setting has none."""
    words = []
    for name, value in cell.evaluation.items():
        if value is None or value is False or value == {}:
            continue
        words.append(f"--{name.replace('_', '-')}")
        if isinstance(value, dict):
            words += [w for key, one in value.items() if one is not None for w in (_FLAGS[key], str(one))]
        elif value is not True:
            words.append(str(value))
    return words
