"""Memory that torch frees is kept for its next allocation."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from condensery import memory
from condensery.errors import BadInput

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


BOUNDED = """
import sys
import numpy as np
from condensery import ImageData, ImageSpec, LabeledImages, condense
from condensery.errors import BadInput
from condensery.memory import keep_freed_memory
keep_freed_memory()
pixels = np.random.default_rng(0).integers(0, 256, (2000, 32, 32, 3)).astype(np.uint8)
images = LabeledImages(pixels, np.arange(2000) % 2)
spec = ImageSpec(3, 32, 32, ("a", "b"), (0.5,) * 3, (0.25,) * 3)
data = ImageData(spec, images, images, "noise", "print")
how = dict(data=data, network="convnet+width=8", steps=2, init="noise", device="cpu")
one = condense(ipc=1, memory="1GiB", **how)
assert one.images.equal(condense(ipc=1, **how).images)
try:
    condense(ipc=9000, memory="1GiB", out=sys.argv[1], **how)  # 221 MB: images, gradient, momentum and a copy
except BadInput as error:
    print(error)
condense(ipc=10, **how)  # the bound is gone
"""


def test_a_run_that_needs_more_than_its_bound_is_refused_before_it_starts(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", BOUNDED, str(tmp_path / "run")], capture_output=True, text=True, check=True
    )
    assert ran.stdout.startswith("this needs more than --memory 1GiB")
    assert "a smaller --ipc" in ran.stdout and "--real-batch" in ran.stdout
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("size", "word"), [("3 apples", "3 apples"), ("100MB", "too little"), ("-1", "-1")])
def test_a_bound_that_is_none_is_refused(size: str, word: str) -> None:
    with pytest.raises(BadInput, match=word), memory.at_most(size, torch.device("cpu"), ""):
        pass


def test_other_errors_are_not_taken_for_missing_memory() -> None:
    with pytest.raises(RuntimeError, match="shape"), memory.at_most("900GiB", torch.device("cpu"), ""):
        raise RuntimeError("shape mismatch")
