"""A synthetic set in formats that other tools read, with a word on what the 8-bit ones lose."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import category, normalize

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from condensery.artifact import save
from condensery.data.files import LITTER
from condensery.disk import unwritable, write_bytes
from condensery.errors import BadInput
from condensery.export.picture import eight_bit
from condensery.records import SyntheticSet
from condensery.synthetic import with_pixels
from condensery.text import first_few, readable_bytes
from condensery.views import Views

_SPLIT_NAMES = {"train", "training", "test", "testing", "val", "valid", "validation", "eval", "dev"}
_LONGEST_NAME, _MOST_BYTES = 100, 200  # characters and bytes of a folder name; file systems allow 255 bytes
_UNSEEN = {
    "Cc",
    "Cf",
    "Cs",
    "Zl",
    "Zp",
}  # Unicode's control, format (direction marks), surrogate and line signs
_JOINERS, _UNSAFE = "\u200c\u200d", '<>:"/\\|?*'  # scripts and emoji need the former
_DEVICES = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE
)  # Windows


@dataclass(frozen=True)
class ExportResult:
    """What an export wrote.

    Attributes:
        paths: the files, or the one folder, that were written.
        lines: what a person should know about them.
    """

    paths: tuple[Path, ...]
    lines: tuple[str, ...]


def export(synthetic: SyntheticSet, format: str, out: str | Path) -> ExportResult:
    """Write `synthetic` to `out`, atomically.

    Args:
        synthetic: the set.
        format: a name in `FORMATS`: "npz" and "pt" keep every bit; "parquet" and "png" hold 8-bit pixels, and so does
            "safetensors", a file as `condensery.save` writes it.
        out: a new file (npz, pt, safetensors, or a name ending in .parquet), otherwise a new or empty folder. A missing
            ending .npz, .pt or .safetensors is added.

    Raises:
        BadInput: unknown format, another ending than .npz or .pt, `out` exists or cannot be written, the disk
            is full.
    """
    if format not in FORMATS:
        raise BadInput(f"unknown format {format!r}; choose one of {', '.join(FORMATS)}")
    return FORMATS[format](synthetic, Path(out))


def _npz(synthetic: SyntheticSet, out: Path) -> ExportResult:
    out, buffer = _with_ending(out, ".npz"), io.BytesIO()
    arrays = {k: v.numpy() if isinstance(v, Tensor) else np.array(v) for k, v in _content(synthetic).items()}
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    _write_file(out, buffer.getvalue())
    return ExportResult((out,), (f"{out}: {_exact(synthetic)} as numpy arrays", *_views_held(synthetic)))


def _pt(synthetic: SyntheticSet, out: Path) -> ExportResult:
    out, buffer = _with_ending(out, ".pt"), io.BytesIO()
    torch.save(_content(synthetic), buffer)
    _write_file(out, buffer.getvalue())
    line = f"{out}: {_exact(synthetic)}; read it with torch.load(path, weights_only=True)"
    return ExportResult((out,), (line, *_views_held(synthetic)))


def _safetensors(synthetic: SyntheticSet, out: Path) -> ExportResult:
    out, compact = _with_ending(out, ".safetensors"), with_pixels(synthetic)
    _require_new(out)
    _make_parents(out)
    save(compact, out)
    off = float((compact.images - synthetic.images.detach().cpu()).abs().max())
    how = "as 8-bit pixels" if compact is not synthetic else "as in the set"
    sizes = f"{readable_bytes(compact.bytes)} in place of {readable_bytes(synthetic.bytes)}"
    line = f"{out}: {len(compact)} images stored {how}, off by {off:.2g} at most in normalised space; {sizes}"
    return ExportResult((out,), (line,))


def _exact(synthetic: SyntheticSet) -> str:
    whitening = synthetic.spec.whitening
    how = (
        "images * std + mean"
        if whitening is None
        else f"(images @ inverse({_MATRIX}) + {_MEAN}) * std + mean"
    )
    return f"{len(synthetic)} images, every bit kept, normalised (pixels in [0, 1] are {how})"


_MEAN, _MATRIX = "whitening.mean", "whitening.matrix"  # of flattened images (C, H, W)


def _content(synthetic: SyntheticSet) -> dict[str, Any]:
    """Every bit of a set; views by the names of their tensors in its own file (docs/file-format.md)."""
    content: dict[str, Any] = {
        "images": synthetic.images.detach().cpu().clone(),  # float32 (M, C, H, W), normalised
        "labels": synthetic.labels.cpu().clone(),
        "class_names": list(synthetic.spec.class_names),
        "mean": list(synthetic.spec.mean),
        "std": list(synthetic.spec.std),
        "record": json.dumps(synthetic.record),
    }
    if isinstance(synthetic.targets, Tensor):
        content["targets"] = synthetic.targets.detach().cpu().clone()  # float32 (M, classes)
    if isinstance(synthetic.targets, Views):
        views = synthetic.targets
        content |= {f"views.{name}": tensor.cpu().clone() for name, tensor in views.tensors.items()}
        content |= {"views.step": views.step, "views.temperature": views.temperature}
    if synthetic.training:
        content["training"] = json.dumps(synthetic.training)
    if (whitening := synthetic.spec.whitening) is not None:
        content |= {"whitening": whitening.kind, _MEAN: whitening.mean, _MATRIX: whitening.matrix}
    return content


def _views_held(synthetic: SyntheticSet) -> list[str]:
    if not isinstance(synthetic.targets, Views):
        return []
    return [
        f"views.* are {synthetic.targets.per_image} views of each image with their labels; docs/file-format.md says "
        "how to make them, and condensery.load(...).dataset() hands them out"
    ]


def _parquet(synthetic: SyntheticSet, out: Path) -> ExportResult:
    import datasets  # heavy, and needed here only
    import pyarrow
    import pyarrow.parquet

    names = distinct(synthetic.spec.class_names)
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})
    encoded = [{"bytes": _png_bytes(pixels), "path": None} for pixels in eight_bit(synthetic)]
    columns = {"image": encoded, "label": synthetic.labels.tolist()}
    # The schema carries the features, as `Dataset.to_parquet` would write them, without its progress bars.
    table = pyarrow.Table.from_pydict(columns, schema=features.arrow_schema)
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    if out.suffix == ".parquet":
        _write_file(out, buffer.getvalue())
    else:
        shard = Path("data") / "train-00000-of-00001.parquet"
        _write_folder(out, {shard: buffer.getvalue()})
    line = f"{out}: {len(synthetic)} images in the Hugging Face layout, for datasets.load_dataset"
    lines = [line, *_renamed(synthetic.spec.class_names, names, "are there twice")]
    return ExportResult((out,), (*lines, *_losses(synthetic)))


def _png(synthetic: SyntheticSet, out: Path) -> ExportResult:
    folders = class_folders(synthetic.spec.class_names)
    # A class called "train" at the top would be taken for the training part.
    top = Path("train") if _SPLIT_NAMES & {name.casefold() for name in folders} else Path()
    files: dict[Path, bytes] = {}
    counts = [0] * len(folders)
    for pixels, label in zip(eight_bit(synthetic), synthetic.labels.tolist(), strict=True):
        files[top / folders[label] / f"{counts[label]:05d}.png"] = _png_bytes(pixels)
        counts[label] += 1
    _write_folder(out, files)
    lines = [f"{out}: {len(synthetic)} PNG files, a folder for each of {len(folders)} classes"]
    lines += _renamed(synthetic.spec.class_names, folders, "do not suit a folder")
    if sorted(folders) != folders:
        lines.append(
            "Readers number classes by the alphabet of their folders, which is not the order of the labels"
        )
    return ExportResult((out,), (*lines, *_losses(synthetic)))


FORMATS: dict[str, Callable[[SyntheticSet, Path], ExportResult]] = {
    "npz": _npz,
    "pt": _pt,
    "safetensors": _safetensors,
    "parquet": _parquet,
    "png": _png,
}


def _renamed(names: Sequence[str], written: Sequence[str], why: str) -> list[str]:
    """A line about names that are written otherwise, if there are any."""
    changed = [f"{a!r} -> {b!r}" for a, b in zip(names, written, strict=True) if a != b]
    return [f"{len(changed)} class names {why} and were changed: {first_few(changed)}"] if changed else []


def distinct(names: Sequence[str]) -> list[str]:
    """The names of classes, which a column of the Hugging Face layout tells apart by them: all different."""
    found: list[str] = []
    for c, name in enumerate(names):
        own = name
        while own in found or (own != name and own in names):
            own = f"{own}_{c}"
        found.append(own)
    return found


def class_folders(names: tuple[str, ...]) -> list[str]:
    """Folder names for classes: safe on any file system, not hidden, all different even where case is ignored."""
    folders: list[str] = []
    taken: set[str] = set()
    for c, name in enumerate(names):
        safe = "".join("_" if _is_unsafe(sign) else sign for sign in name)
        safe = safe[:_LONGEST_NAME].encode()[:_MOST_BYTES].decode(errors="ignore").strip().rstrip(". ")
        if not safe or safe.startswith(".") or safe.casefold() in LITTER:  # readers of folders skip these
            safe = f"_{safe.lstrip('.')}"
        if _DEVICES.fullmatch(safe):
            safe = f"_{safe}"
        if _alike(safe) in taken:
            safe = f"{safe}_{c}"
        while _alike(safe) in taken:
            safe += "_"
        taken.add(_alike(safe))
        folders.append(safe)
    return folders


def _is_unsafe(sign: str) -> bool:
    return sign in _UNSAFE or (category(sign) in _UNSEEN and sign not in _JOINERS)


def _alike(name: str) -> str:
    """What names have in common that a file system may take for one: case, and how accents are composed."""
    return normalize("NFC", normalize("NFC", name).casefold())


def _losses(synthetic: SyntheticSet) -> list[str]:
    """What 8-bit pixels and classes as labels lose, in words."""
    spec = synthetic.spec
    values = spec.denormalise(synthetic.images.detach().cpu()).permute(0, 2, 3, 1).numpy()
    outside = (values < 0) | (values > 1)
    clipped = np.abs(values - values.clip(0, 1)).max()
    rounding = np.abs(values - eight_bit(synthetic) / 255)[~outside]
    mean, most = (float(rounding.mean()), float(rounding.max())) if rounding.size else (0.0, 0.0)
    own = synthetic.targets is not None or synthetic.training
    return [
        *(["Labels are the classes: the set's own targets and way of training are left out"] if own else []),
        f"8-bit pixels lose: {100 * outside.mean():.1f} % of the values lay outside [0, 1] and were clipped, by up to "
        f"{clipped:.2g}; the others were rounded, by {mean:.2g} on average and {most:.2g} at most",
        "Train on the .npz or .pt export for the evaluated accuracy",
    ]


def _png_bytes(pixels: np.ndarray) -> bytes:
    """uint8 (H, W, C) -> a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _with_ending(out: Path, ending: str) -> Path:
    """`out` with the ending if it has none; BadInput if it has another, which would belie the content."""
    if out.suffix and out.suffix.lower() != ending:
        raise BadInput(f"--format {ending[1:]} writes a file that ends in {ending}, not {out}")
    return out if out.suffix else out.with_name(out.name + ending)


def _write_file(out: Path, content: bytes) -> None:
    _require_new(out)
    _make_parents(out)
    write_bytes(out, content)


def _require_new(out: Path) -> None:
    if out.exists() or out.is_symlink():
        raise BadInput(f"{out} exists already: choose another --out, or remove it first")


def _write_folder(out: Path, files: dict[Path, bytes]) -> None:
    """Write all files into a folder beside `out`, then rename it: `out` is whole or not there."""
    if out.is_symlink() or out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise BadInput(f"{out} exists already: choose another --out, or an empty folder")
    _make_parents(out)
    temporary = out.with_name(f".export.{os.getpid()}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        for name, content in files.items():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(temporary / name, content)
        os.replace(temporary, out)
    except OSError as error:
        raise unwritable(out, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _make_parents(out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(out, error) from error
