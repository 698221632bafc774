"""Files on disks that fill and that others share: written whole or not at all, locked, never through a link."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from condensery.errors import BadFile, BadInput, one_line

_TEMPORARY = re.compile(
    r"\.condensery-(\d+)-.*\.tmp|\..+\.(\d+)\.tmp"
)  # with the process; now, and in version 0.1
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NUMBERS = itertools.count()  # of temporary files
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new empty file beside `path` that takes its place when the block ends, or is gone again if it raises.

    Whatever is at `path`, a link too, is replaced and not followed.
    """
    name = path.parent / f".condensery-{os.getpid()}-{next(_NUMBERS)}.tmp"
    try:  # whenever a signal ends this, the file is gone
        name.unlink(missing_ok=True)  # of a killed process that had the same number
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        yield name
        os.replace(name, path)
    except (OSError, SafetensorError) as error:
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            name.unlink()


def is_leftover(path: Path) -> bool:
    """Whether the file was being written when its process was killed, or still is."""
    return _TEMPORARY.fullmatch(path.name) is not None


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed while they wrote in `folder` have left behind."""
    for path in folder.iterdir():
        found = _TEMPORARY.fullmatch(path.name)
        if found and not _is_alive(found[1] or found[2]):
            with contextlib.suppress(OSError):
                path.unlink()


def _is_alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except OSError:  # somebody else's
        return True
    return True


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically. Raises BadInput if the path cannot be written or the disk is full."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, content: Any, indent: int | None = 1) -> None:
    """Write a JSON file atomically. Raises BadInput if the path cannot be written or the disk is full."""
    write_text(path, json.dumps(content, indent=indent) + "\n")


def read_json(path: Path, fix: str) -> Any:
    """What a JSON file holds. Raises BadFile, with the `fix`, if it holds anything else or is not there."""
    try:
        return json.loads(read_plain(path).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadFile(f"{path} is damaged: {fix}") from error


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file atomically. Raises BadInput if the path cannot be written or the disk is full."""
    with replacing(Path(path)) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def append_line(path: str | Path, line: str) -> None:
    """Add a line to a text file, which is made if it is missing: the whole line, or nothing.

    An unfinished last line, such as a full disk leaves, is ended first, so that nothing is glued to it.

    Raises:
        BadInput: the file cannot be written, is a link or no file, or the disk is full.
    """
    path = Path(path)
    try:
        handle = open_no_link(path)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        size = os.fstat(handle).st_size
        unfinished = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        try:
            left = memoryview(("\n" * unfinished + line + "\n").encode("utf-8"))
            while left:
                left = left[os.write(handle, left) :]
            os.fsync(handle)
        except BaseException:
            os.ftruncate(handle, size)
            raise
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        os.close(handle)


def open_no_link(path: Path) -> int:
    """Open a plain file, which is made if it is missing, to read and to add to. Raises OSError for anything else."""
    handle = os.open(
        path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666
    )
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a file")
    return handle


@contextlib.contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Only one process at a time holds the lock file, which is gone when the block ends. The system lets go of the
    lock when its process ends, however it ends; a file that a kill leaves locks nothing.

    Raises:
        BadInput: `busy`, another process holds it; or it cannot be written.
    """
    while True:
        try:
            opened = os.fdopen(open_no_link(path), "a")
        except OSError as error:
            raise unwritable(path, error) from error
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(opened.fileno()), path.stat()):
                break
        except BlockingIOError as error:
            opened.close()
            raise BadInput(busy) from error
        except FileNotFoundError:  # the other one is done and took the file with it
            pass
        except OSError:  # a file system without locks
            break
        opened.close()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        opened.close()


def unwritable(path: Path, error: Exception) -> BadInput:
    """The one line for a file that could not be written."""
    number = getattr(error, "errno", None)
    if number in _FULL or os.strerror(errno.ENOSPC) in str(error):  # Rust's has no errno
        return BadInput(f"cannot write {path}: the disk is full; free some space or choose another place")
    if number == errno.ELOOP:
        return BadInput(
            f"cannot write {path}: it is a link, which is not followed; remove it, or choose another place"
        )
    if number == errno.ENOENT:
        return BadInput(
            f"cannot write {path}: there is no folder {path.parent}; make it, or choose another place"
        )
    if number in _READ_ONLY:
        return BadInput(
            f"cannot write {path}: {_nearest(path)} is read-only here ({os.strerror(number)}); make it writable, or "
            "choose another place"
        )
    reason = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
    return BadInput(f"cannot write {path}: {reason}; choose another place")


def _nearest(path: Path) -> Path:
    """The folder that is to be written in, as far as it exists."""
    return next((folder for folder in path.absolute().parents if folder.is_dir()), path.parent)


def read_plain(path: Path) -> bytes:
    """The content of a file. Raises OSError for a device or a pipe, which may never end, and for links to one."""
    require_plain(path)
    return path.read_bytes()


def require_plain(path: Path) -> None:
    """Raises OSError unless a file of a known length is there."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a file")
