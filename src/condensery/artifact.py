"""The file format of a synthetic set: one safetensors file that anyone can read, and nothing is ever unpickled.

Format version 2; docs/file-format.md describes it for other programs. Tensors: `images` float32 (M, C, H, W) in
normalised space, or `stored.*`, which makes them; `labels` int64 (M,); `targets` float32 (M, classes), or `views.*`,
if a network is trained towards more than classes; `whitening.*` where normalised images are whitened. Metadata: the
key `condensery` holds a JSON object with `format` (2), `spec` (see `ImageSpec.to_json`), `record`, `training`, `views`
(step and temperature of their labels) and `sha256` (hex), which covers all of these and every tensor. Files of format
1, without `training`, `views` and what they describe, are read as ever; their `sha256` covers images and labels alone.

Keys of `record`, of which none decides how a set is trained on:

method, fields, network, precision, seed  what made it; every field; precision `float32` where nothing is said
ipc                        images per class: a number, or a list with one for each class where they differ
start                      the set that it started from: `set`, its file, and `sha256` over images, classes and targets
step, steps, loss          updates made and asked for, the last loss
seconds, memory            of all sessions; most bytes held (on a GPU torch's)
data                       `source`, `options` of `load_images`, `fingerprint` (SHA-256 over pixels, labels and class
                           names), `prints` (the same of the parts `train` and `test`)
accuracies                 of evaluations; one with `data` was measured on test images of another source
labels                     who labelled it: `teacher` (network, epochs, stage, weights or size of what it sees, test
                           accuracy, bytes), `views`, `temperature`, `bits`, `seed`
time, hardware, versions, commit  where and when
indices                    of a selection: where in the training set each image is, counted from 0
files                      of an imported set; its method is `imported`
drawn                      of a set that a generator drew: its `set` and `sha256`, `ipc`, `seed`
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from condensery import schema
from condensery.disk import replacing, require_plain
from condensery.errors import BadFile, BadInput, one_line
from condensery.records import ImageSpec, SyntheticSet
from condensery.synthetic.stored import decoded
from condensery.training_recipe import own_recipe
from condensery.views import Views

FORMAT = 2
_KEY = "condensery"
_STORED, _VIEWS, _WHITENING = "stored.", "views.", "whitening."
_FOREIGN = (".pt", ".pth", ".npz", ".npy")  # endings of other programs' files, and of our own exports


def save(synthetic: SyntheticSet, path: str | Path) -> None:
    """Write `synthetic` to `path`, atomically: a crash leaves the old file or the new one, never half of one.

    Raises:
        BadInput: the path cannot be written, or the disk is full; what is stored does not make the images; the set
            wants to be trained in a way that there is not.
    """
    if synthetic.training:
        own_recipe(synthetic.training)
    if synthetic.stored and not decoded(synthetic.stored, synthetic.spec).cpu().equal(synthetic.images.cpu()):
        raise BadInput(
            "what the set stores does not make its images: take them from condensery.synthetic.decoded"
        )
    tensors = {name: tensor.detach().cpu() for name, tensor in _tensors(synthetic).items()}
    header: dict[str, Any] = {"format": FORMAT, "spec": synthetic.spec.to_json(), "record": synthetic.record}
    if synthetic.training:
        header["training"] = synthetic.training
    if isinstance(synthetic.targets, Views):
        header["views"] = {"step": synthetic.targets.step, "temperature": synthetic.targets.temperature}
    header["sha256"] = checksum(tensors, header)
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
    try:
        require_plain(path)
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror}") from error
    if path.suffix.lower() in _FOREIGN or zipfile.is_zipfile(path):
        raise BadFile(f"{path} is not a safetensors file: {_import(path)}")
    tensors, header = read_tensors(path)
    _require_known_format(path, header.get("format"))
    schema.require(path, header.get("record"), schema.RECORD, "record")
    schema.require(path, header.get("spec"), schema.SPEC, "spec")
    try:
        synthetic = _set(tensors, header)
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError, BadInput) as error:
        raise BadFile(f"{path} is not a valid synthetic set: {one_line(error)}") from error
    found = digest(synthetic) if header["format"] == 1 else checksum(tensors, header)
    if found != header.get("sha256"):
        raise BadFile(f"{path} is damaged: it is not what was saved (SHA-256 differs)")
    return synthetic


def _set(tensors: dict[str, Tensor], header: Mapping[str, Any]) -> SyntheticSet:
    """Raises KeyError, TypeError, ValueError or BadInput where something is missing or does not fit."""
    whitening = _under(_WHITENING, tensors)
    if "whitening" in header["spec"] and not whitening:
        raise BadInput("its images are whitened, but its whitening is missing")
    spec = ImageSpec.from_json(header["spec"], whitening)
    if header["format"] == 1:
        return SyntheticSet(tensors["images"], tensors["labels"], spec, header["record"])
    stored = _under(_STORED, tensors)
    views = _under(_VIEWS, tensors)
    known = (
        {"images", "labels", "targets"} | {f"{_STORED}{n}" for n in stored} | {f"{_VIEWS}{n}" for n in views}
    ) | {f"{_WHITENING}{n}" for n in whitening}
    if unknown := sorted(set(tensors) - known):
        raise BadInput(f"it has the unknown tensor {unknown[0]!r:.40}")
    if stored and "images" in tensors:
        raise BadInput("it holds images, and what is stored in place of them")
    training = header.get("training", {})
    if not isinstance(training, dict):
        raise BadInput(f"training is {training!r:.40}, not a JSON object")
    if training:
        own_recipe(training)
    targets: Tensor | Views | None = tensors.get("targets")
    if views:
        if targets is not None:
            raise BadInput("it holds targets of images, and of views")
        said = header["views"]
        targets = Views(
            step=said["step"], temperature=said["temperature"], num_classes=spec.num_classes, **views
        )
    images = decoded(stored, spec) if stored else tensors["images"]
    return SyntheticSet(images, tensors["labels"], spec, header["record"], targets, stored, training)


def _tensors(synthetic: SyntheticSet) -> dict[str, Tensor]:
    """What a file holds, by name."""
    tensors = {f"{_STORED}{name}": tensor for name, tensor in synthetic.stored.items()} or {
        "images": synthetic.images
    }
    tensors["labels"] = synthetic.labels
    if isinstance(synthetic.targets, Views):
        tensors |= {f"{_VIEWS}{name}": tensor for name, tensor in synthetic.targets.tensors.items()}
    elif synthetic.targets is not None:
        tensors["targets"] = synthetic.targets
    if synthetic.spec.whitening is not None:
        found = synthetic.spec.whitening.tensors
        tensors |= {f"{_WHITENING}{name}": tensor for name, tensor in found.items()}
    return tensors


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _require_known_format(path: Path, version: object) -> None:
    if type(version) is not int or version < 1:
        raise BadFile(f"{path} is damaged: its format version is {version!r}")
    if version > FORMAT:
        raise BadFile(
            f"{path} has format version {version}, this condensery reads up to {FORMAT}: upgrade condensery"
        )


def coverage(path: str | Path) -> tuple[str, str]:
    """The digest of a set's file, which holds, and in words what it covers.

    Raises:
        BadInput, BadFile: as `load`; also where the digest does not hold.
    """
    path = set_path(path)
    load(path)
    tensors, header = read_tensors(path)
    if header["format"] == 1:
        return header[
            "sha256"
        ], "images and labels alone: the file is of format 1, whose record could be changed"
    names = {name.partition(".")[0] for name in tensors}
    training = ", how it wants to be trained" if "training" in header else ""
    return (
        header["sha256"],
        f"all that is read from the file: {', '.join(sorted(names))}, classes, mean and std, record{training}",
    )


def set_path(path: str | Path) -> Path:
    """The file that `path`, a file or a run folder, stands for. Raises BadInput if there is none."""
    path = Path(path)
    if path.is_dir():
        if not (path / "set.safetensors").exists():
            raise BadInput(
                f"{path} holds no set.safetensors: give a finished run folder or a .safetensors file; {_import(path)}"
            )
        return path / "set.safetensors"
    if not path.exists():
        raise BadInput(f"{path} does not exist: give a run folder or a .safetensors file")
    return path


def digest(synthetic: SyntheticSet) -> str:
    """SHA-256 (hex) over the bytes of what a network is trained on: images, labels, and targets if there are any.

    It tells sets apart whatever their records say.
    """
    hashed = hashlib.sha256()
    for tensor in (synthetic.images, synthetic.labels):
        hashed.update(_bytes(tensor))
    if isinstance(synthetic.targets, Views):
        hashed.update(json.dumps([synthetic.targets.step, synthetic.targets.temperature]).encode())
        for name, tensor in sorted(synthetic.targets.tensors.items()):
            hashed.update(name.encode())
            hashed.update(_bytes(tensor))
    elif synthetic.targets is not None:
        hashed.update(_bytes(synthetic.targets))
    if synthetic.training:
        hashed.update(_canonical(synthetic.training))
    return hashed.hexdigest()


def checksum(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> str:
    """SHA-256 (hex) over all that a file of format 2 holds.

    First the header without `sha256`, as JSON in ASCII with sorted keys and without spaces; then for each tensor, in
    the order of their names: its name, a line break, its bytes.
    """
    hashed = hashlib.sha256(_canonical({key: value for key, value in header.items() if key != "sha256"}))
    for name in sorted(tensors):
        hashed.update(f"{name}\n".encode())
        hashed.update(_bytes(tensors[name]))
    return hashed.hexdigest()


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _bytes(tensor: Tensor) -> memoryview:
    """Those of a tensor on the CPU itself, not a copy."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a JSON header as safetensors, atomically.

    Raises:
        BadInput: the path cannot be written, or the disk is full.
    """
    with replacing(Path(path)) as temporary:
        save_file(
            {name: tensor.contiguous() for name, tensor in tensors.items()},
            temporary,
            {_KEY: json.dumps(header)},
        )
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())


def _import(path: Path) -> str:
    """What to do with a file of another program, of which nothing is known."""
    return f"if another program saved a set in it, condense import {path} --data X makes one like any other"


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (on the CPU) and JSON header of a file that `write_tensors` wrote. Raises BadFile otherwise."""
    try:
        require_plain(path)
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise BadFile(f"{path} is truncated, damaged or not a safetensors file: {one_line(error)}") from error
    if _KEY not in metadata:
        raise BadFile(f"{path} is a safetensors file, but condensery did not write it: {_import(path)}")
    try:
        header = json.loads(metadata[_KEY])
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{path} is damaged: its record is not JSON") from error
    if not isinstance(header, dict):
        raise BadFile(f"{path} is damaged: its record is not a JSON object")
    return tensors, header
