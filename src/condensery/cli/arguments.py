"""Words of the command line as values. Each function takes the flag, for its message, and what was typed."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from condensery.errors import BadInput

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_MOST_SEEDS = 1000


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


def words(flag: str, text: str) -> list[str]:
    """ "a,b" -> ["a", "b"]"""
    return [word.strip() for word in text.split(",") if word.strip()]


def words_or_none(flag: str, text: str) -> list[str]:
    """ "random,whole" -> ["random", "whole"]; "none" -> []"""
    return [] if text.strip().lower() == "none" else words(flag, text)


def names(flag: str, text: str) -> list[str]:
    """ "a,b" -> ["a", "b"]; a name that holds a comma stands in double quotes."""
    try:
        (line,) = csv.reader([text], skipinitialspace=True, strict=True)
    except (csv.Error, ValueError) as error:
        raise BadInput(f"{flag} takes names separated by commas, such as cat,dog, not {text!r}") from error
    return [name.strip() for name in line if name.strip()]


def whole_numbers(flag: str, text: str) -> list[int]:
    """ "0,100" -> [0, 100]"""
    for word in words(flag, text):
        if not re.fullmatch(r"-?\d+", word):
            raise BadInput(f"{flag} takes whole numbers separated by commas, such as 1,10,100, not {text!r}")
    return [int(word) for word in words(flag, text)]


def budgets(flag: str, text: str) -> list[int | str]:
    """ "1,10" -> [1, 10]; "10,proportional:10"; one by class, "cat=5,*=1" or a file of these, stands alone."""
    if "=" in text or Path(text).suffix.lower() in (".json", ".csv", ".toml"):
        return [text]
    for word in words(flag, text):
        if not re.fullmatch(r"-?\d{1,18}|proportional:\d{1,18}", word):
            raise BadInput(
                f"{flag} takes numbers such as 1,10, proportional:10, one NAME=N,NAME=N with *=N for the others, or a "
                f".json, .csv or .toml file of these, not {text!r:.80}"
            )
    return [int(word) if ":" not in word else word for word in words(flag, text)]


def value_range(flag: str, text: str) -> list[float]:
    """ "0,4095" -> [0.0, 4095.0]"""
    try:
        low, high = (float(word) for word in words(flag, text))
    except ValueError:
        raise BadInput(
            f"{flag} takes two numbers, the lower one first, such as 0,4095, not {text!r}"
        ) from None
    return [low, high]


def seeds(flag: str, text: str) -> list[int]:
    """ "0,2-4" -> [0, 2, 3, 4]"""
    found: list[int] = []
    for word in words(flag, text):
        first_last = re.fullmatch(r"(\d+)-(\d+)", word)
        if first_last:
            first, last = map(int, first_last.groups())
            if last < first:
                raise BadInput(f"{flag} {word} ends before it begins")
            if last - first >= _MOST_SEEDS:
                raise BadInput(f"{flag} {word} are {last - first + 1} seeds: ask for at most {_MOST_SEEDS}")
            found += range(first, last + 1)
        else:
            found += whole_numbers(flag, word)
    return found


def one_or_each(flag: str, text: str) -> int | Mapping[str, int]:
    """ "300" -> 300; "dm=400,dsa=200" -> {"dm": 400, "dsa": 200}"""
    if "=" not in text and len(numbers := whole_numbers(flag, text)) == 1:
        return numbers[0]
    counts = {}
    for word in words(flag, text):
        label, _, count = word.partition("=")
        if not count.isdecimal():
            raise BadInput(f"{flag} takes one number, or some such as dm=400,dsa=200, not {text!r}")
        counts[label.strip()] = int(count)
    return counts


def settings(flag: str, entries: Sequence[str]) -> dict[str, Any]:
    """["dm.real_batch=64"] -> {"dm.real_batch": 64}; the name of a field may be written as its flag is."""
    from condensery.models.custom import guess

    found = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not (name and equals and value):
            raise BadInput(f"{flag} takes FIELD=VALUE or METHOD.FIELD=VALUE, not {entry!r}")
        label, dot, field = name.rpartition(".")
        found[f"{label}{dot}{field.strip('-').replace('-', '_')}"] = guess(value)
    return found


def grid(flag: str, entries: Sequence[str]) -> dict[str, list[str]]:
    """["width=32,64"] -> {"width": ["32", "64"]}"""
    found = {}
    for entry in entries:
        option, equals, values = entry.partition("=")
        if not (option.strip() and equals):
            raise BadInput(f"{flag} takes OPTION=A,B, such as width=32,64, not {entry!r}")
        found[option.strip()] = words(flag, values)
    return found


def default_out(data: str, method: str, ipc: int | str | None, seed: int) -> Path:
    """runs/<data name>-<method>-ipc<ipc>-seed<seed>"""
    said = re.sub(r"[^\w.-]+", "_", str(ipc or 1))[:40].strip("._")
    return Path("runs") / f"{data_name(data)}-{method}-ipc{said}-seed{seed}"


def data_name(data: str) -> str:
    """A data source as part of a file's name."""
    from condensery.data.sources import absolute_source

    source = Path(absolute_source(data))
    name = source.stem if source.is_file() else source.name
    return re.sub(r"[^\w.+-]+", "_", name).strip("._") or "images"
