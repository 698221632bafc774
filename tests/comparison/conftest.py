"""A comparison that takes a second: few real digits, a narrow network, three epochs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from condensery import PROTOCOLS, ImageData, Protocol
from condensery.comparison.compare import compare
from condensery.comparison.reports import Comparison

NARROW = "convnet+depth=1+width=8"


@pytest.fixture(scope="session")
def short() -> Protocol:
    """The protocol `quick` with three epochs and two networks, under its own name."""
    return replace(PROTOCOLS["quick"], name="short", epochs=2, plain_epochs=2, repeats=2)


@pytest.fixture
def run(tiny: ImageData, tiny_file: Path, short: Protocol, tmp_path: Path) -> Callable[..., Comparison]:
    """run(methods, ...) -> Comparison of sets made in two steps with a narrow network, in `tmp_path`/out."""

    def call(methods: Any = ("dm", "random"), **changed: Any) -> Comparison:
        settings: dict[str, Any] = {
            "data": tiny_file,
            "out": tmp_path / "out",
            "condense_with": [NARROW],
            "protocol": short,
            "steps": 2,
            "settings": {} if list(methods) == ["random"] else {"real_batch": 8},
            "estimate": False,
            "threads": 1,
        }
        settings |= changed
        return compare(settings.pop("data"), methods, **settings)

    return call
