"""From numbers to uint8 pixels: which range they are read as, and the scaling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from condensery.errors import BadInput

DEPTHS = (8, 10, 12, 14, 16)
"""Bits of a value that cameras, scanners and files use."""
FEW = 16
"""Whole numbers up to this one (masks, the digits of scikit-learn) use their own range."""


class Range(NamedTuple):
    """The numbers that become 0 and 255."""

    low: float
    high: float

    @property
    def is_plain(self) -> bool:
        """Whether values stay as they are."""
        return (self.low, self.high) == (0, 255)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


PLAIN, UNIT = Range(0, 255), Range(0, 1)


@dataclass(frozen=True)
class Extent:
    """What numbers there are: lowest, highest, whether all are whole, whether they are of a whole type."""

    low: float
    high: float
    whole: bool
    integer: bool

    def __or__(self, other: Extent) -> Extent:
        return Extent(
            min(self.low, other.low), max(self.high, other.high), self.whole and other.whole,
            self.integer and other.integer,
        )  # fmt: skip


def whole_range(high: float) -> Range:
    """The range of whole numbers from 0 to `high`: of the fewest usual bits; their own where there are few."""
    if 0 < high <= FEW:
        return Range(0, high)
    bits = next((bits for bits in DEPTHS if high < 2**bits), None)
    if bits is None:
        raise BadInput(
            f"values reach up to {high:g}, above 65535; say how to read them with --value-range LOW,HIGH"
        )
    return Range(0, 2**bits - 1)


def choose_range(extent: Extent, given: Range | None, what: str) -> Range:
    """How numbers are read: as `given`; else [0, 1]; else whole numbers of the fewest usual bits.

    Raises:
        BadInput: they lie outside `given`, or no rule fits; names the option that decides.
    """
    low, high = extent.low, extent.high
    if given is not None:
        if low < given.low or high > given.high:
            raise BadInput(
                f"{what} hold values from {low:g} to {high:g}, outside --value-range {given.low:g},{given.high:g}"
            )
        return given
    if not extent.integer and 0 <= low and high <= 1:
        return UNIT
    if low < 0 or not extent.whole or (high > 255 and not extent.integer):
        raise BadInput(
            f"{what} hold values from {low:g} to {high:g}{'' if extent.whole else ', not all whole'}; expected [0, 1], "
            f"or whole numbers from 0; say how to read them with --value-range {low:g},{high:g}"
        )
    return whole_range(high)


def scaled(values: np.ndarray, range_: Range) -> np.ndarray:
    """Numbers of any shape -> uint8, rounded to the nearest; exact for whole numbers."""
    if range_.is_plain and values.dtype == np.uint8:
        return values
    if values.dtype.kind in "iu" and float(range_.low).is_integer() and float(range_.high).is_integer():
        low, width = int(range_.low), int(range_.high - range_.low)
        wide = (values.astype(np.int64) - low) * 255
        return ((wide + (width - 1) // 2) // width).astype(np.uint8)
    wide = (values.astype(np.float64) - range_.low) * (255 / (range_.high - range_.low))
    return np.round(wide).astype(np.uint8)
