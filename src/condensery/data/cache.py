"""The cache of decoded sets: memory-mapped pixels, found again by content.

Layout below the cache folder (`$CONDENSERY_CACHE`, otherwise `~/.cache/condensery`):

    sets/<key>/         train.npy, test.npy (uint8 N, H, W, C), train_labels.npy, test_labels.npy, info.json
    index/<identity>    JSON: the key that a source with these paths, sizes and times had last time, and what was found
    tmp-*/              an entry being written; moved to its place in one step

An entry never changes once it is in place, so any number of processes may read and build at the same time:
whoever comes second finds the work done and drops its own.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from condensery.errors import BadInput

FORMAT = 1
ARRAYS = ("train.npy", "train_labels.npy", "test.npy", "test_labels.npy")
STALE_SECONDS = 24 * 3600
# Python 3.11 may fail to parse the headers of two arrays at once (its issue 106905).
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Entry:
    """A complete set in the cache.

    Attributes:
        info: class_names, mean, std (measured, [0, 1] scale), fingerprint, and what was seen while decoding.
        train, test: read-only memory maps uint8 (N, H, W, C).
        train_labels, test_labels: int64 (N,).
    """

    info: dict[str, Any]
    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def digest(*words: str) -> str:
    """A name for a sequence of words: 40 hexadecimal digits (BLAKE2b)."""
    text = json.dumps([FORMAT, *words], ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


class Cache:
    """The cache folder; nothing is created before something is written."""

    def __init__(self, folder: Path | None = None) -> None:
        chosen = folder or os.environ.get("CONDENSERY_CACHE") or Path("~/.cache/condensery")
        self.folder = Path(chosen).expanduser().absolute()

    def recall(self, identity: str) -> tuple[Entry, dict[str, Any]] | None:
        """The entry that a source of this identity had last time, and the note that was remembered with it.

        None if it is gone or damaged.
        """
        try:
            noted = json.loads((self.folder / "index" / identity).read_text())
            entry = self.open(str(noted["key"]))
            return None if entry is None else (entry, dict(noted["found"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None  # never seen, or not readable: read the source again

    def remember(self, identity: str, key: str, found: dict[str, Any]) -> None:
        """Note that a source of this identity has the content `key`, and what was found in it."""
        with self.replacing(self.folder / "index" / identity) as file:
            file.write_text(json.dumps({"key": key, "found": found}))

    def open(self, key: str) -> Entry | None:
        """The entry with this key, or None if it is missing, incomplete or damaged."""
        folder = self.folder / "sets" / key
        try:
            info = json.loads((folder / "info.json").read_text())
            if any((folder / name).stat().st_size != info["bytes"][name] for name in ARRAYS):
                return None
            with _ONE_AT_A_TIME:
                return Entry(
                    info,
                    train=np.load(folder / "train.npy", mmap_mode="r", allow_pickle=False),
                    train_labels=np.load(folder / "train_labels.npy", allow_pickle=False),
                    test=np.load(folder / "test.npy", mmap_mode="r", allow_pickle=False),
                    test_labels=np.load(folder / "test_labels.npy", allow_pickle=False),
                )
        except (OSError, ValueError, KeyError, TypeError, EOFError):
            return None  # the caller builds it anew

    def build(self, key: str, write: Callable[[Path], dict[str, Any]]) -> Entry:
        """Make an entry and move it to its place in one step.

        Args:
            write: writes the arrays into the folder it is given and returns the info.

        Raises:
            BadInput: the cache folder cannot be written; names it and CONDENSERY_CACHE.
        """
        with self.writing():
            (self.folder / "sets").mkdir(parents=True, exist_ok=True)
            self._sweep()
            folder = Path(tempfile.mkdtemp(prefix="tmp-", dir=self.folder))
            try:
                info = write(folder)
                info["bytes"] = {name: (folder / name).stat().st_size for name in ARRAYS}
                (folder / "info.json").write_text(json.dumps(info, indent=1))
                self._place(folder, key)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        entry = self.open(key)
        if entry is None:
            raise BadInput(
                f"the cache entry {self.folder / 'sets' / key} was removed while it was made; try again"
            )
        return entry

    def _place(self, folder: Path, key: str) -> None:
        """Move `folder` to its place; a whole entry that is already there stays, a damaged one goes."""
        target = self.folder / "sets" / key
        for _ in range(3):
            if self.open(key) is not None:
                return
            if target.exists():
                # Aside first: removing a folder takes several steps, renaming it takes one.
                aside = Path(tempfile.mkdtemp(prefix="tmp-", dir=self.folder))
                with _lost_race_is_fine():
                    os.replace(target, aside / "old")
                shutil.rmtree(aside, ignore_errors=True)
            with _lost_race_is_fine():
                os.replace(folder, target)
                return

    def _sweep(self) -> None:
        """Remove what killed processes left behind, a day later."""
        for folder in self.folder.glob("tmp-*"):
            with _lost_race_is_fine():
                if time.time() - folder.stat().st_mtime > STALE_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def replacing(self, path: Path) -> Iterator[Path]:
        """A new file that takes the place of `path`, in a folder of the cache, when the block ends. See `writing`."""
        with self.writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix="tmp-", dir=path.parent)
            os.close(handle)
            yield Path(name)
            os.replace(name, path)

    def save_array(self, path: Path, array: np.ndarray) -> None:
        """Write a .npy file in one step."""
        with self.replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turn failures of the file system into one line that names the folder."""
        try:
            yield
        except OSError as error:
            reason = (
                "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error)).lower()
            )
            raise BadInput(
                f"cannot write the cache {self.folder}: {reason}; "
                "free space there or name another folder with the environment variable CONDENSERY_CACHE"
            ) from error


@contextmanager
def _lost_race_is_fine() -> Iterator[None]:
    """Another process may have moved, placed or removed the same folder a moment ago."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
            raise
