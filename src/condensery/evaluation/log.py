"""What is kept of an evaluation: a line in the log of every run, and the accuracies in the record of every set."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from condensery import artifact, disk, schema
from condensery.errors import BadFile, BadInput, one_line
from condensery.evaluation.evaluator import Evaluation
from condensery.evaluation.scores import BASELINES, OWN
from condensery.records import SyntheticSet


def of(runs: Sequence[Path], another: Path | None = None) -> list[Path]:
    """The logs of the run folders among `runs`, and another one. Raises BadInput if one cannot be written to.

    Fails before the work, not after it. Leaves no file behind that was not there. A link in a run folder is not
    followed; that of a file which was asked for is.
    """
    logs = [run / "evaluations.jsonl" for run in runs if run.is_dir()] + (
        [another.resolve()] if another else []
    )
    for path in logs:
        new = not path.exists()
        try:
            os.close(disk.open_no_link(path))
            if new:
                path.unlink()
        except OSError as error:
            raise disk.unwritable(path, error) from error
    return logs


def write(document: Mapping[str, Any], logs: Sequence[Path]) -> None:
    """Append one line to each log: a log has the whole line, or is as it was. Raises BadInput if the disk is full."""
    for path in logs:
        disk.append_line(path, json.dumps(document))


def read(path: Path, announce: Callable[[str], None]) -> list[dict[str, Any]]:
    """The evaluations in a log, and other JSON objects of a "kind"; what else it holds is left out, and a line says so.

    Raises:
        BadFile: the file cannot be read.
    """
    try:
        lines = disk.read_plain(path).split(b"\n")
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {one_line(error)}") from error
    found, bad = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            document = json.loads(line.decode("utf-8"))
            schema.check(document, schema.Fields() if _of_a_kind(document) else schema.EVALUATION, "line")
        except (ValueError, RecursionError) as error:
            bad.append((number, str(error) if isinstance(error, schema.Misfit) else "it is not JSON"))
        else:
            found.append(document)
    if bad:
        number, reason = bad[0]
        more = f", and so were {len(bad) - 1} more" if bad[1:] else ""
        announce(f"line {number} of {path} is no evaluation ({reason}) and was left out{more}")
    return found


def _of_a_kind(document: object) -> bool:
    return isinstance(document, dict) and "kind" in document


def note(
    evaluation: Evaluation, index: int, evaluated: SyntheticSet, run: Path, announce: Callable[[str], None]
) -> None:
    """Add the accuracies of set number `index` to the record of its file, unless the file has changed since.

    Args:
        evaluated: the set as it was evaluated.
        run: its folder or file.
        announce: called with a line for a person if the record is left as it is.
    """
    path = artifact.set_path(run)
    now = artifact.load(path)
    if artifact.digest(now) != artifact.digest(evaluated):
        announce(f"{path} has changed during the evaluation: its record was left as it is")
        return
    step = {"step": now.record["step"]} if "step" in now.record else {}
    found = [{**step, **one} for one in _summary(evaluation, index)]
    accuracies = [*now.record.get("accuracies", []), *found]
    try:
        artifact.save(replace(now, record={**now.record, "accuracies": accuracies}), path)
    except BadInput as error:  # the accuracies are in the log and with the caller; the set is as it was
        announce(f"The record of the set was left as it is: {error}")


def _summary(evaluation: Evaluation, index: int) -> list[dict[str, Any]]:
    """What to remember about set number `index`: its own networks only."""
    record = evaluation.record
    return [
        {
            "protocol": OWN if score.recipe == OWN else record["protocol"],
            "network": score.network,
            "labels": score.labels,
            "augmentation": score.augmentation,
            "mean": float(np.mean(score.accuracies[index])),
            "std": float(np.std(score.accuracies[index])),
            "n": len(score.accuracies[index]),
            "epochs": score.epochs,
            "seed": record["seed"],
            "time": record["time"],
            "hardware": record["hardware"],
            **(
                {"data": record["data"]} if "test" in record.get("changed", ()) else {}
            ),  # images that the set was not made from
        }
        for score in evaluation.scores
        if score.subject not in BASELINES
    ]
