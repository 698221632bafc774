"""Rows of measurements in a file, each measured once: a benchmark that was stopped goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from condensery.errors import BadInput


def measure(results: Path, key: dict[str, Any], row: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Append the row of `key`, unless it is there. What cannot be measured is printed."""
    done = results.read_text().splitlines() if results.exists() else []
    if any(json.loads(line)["key"] == key for line in done):
        return
    try:
        found = row(key)
    except BadInput as error:
        print(f"{key['tried']}: {error}")
        return
    with results.open("a") as file:
        file.write(json.dumps(found) + "\n")
