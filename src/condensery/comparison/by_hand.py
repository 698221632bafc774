"""What to type for the number of a cell: the same, bit for bit, on the same kind of machine."""

from __future__ import annotations

import shlex

from condensery.commands import flags, run_command
from condensery.comparison.folder import Folder
from condensery.comparison.jobs import ComparisonJob, job_of, options_of
from condensery.errors import BadInput
from condensery.evaluation import get_protocol
from condensery.methods import METHODS

_FLAGS = {"network": "--teacher", "epochs": "--teacher-epochs", "temperature": "--temperature"}  # of labels
_CHEAPEST = {"method": "random", "fields": {}, "ipc": 1, "network": None, "seed": 0, "steps": None}


def commands(cell: ComparisonJob, threads: int | None, folder: Folder) -> list[str]:
    """Make the set, or take a given one from the comparison's folder, and evaluate it.

    Nothing where the protocol or a setting has no words on a command line.
    """
    record, protocol = cell.record, cell.record["protocol"]
    try:
        if get_protocol(protocol["name"]).to_json() != protocol:
            return []
        options = _options(cell)
    except (BadInput, KeyError):
        return []
    # `condense evaluate` trains on the whole set beside some set
    made = cell.made or job_of({"data": record["data"], **_CHEAPEST})
    environment = f"OMP_NUM_THREADS={threads} " if threads else ""
    judge = ["--networks", record["network"], "--protocol", protocol["name"], "--seed", str(record["seed"])]
    if cell.made:
        beside = ",".join(options_of(cell).get("baselines", ())) or "none"
        judge += ["--repeats", str(record["repeats"]), "--baselines", beside, *options]
    else:
        judge += ["--repeats", "1", "--baselines", "whole", "--whole-epochs", str(record["epochs"])]
        judge += ["--whole-repeats", str(record["repeats"])]
    if made.given:
        there = [
            str(folder.set_folder(made)),
            "--data",
            record["data"]["source"],
            *flags(record["data"]["options"]),
        ]
        return [environment + shlex.join(["condense", "evaluate", *there, *judge])]
    out, kind = (
        f"runs/{made.key}",
        {"step": made.record["steps"]} if made.record["method"] in METHODS else {"indices": []},
    )
    make = run_command({**made.record, "network": made.record["network"] or "convnet", **kind})
    evaluate = shlex.join(["condense", "evaluate", out, *judge])
    return [f"{environment}{make} --out {shlex.quote(out)}", environment + evaluate]


def _options(cell: ComparisonJob) -> list[str]:
    """Flags of an evaluation's further options. Raises KeyError if a setting has none."""
    words = []
    for name, value in options_of(cell).items():
        if value is None or value is False or value == {} or name == "baselines":
            continue
        words.append(f"--{name.replace('_', '-')}")
        if isinstance(value, dict):
            words += [w for key, one in value.items() if one is not None for w in (_FLAGS[key], str(one))]
        elif value is not True:
            words.append(str(value))
    return words
