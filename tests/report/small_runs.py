"""Runs and evaluations that take a moment."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import condensery
from condensery import PROTOCOLS

NETWORK = "convnet+width=8+depth=1"
FAST = replace(PROTOCOLS["quick"], name="fast", epochs=2, plain_epochs=2, repeats=2)


def make_run(data: object, out: Path, **settings: object) -> Path:
    """A run folder after three updates."""
    known = {"network": NETWORK, "device": "cpu", "real_batch": 4, "steps": 3, "out": out}
    condensery.condense(data, "dm", **{**known, **settings})  # type: ignore[arg-type]
    return out


def note_evaluation(runs: Sequence[Path], **options: object) -> dict[str, object]:
    """Evaluate as `condense evaluate` does, and append the line to each run."""
    known = {"protocol": FAST, "device": "cpu"}
    evaluation = condensery.evaluate(list(runs), **{**known, **options})  # type: ignore[arg-type]
    document = {**evaluation.to_json(), "command": f"condense evaluate {' '.join(run.name for run in runs)}"}
    for run in runs:
        with (run / "evaluations.jsonl").open("a") as file:
            file.write(json.dumps(document) + "\n")
    return document
