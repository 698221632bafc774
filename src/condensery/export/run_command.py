"""The command that makes a set again, from its record."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Mapping
from dataclasses import fields as dataclass_fields
from typing import Any

from condensery.coresets import SELECTORS
from condensery.methods import METHODS
from condensery.presets import preset_fields

_DEFAULTS = {"network": "convnet", "seed": 0}


def run_command(record: Mapping[str, Any]) -> str:
    """`condense run ...`, or `condense select ...`, with every setting that differs from its default, or has several.

    Args:
        record: of a set that `condensery.condense` or `condensery.select` made.

    Returns:
        The command; "" for a record that does not say enough, such as that of an imported set.
    """
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
    known = SELECTORS if selected else METHODS
    method = known.get(record["method"])  # None for one that is not registered here
    defaults = {f.name: f.default for f in dataclass_fields(method)} if method else {}
    settings = {**data.get("options", {}), **record["fields"]}
    if start:
        settings["init"] = start["set"]
    presets = set() if selected else preset_fields(record["method"])
    for key, value in settings.items():
        if value != defaults.get(key) or key in presets:
            words += [f"--{key.replace('_', '-')}", *([] if value is True else [_word(value)])]
    return shlex.join(words)


def _word(value: Any) -> str:
    """A setting as the command line takes it: names separated by commas, in quotes if they hold one."""
    if not isinstance(value, list):
        return str(value)
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(value)
    return line.getvalue()
