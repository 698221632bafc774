"""What to type for the number of a cell: the same, bit for bit, on the same kind of machine."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from condensery.comparison.plan import Cell, SetJob, set_of
from condensery.comparison.protocol_record import protocol_record
from condensery.errors import BadInput
from condensery.evaluation import get_protocol
from condensery.export.run_command import run_command

_TEACHER = {"network": "--teacher", "epochs": "--teacher-epochs", "temperature": "--temperature"}


def commands(cell: Cell, threads: int | None) -> Iterator[str]:
    """Make the set, and judge it; nothing where the protocol is the user's own, for which there is no command."""
    protocol, made = cell.record["protocol"], cell.made or _beside(cell)
    if not _is_known(protocol):
        return
    environment = f"OMP_NUM_THREADS={threads} " if threads else ""
    folder = f"runs/{made.key}"
    yield f"{environment}{_make(made)} --out {shlex.quote(folder)}"
    words = ["condense", "evaluate", folder, "--networks", cell.network, "--protocol", protocol["name"]]
    words += ["--seed", str(cell.record["seed"])]
    yield environment + shlex.join([*words, *(_of_set(cell) if cell.made else _of_whole(cell))])


def _beside(whole: Cell) -> SetJob:
    """The cheapest set, since `condense evaluate` judges the whole set beside some set."""
    nothing = {"fields": {}, "network": None, "steps": None}
    return set_of(
        {"data": whole.record["data"], "method": "random", "ipc": 1, "seed": 0, **nothing}, "random"
    )


def _is_known(protocol: Mapping[str, Any]) -> bool:
    """Whether the protocol's name means, on a command line, what the protocol is."""
    try:
        return protocol_record(get_protocol(protocol["name"])) == protocol
    except BadInput:
        return False


def _make(made: SetJob) -> str:
    record: dict[str, Any] = {**made.record, "network": made.condensed_with or "convnet"}
    return run_command(
        {**record, "step": record["steps"]} if made.contender.condenses else {**record, "indices": []}
    )


def _of_set(cell: Cell) -> list[str]:
    record = cell.record
    words = ["--repeats", str(record["repeats"]), "--baselines", "none"]
    if record["soft_labels"] is not None:
        words.append("--soft-labels")
        for name, flag in _TEACHER.items():
            value = record["soft_labels"].get(name)
            words += [] if value is None else [flag, str(value)]
    return words + ["--augmentation-robustness"] * record["augmentation_robustness"]


def _of_whole(cell: Cell) -> list[str]:
    epochs, repeats = (str(cell.record[key]) for key in ("epochs", "repeats"))
    words = ["--repeats", "1", "--baselines", "whole", "--whole-epochs", epochs]
    return [*words, "--whole-repeats", repeats]
