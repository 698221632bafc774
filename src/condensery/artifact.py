"""The file format of a synthetic set: one safetensors file that anyone can read, and nothing is ever unpickled.

Format version 1. Tensors: `images` float32 (M, C, H, W) in normalised space, `labels` int64 (M,). Metadata: the
key `condensery` holds a JSON object with `format` (1), `spec` (see `ImageSpec.to_json`), `sha256` (hex, over the
bytes of images then labels) and `record` (method and all its fields, ipc, seed, data fingerprint, versions,
accuracies). To get pixels in [0, 1]: images * std + mean, per channel.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from condensery.errors import BadFile, BadInput, one_line
from condensery.records import ImageSpec, SyntheticSet

FORMAT = 1
_KEY = "condensery"


def save(synthetic: SyntheticSet, path: str | Path) -> None:
    """Write `synthetic` to `path`, atomically: a crash leaves the old file or the new one, never half of one.

    Raises:
        BadInput: the path cannot be written, or the disk is full.
    """
    tensors = {"images": synthetic.images.detach().cpu(), "labels": synthetic.labels.cpu()}
    header = {
        "format": FORMAT,
        "spec": synthetic.spec.to_json(),
        "sha256": digest(synthetic),
        "record": synthetic.record,
    }
    write_tensors(path, tensors, header)


def load(path: str | Path) -> SyntheticSet:
    """Read a synthetic set.

    Args:
        path: the file, or the run folder that holds it.

    Raises:
        BadInput: there is no such file.
        BadFile: it is truncated, damaged, foreign or from a newer version.
    """
    path = set_path(path)
    tensors, header = read_tensors(path)
    _require_known_format(path, header.get("format"))
    _require_valid_record(path, header.get("record"))
    try:
        synthetic = SyntheticSet(
            tensors["images"], tensors["labels"], ImageSpec.from_json(header["spec"]), header["record"]
        )
    except (KeyError, TypeError, ValueError, OverflowError, BadInput) as error:
        raise BadFile(f"{path} is not a valid synthetic set: {one_line(error)}") from error
    if digest(synthetic) != header.get("sha256"):
        raise BadFile(f"{path} is damaged: its images are not those that were saved (SHA-256 differs)")
    return synthetic


_Number = (int, float)
_RECORD: dict[str, Any] = {  # types of the keys that condensery itself reads; all may be missing
    **dict.fromkeys(("method", "network", "hardware", "time"), str),
    **dict.fromkeys(("ipc", "seed", "step", "steps", "memory"), int),
    "seconds": _Number,
    "loss": (*_Number, type(None)),
    "fields": dict,
    "data": dict,
    **dict.fromkeys(("accuracies", "shard", "indices"), list),
}
_ACCURACY: dict[str, Any] = {"mean": _Number, "std": _Number, "n": int, "protocol": str, "network": str}
_DATA: dict[str, Any] = {"source": str, "options": dict, "fingerprint": str}
_OPTIONS: dict[str, Any] = {
    **dict.fromkeys(("size", "channels"), int),
    "test_fraction": float,
    "classes": list,
    **dict.fromkeys(("image_column", "label_column", "train_split", "test_split"), str),
    "value_range": list,
    "skip_damaged": bool,
}


def _require_valid_record(path: Path, record: object) -> None:
    """Raises BadFile if what condensery reads of a record has not the type that it writes."""
    _require_types(path, "record", record, _RECORD)
    assert isinstance(record, dict)
    for entry in record.get("accuracies", []):
        _require_types(path, "accuracies", entry, _ACCURACY)
    for index in record.get("indices", []):
        if type(index) is not int or index < 0:
            raise BadFile(f"{path} is damaged: one of the indices in its record is {index!r:.40}")
    data = record.get("data", {})
    _require_types(path, "data", data, _DATA)
    options = data.get("options", {})
    _require_types(path, "options", options, _OPTIONS)
    if unknown := set(options) - set(_OPTIONS):
        raise BadFile(f"{path} is damaged: its data has the unknown option {sorted(unknown)[0]!r}")


def _require_types(path: Path, name: str, found: object, types: Mapping[str, Any]) -> None:
    if not isinstance(found, dict):
        raise BadFile(f"{path} is damaged: {name} is {found!r:.40}, not a JSON object")
    for key, kind in types.items():
        if key in found and (
            not isinstance(found[key], kind) or isinstance(found[key], bool) != (kind is bool)
        ):
            raise BadFile(f"{path} is damaged: {key} in its {name} is {found[key]!r:.40}")


def _require_known_format(path: Path, version: object) -> None:
    if type(version) is not int or version < 1:
        raise BadFile(f"{path} is damaged: its format version is {version!r}")
    if version > FORMAT:
        raise BadFile(
            f"{path} has format version {version}, this condensery reads up to {FORMAT}: upgrade condensery"
        )


def set_path(path: str | Path) -> Path:
    """The file that `path`, a file or a run folder, stands for. Raises BadInput if there is none."""
    path = Path(path)
    if path.is_dir():
        if not (path / "set.safetensors").exists():
            raise BadInput(
                f"{path} holds no set.safetensors: give a finished run folder or a .safetensors file"
            )
        return path / "set.safetensors"
    if not path.exists():
        raise BadInput(f"{path} does not exist: give a run folder or a .safetensors file")
    return path


def digest(synthetic: SyntheticSet) -> str:
    """SHA-256 (hex) over the bytes of the images, then of the labels."""
    images = synthetic.images.detach().cpu().contiguous().numpy()
    labels = synthetic.labels.cpu().contiguous().numpy()
    return hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a JSON header as safetensors, atomically.

    Raises:
        BadInput: the path cannot be written, or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(
            {name: tensor.contiguous() for name, tensor in tensors.items()},
            temporary,
            {_KEY: json.dumps(header)},
        )
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # safetensors makes files that only their owner can read
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically. Raises BadInput if the path cannot be written or the disk is full."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file atomically. Raises BadInput if the path cannot be written or the disk is full."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def unwritable(path: Path, error: Exception) -> BadInput:
    """The one line for a file that could not be written."""
    if getattr(error, "errno", None) == errno.ENOSPC or os.strerror(errno.ENOSPC) in str(
        error
    ):  # Rust's has no errno
        return BadInput(f"cannot write {path}: the disk is full; free some space or choose another place")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
    return BadInput(f"cannot write {path}: {reason}; choose another place")


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (on the CPU) and JSON header of a file that `write_tensors` wrote. Raises BadFile otherwise."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise BadFile(f"{path} is truncated, damaged or not a safetensors file: {one_line(error)}") from error
    if _KEY not in metadata:
        raise BadFile(
            f"{path} is a safetensors file, but condensery did not write it: it has no {_KEY!r} record"
        )
    try:
        header = json.loads(metadata[_KEY])
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{path} is damaged: its record is not JSON") from error
    if not isinstance(header, dict):
        raise BadFile(f"{path} is damaged: its record is not a JSON object")
    return tensors, header
