"""Pixels of any size are read and sampled without staying in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from condensery.data import ClassPool, rows, store
from condensery.data.rows import PixelRows
from condensery.memory import release
from condensery.records import ImageSpec, LabeledImages
from condensery.rng import Rng

CPU = torch.device("cpu")


@pytest.fixture
def mapped(tmp_path: Path) -> np.ndarray:
    """12 MB of images as the cache holds them."""
    np.save(
        tmp_path / "train.npy", np.random.default_rng(0).integers(0, 256, (1000, 64, 64, 3)).astype(np.uint8)
    )
    return np.load(tmp_path / "train.npy", mmap_mode="r")


def held(pixels: np.ndarray) -> int:
    """Bytes of the memory map that count as memory of this process."""
    name = str(pixels.filename)  # type: ignore[attr-defined]
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    return sum(
        1024 * int(next(part for part in lines if part.startswith("Rss:")).split()[1])
        for line in lines
        if line.endswith(name)
    )


linux = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="no /proc")


@linux
def test_a_set_that_was_read_from_end_to_end_is_not_held(mapped: np.ndarray) -> None:
    assert int(mapped.sum(dtype=np.int64)) and held(mapped) > 0.9 * mapped.nbytes
    sums = [int(block.sum(dtype=np.int64)) for block in store.blocks(mapped)]
    assert held(mapped) == 0 and sum(sums) == int(np.array(mapped).sum(dtype=np.int64))


@linux
def test_drawing_from_a_large_set_holds_nothing_of_it(
    mapped: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "HELD_BYTES", 2 << 20)
    spec = ImageSpec(3, 64, 64, ("a", "b"), (0.5,) * 3, (0.25,) * 3)
    labels = np.arange(1000) % 2
    pool = ClassPool(LabeledImages(mapped, labels), spec, CPU)
    whole = ClassPool(LabeledImages(np.array(mapped), labels), spec, CPU)
    release(mapped)
    for k in range(5):
        assert torch.equal(*(one.sample(k % 2, 16, Rng(k)) for one in (pool, whole)))
    assert held(mapped) < mapped.nbytes / 2
    with pytest.raises(IndexError):
        pool.images_at(np.array([1000]))


def test_rows_that_lie_elsewhere_than_on_the_device_are_the_same(mapped: np.ndarray) -> None:
    mapped_rows, held_rows = PixelRows(mapped, CPU), PixelRows(mapped, CPU)
    held_rows.resident = rows._moved(mapped, CPU)  # as on a GPU with room
    chosen = np.array([3, 999, 0, 3])
    assert torch.equal(mapped_rows.at(chosen), held_rows.at(chosen))
    assert torch.equal(mapped_rows.at(chosen), torch.from_numpy(np.array(mapped[chosen])))


@pytest.mark.parametrize("channels", [1, 3])
def test_one_reading_measures_what_separate_ones_did(channels: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (130, 9, 11, channels)).astype(np.uint8)
    train, test = pixels[:100], np.concatenate([pixels[100:], pixels[[5, 5, 7]]])
    parts = [(train, np.arange(100) % 3), (test, np.arange(33) % 3)]
    names = ("a", "b", "c")
    found = store.measure(names, parts)
    counts = [np.bincount(train[..., c].ravel(), minlength=256) for c in range(channels)]
    np.testing.assert_array_equal(found.counts, counts)
    assert found.fingerprint == store.fingerprint(names, parts)
    assert found.prints == tuple(store.fingerprint(names, [part]) for part in parts)
    assert found.duplicates == store.duplicates(train, test) == 3


def test_images_that_share_a_key_alone_are_no_duplicates(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (40, 8, 8, 1)).astype(np.uint8)
    monkeypatch.setattr(store, "_keys", lambda block: np.zeros(len(block), np.uint64))
    assert store.duplicates(pixels[:30], np.concatenate([pixels[30:], pixels[:2]])) == 2
