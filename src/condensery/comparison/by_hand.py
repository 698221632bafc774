"""What to type for the number of a cell: the same, bit for bit, on the same kind of machine."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from condensery.comparison.jobs import Job, set_job
from condensery.comparison.protocol_record import protocol_record
from condensery.errors import BadInput
from condensery.evaluation import get_protocol
from condensery.export.run_command import run_command
from condensery.methods import METHODS

_FLAGS = {"network": "--teacher", "epochs": "--teacher-epochs", "temperature": "--temperature"}  # of labels


def commands(cell: Job, threads: int | None) -> Iterator[str]:
    """Make the set, and evaluate it; nothing where the protocol or a setting has no words on a command line."""
    record, protocol = cell.record, cell.record["protocol"]
    try:
        known, options = protocol_record(get_protocol(protocol["name"])) == protocol, _options(cell)
    except (BadInput, KeyError):
        return
    if not known:
        return
    environment = f"OMP_NUM_THREADS={threads} " if threads else ""
    made = cell.made or _beside(cell)
    yield f"{environment}{_make(made)} --out {shlex.quote(f'runs/{made.key}')}"
    words = ["condense", "evaluate", f"runs/{made.key}", "--networks", record["network"]]
    words += ["--protocol", protocol["name"], "--seed", str(record["seed"])]
    if cell.made:
        words += ["--repeats", str(record["repeats"]), "--baselines", "none", *options]
    else:
        words += ["--repeats", "1", "--baselines", "whole", "--whole-epochs", str(record["epochs"])]
        words += ["--whole-repeats", str(record["repeats"])]
    yield environment + shlex.join(words)


def _beside(whole: Job) -> Job:
    """The cheapest set, since `condense evaluate` trains on the whole set beside some set."""
    nothing = {"fields": {}, "network": None, "steps": None}
    record = {"data": whole.record["data"], "method": "random", "ipc": 1, "seed": 0, **nothing}
    return set_job(record, "random")


def _make(made: Job) -> str:
    record = {**made.record, "network": made.record["network"] or "convnet"}
    kind = {"step": record["steps"]} if record["method"] in METHODS else {"indices": []}
    return run_command({**record, **kind})


def _options(cell: Job) -> list[str]:
    """Flags of an evaluation's further options. Raises KeyError if a setting has none."""
    words = []
    for name, value in cell.evaluation.items():
        settings = value if isinstance(value, dict) else {}
        words += [f"--{name.replace('_', '-')}"] if value is True or settings else []
        words += [w for key, one in settings.items() if one is not None for w in (_FLAGS[key], str(one))]
    return words
