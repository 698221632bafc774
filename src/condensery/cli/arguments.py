"""Words of the command line as values; each function raises BadInput with the flag's name."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from condensery.errors import BadInput
from condensery.models.custom import guess
from condensery.runner import absolute_source

MISSING_DATA = (
    "name the images with --data: digits, mnist, a folder, a file or a Hub id; see condense datasets"
)
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def seconds(flag: str, text: str) -> float:
    """A number of seconds: "90", "90s", "10m", "2h", "1h30m"."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(min|[smhd])", text.strip().lower())
    if parts and "".join(number + unit for number, unit in parts) == text.strip().lower():
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadInput(f"{flag} takes seconds or a time such as 90s, 10m or 2h, not {text!r}")
    return value


def words(text: str | None) -> list[str]:
    """ "a,b" -> ["a", "b"]"""
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def names(flag: str, text: str | None) -> list[str] | None:
    """ "a,b" -> ["a", "b"]; a name that holds a comma stands in double quotes. None stays None."""
    if text is None:
        return None
    try:
        (line,) = csv.reader([text], skipinitialspace=True, strict=True)
    except (csv.Error, ValueError) as error:
        raise BadInput(f"{flag} takes names separated by commas, such as cat,dog, not {text!r}") from error
    return [name.strip() for name in line if name.strip()]


def whole_numbers(flag: str, text: str | None) -> list[int]:
    """ "0,100" -> [0, 100]"""
    for word in words(text):
        if not re.fullmatch(r"-?\d+", word):
            raise BadInput(f"{flag} takes whole numbers separated by commas, such as 1,10,100, not {text!r}")
    return [int(word) for word in words(text)]


def baselines(text: str) -> list[str]:
    """ "random,whole" -> ["random", "whole"]; "none" -> []"""
    return [] if text.strip().lower() == "none" else words(text)


def default_out(data: str, method: str, ipc: int, seed: int) -> Path:
    """runs/<data name>-<method>-ipc<ipc>-seed<seed>"""
    return Path("runs") / f"{data_name(data)}-{method}-ipc{ipc}-seed{seed}"


def data_name(data: str) -> str:
    """A data source as part of a file's name."""
    source = Path(absolute_source(data))
    name = source.stem if source.is_file() else source.name
    return re.sub(r"[^\w.+-]+", "_", name).strip("._") or "images"


def settings(entries: Sequence[str]) -> dict[str, Any]:
    """["dm.real_batch=64"] -> {"dm.real_batch": 64}; the name of a field may be written as its flag is."""
    found = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not (name and equals and value):
            raise BadInput(f"--set takes FIELD=VALUE or METHOD.FIELD=VALUE, not {entry!r}")
        label, dot, field = name.rpartition(".")
        found[f"{label}{dot}{field.strip('-').replace('-', '_')}"] = guess(value)
    return found
