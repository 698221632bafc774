"""What `load` can be asked for besides a source and some of its classes: declared here and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from condensery.data.parts import split_names
from condensery.data.values import Range
from condensery.errors import BadInput


@dataclass(frozen=True)
class Options:
    """How a source is read; part of the cache key. Meaning and defaults are those of `condensery.load_images`.

    Attributes:
        size: side in pixels, None to keep the size.
        channels: 1 or 3, None as the images are.
        test_fraction: share of each class that is split off where there is no test part.
        image_column, label_column: columns of a table, None to find them.
        train_split, test_split: names of parts, separated by commas, None to know them by their names.
        value_range: the pixel values that become black and white, None for the rule.
        skip_damaged: leave out images that cannot be read instead of refusing the set.
        whitening: of normalised images, see `condensery.whitening`; "none" where a preset would choose one.
    """

    size: int | None = None
    channels: int | None = None
    test_fraction: float = 0.2
    image_column: str | None = None
    label_column: str | None = None
    train_split: str | None = None
    test_split: str | None = None
    value_range: Sequence[float] | None = None
    skip_damaged: bool = False
    whitening: str | None = None

    def __post_init__(self) -> None:
        if self.size is not None and not 8 <= self.size <= 4096:
            raise BadInput(f"size must be from 8 to 4096 pixels, not {self.size}")
        if self.channels not in (None, 1, 3):
            raise BadInput(f"channels must be 1 (grey) or 3 (colour), not {self.channels}")
        if not 0 < self.test_fraction < 1:
            raise BadInput(f"test_fraction must lie between 0 and 1, not {self.test_fraction}")
        for name in ("train_split", "test_split"):
            if (value := getattr(self, name)) is not None and not value.strip(" ,"):
                raise BadInput(f"{name} is empty; name a part, or leave it out")
        if both := set(split_names(self.train_split)) & set(split_names(self.test_split)):
            raise BadInput(f"--train-split and --test-split name the same part {sorted(both)[0]!r}")
        if self.value_range is not None:
            object.__setattr__(self, "value_range", _checked_range(self.value_range))

    @property
    def range(self) -> Range | None:
        """`value_range` as a range."""
        return None if self.value_range is None else Range(*self.value_range)

    def require_no_columns(self, source: str | Path, label: bool = False) -> None:
        """BadInput if a column was named although `source` is no table; `label`: a label column may be named."""
        for kind, name in (("image", self.image_column), ("label", None if label else self.label_column)):
            if name is not None:
                raise BadInput(
                    f"{source} has no columns, so not {name!r}: "
                    f"--{kind}-column belongs to tables (Parquet, Hugging Face Hub)"
                )

    def require_no_splits(self, source: str | Path) -> None:
        """BadInput if a part was named although `source` has no parts."""
        for option, name in (("--train-split", self.train_split), ("--test-split", self.test_split)):
            if name is not None:
                raise BadInput(f"{source} has no parts, so not {name!r}: leave {option} out")

    @property
    def given(self) -> dict[str, Any]:
        """Those that differ from their defaults, JSON-able."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in vars(self).items()
            if value != getattr(Options, key)
        }

    @property
    def words(self) -> tuple[str, ...]:
        """All that pixels depend on: whitening comes after them."""
        return tuple(repr(value) for value in astuple(replace(self, whitening=None))[:-1])


def _checked_range(given: Sequence[float]) -> tuple[float, float]:
    values = [given] if isinstance(given, str | int | float) else list(given)
    try:
        low, high = (float(value) for value in values)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise BadInput(f"value_range must be two numbers, the lower one first, such as 0,4095, not {given!r}")
    return low, high
