"""Real files for the tests of sources: every test has its own cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pictures import write_images

REAL = os.environ.get("CONDENSERY_DATA")


@pytest.fixture(scope="session")
def real_data() -> Path | None:
    """The folder that held the real sets before a test hid it."""
    return Path(REAL).absolute() if REAL else None


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of this test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CONDENSERY_CACHE", str(folder))
    monkeypatch.delenv("CONDENSERY_DATA", raising=False)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Class folders with train/ and test/: 4 + 3 training and 2 + 1 test images of 8x8 in colour."""
    root = tmp_path / "photos"
    for i, (name, count) in enumerate({"train/cat": 4, "train/dog": 3, "test/cat": 2, "test/dog": 1}.items()):
        write_images(root / name, count, seed=100 * i)
    return root
