"""Makes image sets as people have them. Classes cat, dog and emu are red, green and blue, or dark to bright in grey.

So a label that went to the wrong class shows in the pixels: `classes_seen` says which class each image shows.
"""

from __future__ import annotations

import gzip
import io
import pickle
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet
from PIL import Image

NAMES = ("cat", "dog", "emu")


def picture(c: int, i: int, size: int = 8) -> np.ndarray:
    """Image `i` of class `c`: uint8 (size, size, 3), different for each pair."""
    pixels = np.random.default_rng(1000 * c + i).integers(0, 60, (size, size, 3))
    pixels[..., c] += 150
    return pixels.astype(np.uint8)


def grey(c: int, i: int, size: int = 8) -> np.ndarray:
    """The same in grey: uint8 (size, size), values from 0 to 199."""
    pixels = np.random.default_rng(1000 * c + i).integers(0, 40, (size, size)) + 80 * c
    pixels.flat[c] = 199
    return pixels.astype(np.uint8)


def classes_seen(pixels: np.ndarray) -> list[int]:
    """Which class each image of (N, H, W, C) shows."""
    means = pixels.astype(float).mean(axis=(1, 2))
    if pixels.shape[3] == 3:
        return means.argmax(axis=1).tolist()
    return np.abs(means - np.array([[20, 100, 180]]) * 255 / max(255, pixels.max())).argmin(axis=1).tolist()


def save(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def folders(
    root: Path, count: int = 3, start: int = 0, names: Iterable[str] = NAMES, below: str = ""
) -> Path:
    """`count` images in each of the class folders cat, dog and emu, or as they are called in `names`."""
    for c, name in enumerate(names):
        for i in range(count):
            save(root / name / below / f"{name}_{i}.png", picture(c, start + i))
    return root


def flat(root: Path, count: int = 6, start: int = 50, stem: str = "img_") -> list[str]:
    """`count` images in turn of the three classes in one folder; returns their names."""
    return [save(root / f"{stem}{k}.png", picture(k % 3, start + k)).name for k in range(count)]


def arrays(count: int, start: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (3 * count, 8, 8, 3) and labels (3 * count,), class after class."""
    images = np.stack([picture(c, start + i) for c in range(3) for i in range(count)])
    return images, np.repeat(np.arange(3), count)


def npz(path: Path, **values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **values)
    return path


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def rows(count: int, start: int = 0, names: Sequence[str] | None = NAMES, **columns: Any) -> datasets.Dataset:
    """A table of images with labels, `names` in the order of the labels; None for text instead of numbers."""
    images, labels = arrays(count, start)
    features = {"image": datasets.Image()}
    if names is None:
        values: list[Any] = [NAMES[c] for c in labels]
        features["label"] = datasets.Value("string")
    else:
        values = [list(names).index(NAMES[c]) for c in labels]
        features["label"] = datasets.ClassLabel(names=list(names))
    cells = [{"bytes": png(image), "path": None} for image in images]
    return datasets.Dataset.from_dict({"image": cells, "label": values}, features=datasets.Features(features))


def parquet(path: Path, columns: Mapping[str, Any], metadata: Mapping[bytes, bytes] | None = None) -> Path:
    """Plain columns, without anything that the `datasets` library notes beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(dict(columns))
    pyarrow.parquet.write_table(table.replace_schema_metadata(dict(metadata or {})), path)
    return path


def cells(count: int, start: int = 0) -> pa.Array:
    """An image column as a struct of bytes and path."""
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    return pa.array([{"bytes": png(image), "path": None} for image in arrays(count, start)[0]], kind)


def idx(root: Path, end: str = "", wrap: Callable[[bytes], bytes] = bytes, **prefixes: str) -> Path:
    """MNIST's four files with 4 training and 2 test images of each class."""
    for part, count, start in (("train", 4, 0), ("t10k", 2, 20)):
        images = np.stack([grey(c, start + i, 28) for i in range(count) for c in range(3)])
        labels = np.tile(np.arange(3, dtype=np.uint8), count)
        write(
            root / f"{part}-images-idx3-ubyte{end}",
            wrap(struct.pack(">IIII", 2051, *images.shape) + images.tobytes()),
        )
        write(
            root / f"{part}-labels-idx1-ubyte{end}",
            wrap(struct.pack(">II", 2049, len(labels)) + labels.tobytes()),
        )
    return root


def idx_gz(root: Path) -> Path:
    return idx(root, ".gz", gzip.compress)


def cifar_rows(count: int, start: int = 0) -> tuple[np.ndarray, list[int]]:
    """Rows uint8 (3 * count, 3072), channel by channel, and labels in turn."""
    images = [picture(c, start + i, 32) for i in range(count) for c in range(3)]
    return np.stack([image.transpose(2, 0, 1).reshape(-1) for image in images]), [0, 1, 2] * count


def cifar10(root: Path, protocol: int = 2, batches: Sequence[int] = (1, 2), labels: Any = None) -> Path:
    for batch in (*batches, 0):
        data, own = cifar_rows(2, 10 * batch)
        values = {b"batch_label": b"x", b"labels": own if labels is None else labels, b"data": data}
        name = f"data_batch_{batch}" if batch else "test_batch"
        write(root / name, pickle.dumps(values, protocol))
    write(root / "batches.meta", pickle.dumps({b"label_names": [name.encode() for name in NAMES]}, protocol))
    return root


def cifar100(root: Path) -> Path:
    for part, count, start in (("train", 3, 0), ("test", 2, 20)):
        data, labels = cifar_rows(count, start)
        values = {b"fine_labels": labels, b"coarse_labels": [min(c, 1) for c in labels], b"data": data}
        write(root / part, pickle.dumps(values, 2))
    fine = [name.encode() for name in NAMES]
    write(
        root / "meta", pickle.dumps({b"fine_label_names": fine, b"coarse_label_names": [b"red", b"other"]}, 2)
    )
    return root


def cifar10_binary(root: Path) -> Path:
    for name, start in (("data_batch_1.bin", 10), ("data_batch_2.bin", 20), ("test_batch.bin", 30)):
        data, labels = cifar_rows(2, start)
        write(root / name, np.concatenate([np.array(labels, np.uint8)[:, None], data], 1).tobytes())
    write(root / "batches.meta.txt", "\n".join(NAMES) + "\n\n")
    return root


def svhn(root: Path) -> Path:
    import scipy.io

    root.mkdir(parents=True, exist_ok=True)
    for part, count, start in (("train", 4, 0), ("test", 2, 20)):
        images = np.stack([picture(c, start + i, 32) for i in range(count) for c in range(3)], -1)
        labels = np.array([10, 1, 2] * count, np.uint8)[:, None]
        scipy.io.savemat(root / f"{part}_32x32.mat", {"X": images, "y": labels})
    return root


def libsvm_text(count: int, start: int = 0) -> str:
    """USPS: labels from 1, values from -1 to 1, of 8x8 pixels."""
    lines = []
    for i in range(count):
        for c in range(3):
            values = grey(c, start + i).reshape(-1) / 127.5 - 1
            lines.append(f"{c + 1} " + " ".join(f"{k + 1}:{v:.4f}" for k, v in enumerate(values)))
    return "\n".join(lines) + "\n"


def imagenet_npz(root: Path, batches: Sequence[int] = (1, 2)) -> Path:
    for batch in (*batches, 0):
        images = [picture(c, 10 * batch + i, 16) for i in range(2) for c in range(3)]
        data = np.stack([image.transpose(2, 0, 1).reshape(-1) for image in images])
        name = f"train_data_batch_{batch}" if batch else "val_data"
        npz(root / f"{name}.npz", data=data, labels=np.array([1, 2, 3] * 2), mean=data.mean(0))
    return root
