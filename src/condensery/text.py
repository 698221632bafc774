"""Numbers as people read them: percent, sizes, times. Everywhere else they keep their units."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def percent(share: float | None) -> str:
    """A fraction as a number of percent; "-" for none."""
    return "-" if share is None else f"{100 * share:.1f}"


def accuracy(mean: float, std: float | None, n: int = 2) -> str:
    """Fractions as "85.0 ± 2.5", in percent; a single network has no spread, nor has a value without one."""
    return f"{percent(mean)} ± {percent(std)}" if n > 1 and std is not None else percent(mean)


def readable_bytes(count: int) -> str:
    """512 B, 3.1 kB, 47 MB, 1.2 GB"""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"


def bytes_in(size: str) -> int | None:
    """Bytes of text such as "100kB", "1.5 MB" or "64KiB"; None if it is no size."""
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)\s*([a-z]*)", size.strip().lower())
    return int(float(found[1]) * _UNITS[found[2]]) if found and found[2] in _UNITS else None


def readable_seconds(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 5 min, 3 d 4 h"""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 86400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86400} d {seconds % 86400 // 3600} h"


def readable_minutes(minutes: float) -> str:
    """Up to two digits: 0.051, 3.4, 120"""
    unit = 10.0 ** (math.floor(math.log10(max(minutes, 0.001))) - 1)
    return f"{math.ceil(minutes / unit) * unit:.6g}"


def first_few(words: Sequence[str], most: int = 3) -> str:
    """a, b, c, ..."""
    return ", ".join(words[:most]) + (", ..." if len(words) > most else "")


def count(number: int, noun: str) -> str:
    """1 image, 2 images"""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
