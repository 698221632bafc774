"""Image sets as arrays: .npz files and the bundled digits."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from condensery.data.folder import Found, content, identity
from condensery.data.listing import Item, Listing, Origin, make_listing
from condensery.data.store import BLOCK_BYTES
from condensery.errors import BadFile, BadInput, one_line

TRAIN_KEYS = (
    ("images", "labels"),
    ("x_train", "y_train"),
    ("train_images", "train_labels"),
    ("x", "y"),
    ("data", "labels"),
    ("data", "targets"),
)
TEST_KEYS = (("x_test", "y_test"), ("test_images", "test_labels"))


def digits_origin(test_fraction: float) -> Origin:
    """The 1,797 digits of 8x8 pixels that come with scikit-learn."""

    def listing() -> Listing:
        from sklearn.datasets import load_digits

        bunch: Any = load_digits()
        pixels = np.round(bunch.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8), values were 0..16
        items = (Item(f"digit {i}", image) for i, image in enumerate(pixels))
        names = tuple(str(name) for name in range(10))
        return make_listing(
            bunch.target.astype(np.int64), None, names, lambda: items, test_fraction, "digits"
        )

    return Origin(identity=("digits",), content=lambda: "digits", listing=listing)


def npz_origin(file: Found, test_fraction: float) -> Origin:
    """A .npz file with images and labels."""
    return Origin(
        identity=(str(file.path), identity([file])),
        content=lambda: content([file]),
        listing=lambda: _listing(file.path, test_fraction),
    )


def _listing(path: Path, test_fraction: float) -> Listing:
    arrays = _read(path)
    train = _pick(arrays, TRAIN_KEYS)
    if train is None:
        raise BadInput(
            f"{path} holds no images with labels; expected the keys images and labels, or x_train and "
            f"y_train (also x_test, y_test), found: {', '.join(arrays) or 'nothing'}"
        )
    test = _pick(arrays, TEST_KEYS)
    parts = {"training": train} | ({"test": test} if test else {})
    pixels = _pixels({part: arrays[keys[0]] for part, keys in parts.items()}, path)
    labels = {part: _labels(arrays[keys[1]], part, path) for part, keys in parts.items()}
    for part in parts:
        if len(pixels[part]) != len(labels[part]):
            raise BadInput(f"{path} has {len(pixels[part])} {part} images but {len(labels[part])} labels")
    names = _names(arrays.get("class_names"), labels["training"], path)

    def items() -> Iterator[Item]:
        for part, images in pixels.items():
            for i, image in enumerate(images):
                yield Item(f"{part} image {i} of {path}", image)

    return make_listing(labels["training"], labels.get("test"), names, items, test_fraction, str(path))


def _read(path: Path) -> dict[str, np.ndarray]:
    """All arrays, keys in lower case. BadFile if it is no .npz file or holds Python objects."""
    try:
        with path.open("rb") as file:
            _require_zip(file, path)
            archive: Any = np.load(file, allow_pickle=False)
            return {key.lower(): archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        hint = (
            "object arrays are not read, save numbers or text"
            if "Object arrays" in str(error)
            else one_line(error)
        )
        raise BadFile(f"cannot read {path}: {hint}") from error


def _require_zip(file: BinaryIO, path: Path) -> None:
    """BadFile unless `file`, at its start, is a zip archive, as every .npz is."""
    is_zip = zipfile.is_zipfile(file)
    file.seek(0)
    if is_zip:
        return
    magic = np.lib.format.MAGIC_PREFIX
    what = "holds a single array" if file.read(len(magic)) == magic else "is no .npz file, or was cut off"
    raise BadFile(f"{path} {what}; save images and labels with numpy.savez")


def _pick(arrays: dict[str, np.ndarray], keys: tuple[tuple[str, str], ...]) -> tuple[str, str] | None:
    return next((pair for pair in keys if pair[0] in arrays and pair[1] in arrays), None)


def _labels(labels: np.ndarray, part: str, path: Path) -> np.ndarray:
    """Labels -> (N,) of whole numbers or text."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise BadInput(
            f"{part} labels of {path} have shape {labels.shape}; expected one number or text per image"
        )
    if labels.dtype.kind == "U":
        return labels
    if labels.dtype.kind == "S":
        return np.char.decode(labels, "utf-8", "replace")
    if labels.dtype.kind == "f" and bool((np.isfinite(labels) & (labels == np.round(labels))).all()):
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iub":
        raise BadInput(f"{part} labels of {path} are {labels.dtype}; expected whole numbers or text")
    labels = labels.astype(np.int64)
    if len(labels) and labels.min() < 0:
        first = int(np.argmax(labels < 0))
        raise BadInput(f"{part} image {first} of {path} has the negative label {labels[first]}")
    return labels


def _names(names: np.ndarray | None, labels: np.ndarray, path: Path) -> tuple[str, ...] | None:
    """The class names if the file has them; then labels are indices into them."""
    if names is None or labels.dtype.kind == "U":
        return None
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise BadInput(f"class_names of {path} must be a list of texts, not {names.dtype} {names.shape}")
    if names.dtype.kind == "S":
        names = np.char.decode(names, "utf-8", "replace")
    return tuple(str(name) for name in names)


def _pixels(parts: dict[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    """Images of each part -> uint8 (N, H, W) or (N, H, W, C); all parts are scaled alike."""
    parts = {part: _channels_last(images, part, path) for part, images in parts.items()}
    ranges = {part: _range(images, part, path) for part, images in parts.items()}
    scales: dict[str, int] = {}
    for part, images in parts.items():
        low, high, whole = ranges[part]
        is_unit = images.dtype.kind == "b" or (images.dtype.kind == "f" and 0 <= low and high <= 1)
        if not is_unit and not (whole and 0 <= low and high <= 255):
            raise BadInput(
                f"{part} images of {path} hold values from {low:g} to {high:g}"
                f"{'' if whole else ', not all whole'}; expected [0, 1], or whole numbers from 0 to 255"
            )
        scales[part] = 255 if is_unit else 1
    if len(set(scales.values())) > 1 and len({images.dtype.kind for images in parts.values()}) == 1:
        raise BadInput(f"training images of {path} are scaled otherwise than its test images: {ranges}")
    return {part: _to_uint8(images, scales[part]) for part, images in parts.items()}


def _channels_last(images: np.ndarray, part: str, path: Path) -> np.ndarray:
    """Also (N, C, H, W) -> (N, H, W) or (N, H, W, C). Sides are 8 or more, so it is clear which axis is C."""
    if images.ndim == 3:
        return images
    if images.ndim == 4 and images.shape[1] in (1, 3, 4) and images.shape[1] < min(8, *images.shape[2:]):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim != 4 or images.shape[3] not in (1, 3, 4):
        raise BadInput(
            f"{part} images of {path} have shape {images.shape}; "
            "expected (N, H, W), (N, H, W, C) or (N, C, H, W)"
        )
    return images[:, :, :, 0] if images.shape[3] == 1 else images


def _range(images: np.ndarray, part: str, path: Path) -> tuple[float, float, bool]:
    """Lowest value, highest value, and whether all are whole numbers. BadInput for NaN and infinity."""
    if images.dtype.kind not in "biuf":
        raise BadInput(f"{part} images of {path} are {images.dtype}; expected numbers")
    if images.size == 0:
        raise BadInput(f"{path} holds no {part} image: the array has shape {images.shape}")
    if images.dtype.kind != "f":
        return float(images.min()), float(images.max()), True
    low, high, whole = np.inf, -np.inf, True
    for start, block in _blocks(images):
        if not np.isfinite(block).all():
            bad = start + int(np.argmin(np.isfinite(block).reshape(len(block), -1).all(axis=1)))
            raise BadInput(f"{part} image {bad} of {path} holds values that are not finite (NaN or infinity)")
        low, high = min(low, float(block.min())), max(high, float(block.max()))
        whole = whole and bool((block == np.round(block)).all())
    return low, high, whole


def _to_uint8(images: np.ndarray, scale: int) -> np.ndarray:
    if images.dtype == np.uint8:
        return images
    pixels = np.empty(images.shape, dtype=np.uint8)
    for start, block in _blocks(images):
        pixels[start : start + len(block)] = np.round(block.astype(np.float64) * scale)
    return pixels


def _blocks(images: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    step = max(1, BLOCK_BYTES // max(1, images[0].nbytes))
    for start in range(0, len(images), step):
        yield start, images[start : start + step]
