"""Memory that torch frees is kept for its next allocation."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from condensery import memory

FAULTS = """
import resource
import torch
from condensery.memory import keep_freed_memory
kept = keep_freed_memory()
for _ in range(15):
    torch.ones(12_000_000)  # more than glibc ever keeps by itself
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    torch.ones(12_000_000)
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = 5 * 48_000_000 // 4096  # that five tensors fill


def faults(**environment: str) -> tuple[bool, int]:
    ran = subprocess.run(
        [sys.executable, "-c", FAULTS],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    kept, count = map(int, ran.stdout.split())
    return bool(kept), count


def test_a_freed_tensor_makes_room_for_the_next_without_page_faults() -> None:
    kept, count = faults(CONDENSERY_RETURN_MEMORY="")
    if not kept:
        pytest.skip("no glibc")
    assert count < PAGES / 20


def test_a_user_can_have_memory_returned() -> None:
    kept, _ = faults(CONDENSERY_RETURN_MEMORY="1")
    assert not kept


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    monkeypatch.delenv(memory.OFF, raising=False)
    assert not memory.keep_freed_memory()
