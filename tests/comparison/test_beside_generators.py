"""Random images of equal bytes beside the generators of a comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from condensery.comparison.by_hand import commands
from condensery.comparison.reports import Comparison
from condensery.evaluation.scores import EQUAL_BYTES

FIELDS: dict[str, Any] = {"generator_width": 4, "code_length": 4, "gan_steps": 2, "condition": "one-hot"}
FIELDS = {f"generative.{name}": value for name, value in {**FIELDS, "network_batch": 16}.items()}
ASKED: dict[str, Any] = {"methods": ["generative", "random"], "whole": False, "ipc": [2]}
ASKED["settings"] = {"real_batch": 8, **FIELDS}


def test_they_are_a_row_of_their_own(run: Callable[..., Comparison]) -> None:
    rows = {m.subject: m for m in run(**ASKED, equal_bytes=True).measurements}
    assert list(rows) == ["generative", "random", EQUAL_BYTES]
    own, equal = rows["generative"], rows[EQUAL_BYTES]
    assert abs(equal.bytes - own.bytes) < 4 * 64 * 3 + 8 * equal.images and equal.images > own.images == 6
    assert equal.n == own.n == 2 and own.extra["improvement_over_random"] == own.mean - rows["random"].mean
    assert equal.condensed_with is None and equal.memory is None and equal.extra == {}


def test_only_when_asked_for_and_by_hand_too(run: Callable[..., Comparison]) -> None:
    dry: dict[str, Any] = {**ASKED, "dry_run": True, "protocol": "quick"}
    plain, both = (run(**dry, equal_bytes=asked) for asked in (False, True))
    assert plain.cells[0].made and both.cells[0].made and plain.cells[0].made.key == both.cells[0].made.key
    assert commands(plain.cells[0], None, plain.files)[-1].endswith("--baselines none")
    assert commands(both.cells[0], None, both.files)[-1].endswith(f"--baselines {EQUAL_BYTES}")
