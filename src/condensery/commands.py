"""Settings as the command line takes them: the command that makes a set again."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from condensery.coresets import SELECTORS
from condensery.methods import METHODS
from condensery.models.precision import FLOAT32
from condensery.presets import preset_fields

_DEFAULTS = {"network": "convnet", "seed": 0}  # of every command that makes a set


def run_command(record: Mapping[str, Any]) -> str:
    """`condense run ...` or `condense select ...` with every setting that differs from its default or has several.

    Of a set that was drawn from a generator anew, `condense draw ...`.

    Args:
        record: of a set that `condensery.condense` or `condensery.select` made.

    Returns:
        The command; "" for a record that does not say enough, such as that of an imported set.
    """
    if drawn := record.get("drawn"):
        budget = [] if isinstance(drawn["ipc"], list) else ["--ipc", str(drawn["ipc"])]
        words = ["condense", "draw", str(drawn.get("set", "")), *budget, "--seed", str(drawn["seed"])]
        return shlex.join(words) if drawn.get("set") else ""
    selected = "indices" in record
    needed = {"method", "ipc", "fields", "data", *_DEFAULTS, *(() if selected else ("step",))}
    if not needed <= record.keys() or "source" not in record["data"]:
        return ""
    data = record["data"]
    words = ["condense", "select" if selected else "run", "--data", str(data["source"])]
    if (start := record.get("start")) and not start["set"]:
        return ""
    ipc = record["ipc"] if isinstance(record["ipc"], list) else [record["ipc"]]
    words += ["--method", record["method"], "--ipc", ",".join(map(str, ipc))]
    if not selected:
        words += ["--steps", str(record["step"])]
    for key, default in _DEFAULTS.items():
        if record[key] != default:
            words += [f"--{key}", str(record[key])]
    if record.get("precision", FLOAT32) != FLOAT32:
        words += ["--precision", record["precision"]]
    known = SELECTORS if selected else METHODS
    method = known.get(record["method"])  # None for one that is not registered here
    defaults = {f.name: f.default for f in fields(method)} if method else {}
    settings = {**data.get("options", {}), **record["fields"]}
    if start:
        settings["init"] = start["set"]
    presets = set() if selected else preset_fields(record["method"])
    words += flags({k: value for k, value in settings.items() if value != defaults.get(k) or k in presets})
    return shlex.join(words)


def flags(settings: Mapping[str, Any]) -> list[str]:
    """Settings as the command line takes them."""
    words = []
    for key, value in settings.items():
        words += [f"--{key.replace('_', '-')}", *([] if value is True else [_word(value)])]
    return words


def _word(value: Any) -> str:
    """A setting as the command line takes it: names separated by commas, in quotes if they hold one."""
    if not isinstance(value, list):
        return str(value)
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(value)
    return line.getvalue()
