"""The cache: found by content, never half written, rebuilt when damaged."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pictures import noise, png

from condensery.data import building, load
from condensery.data.cache import Cache
from condensery.data.store import PixelFile
from condensery.errors import BadInput


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One element for every time that a set was decoded."""
    seen: list[str] = []
    decode_all = building.decode_all
    monkeypatch.setattr(building, "decode_all", lambda *args: seen.append("decoded") or decode_all(*args))
    return seen


def times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_second_start_decodes_nothing(photos: Path, cache: Path, decodings: list[str]) -> None:
    lines: list[str] = []
    first = load(photos, announce=lines.append)
    before = times(cache)
    second = load(photos, announce=lines.append)
    assert times(cache) == before
    assert decodings == ["decoded"] and "Decoding 10 images" in lines[0]
    assert lines[1:4] == lines[4:] == first.found.lines() == second.found.lines(), "said at every start"
    assert first.fingerprint == second.fingerprint and first.spec == second.spec
    np.testing.assert_array_equal(first.train.pixels, second.train.pixels)


def test_copy_elsewhere_hits_the_same_entry(photos: Path, tmp_path: Path, decodings: list[str]) -> None:
    first = load(photos)
    shutil.copytree(photos, tmp_path / "elsewhere")
    assert load(tmp_path / "elsewhere").fingerprint == first.fingerprint
    assert decodings == ["decoded"]


def test_one_changed_pixel_is_noticed(photos: Path, decodings: list[str]) -> None:
    first = load(photos)
    pixels = noise(0)
    pixels[0, 0, 0] ^= 1
    (photos / "train" / "cat" / "000.png").write_bytes(png(pixels))
    second = load(photos)
    assert decodings == ["decoded"] * 2
    assert second.fingerprint != first.fingerprint
    assert second.train.pixels[0, 0, 0, 0] == noise(0)[0, 0, 0] ^ 1


def test_touched_files_are_read_but_not_decoded(photos: Path, decodings: list[str]) -> None:
    load(photos)
    os.utime(photos / "train" / "cat" / "000.png", (1, 1))
    load(photos)
    assert decodings == ["decoded"]


def test_options_have_entries_of_their_own(photos: Path, decodings: list[str]) -> None:
    prints = {load(photos, **options).fingerprint for options in ({}, {"size": 16}, {"channels": 1})}
    assert len(prints) == 3 and len(decodings) == 3


def test_fingerprint_does_not_depend_on_the_source(photos: Path, tmp_path: Path) -> None:
    data = load(photos)
    arrays = {
        "x_train": data.train.pixels,
        "y_train": data.train.labels,
        "x_test": data.test.pixels,
        "y_test": data.test.labels,
    }
    np.savez(tmp_path / "same.npz", class_names=np.array(["cat", "dog"]), **arrays)
    assert load(tmp_path / "same.npz").fingerprint == data.fingerprint


@pytest.mark.parametrize("damage", ["missing", "short", "no info", "bad info", "empty info"])
def test_damaged_entry_is_rebuilt(photos: Path, cache: Path, decodings: list[str], damage: str) -> None:
    first = load(photos)
    (entry,) = (cache / "sets").iterdir()
    if damage == "missing":
        (entry / "test.npy").unlink()
    elif damage == "short":
        os.truncate(entry / "train.npy", 500)
    elif damage == "no info":
        (entry / "info.json").unlink()
    else:
        (entry / "info.json").write_text("[]" if damage == "bad info" else "")
    second = load(photos)
    assert decodings == ["decoded"] * 2
    assert second.fingerprint == first.fingerprint and len(second.train.pixels) == 7
    assert list(cache.glob("tmp-*")) == []


def test_damaged_index_is_read_anew(photos: Path, cache: Path, decodings: list[str]) -> None:
    load(photos)
    for path in (cache / "index").iterdir():
        path.write_bytes(b"\xff\xfe")
    load(photos)
    load(photos)
    assert decodings == ["decoded"]


def test_many_at_once(photos: Path, cache: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        prints = set(threads.map(lambda _: load(photos).fingerprint, range(16)))
    assert len(prints) == 1
    assert len(list((cache / "sets").iterdir())) == 1 and list(cache.glob("tmp-*")) == []


def test_leftovers_of_killed_processes_go_after_a_day(photos: Path, cache: Path) -> None:
    for name, age in (("tmp-old", 2 * 24 * 3600), ("tmp-new", 60)):
        (cache / name).mkdir(parents=True)
        os.utime(cache / name, (time.time() - age,) * 2)
    load(photos)
    assert [path.name for path in cache.glob("tmp-*")] == ["tmp-new"]


def test_cache_that_cannot_be_written(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match=r"cannot write the cache .*file/below: .*CONDENSERY_CACHE"):
        load(photos, cache_dir=tmp_path / "file" / "below")


def test_full_disk_is_said_so(photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: PixelFile, pixels: np.ndarray) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PixelFile, "add", full)
    with pytest.raises(BadInput, match=r"the disk is full; free space there or .*CONDENSERY_CACHE"):
        load(photos)
    assert list(cache.glob("tmp-*")) == []


def test_default_folder_is_below_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CONDENSERY_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Cache().folder == tmp_path / ".cache" / "condensery"


def test_second_start_is_instant_and_imports_no_reader(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=np.stack([noise(i) for i in range(8)]), labels=np.arange(8) % 2)
    load("digits")
    load(tmp_path / "set.npz")
    script = (
        "import sys, time\n"
        "from condensery.data import load\n"
        "start = time.perf_counter()\n"
        "load('digits'); load(sys.argv[1])\n"
        "assert time.perf_counter() - start < 1\n"
        "assert not {'datasets', 'pyarrow', 'sklearn.datasets'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "set.npz")], check=True)


def test_bar_is_drawn_on_stderr_when_wanted(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load(photos, progress=True)
    captured = capsys.readouterr()
    assert captured.out == "" and "Decoding" in captured.err
    load(photos, size=16)
    assert capsys.readouterr().err == ""
