"""The bundled digits and .npz files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import noise

from condensery.data import KNOWN_SETS, load
from condensery.errors import BadFile, BadInput

LABELS = np.array([0, 0, 0, 1, 1, 1])
COLOUR = np.stack([noise(i) for i in range(6)])
GREY = np.stack([noise(i, channels=1) for i in range(6)])


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_digits() -> None:
    data = load("digits")
    known = KNOWN_SETS["digits"]
    assert data.spec.name == "digits" and not data.spec.flip
    assert data.spec.class_names == tuple("0123456789")
    assert (len(data.train), len(data.test)) == (known.train_count, 1797 - known.train_count)
    assert data.train.pixels.max() == 255 and data.train.pixels.min() == 0
    scaled = data.train.pixels / 255
    assert abs(scaled.mean() - known.mean[0]) < 1e-4 and abs(scaled.std() - known.std[0]) < 1e-4
    share = np.bincount(data.test.labels) / (np.bincount(data.train.labels) + np.bincount(data.test.labels))
    assert (abs(share - 0.2) < 0.005).all()


def test_digits_of_another_size_are_still_not_mirrored() -> None:
    data = load("digits", size=16)
    assert data.spec.shape == (1, 16, 16) and data.spec.name == "custom" and not data.spec.flip


@pytest.mark.parametrize(
    "keys",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("X_train", "y_train", "X_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
    ],
)
def test_npz_with_test_part(tmp_path: Path, keys: tuple[str, ...]) -> None:
    values = (COLOUR, LABELS, COLOUR[:2] // 2, LABELS[2:4])
    data = load(save(tmp_path / "set.npz", **dict(zip(keys, values, strict=True))))
    np.testing.assert_array_equal(data.train.pixels, COLOUR)
    np.testing.assert_array_equal(data.test.pixels, COLOUR[:2] // 2)
    assert data.test.labels.tolist() == [0, 1]


@pytest.mark.parametrize("keys", [("images", "labels"), ("X", "y"), ("x_train", "y_train")])
def test_npz_without_test_part_is_split(tmp_path: Path, keys: tuple[str, str]) -> None:
    data = load(save(tmp_path / "set.npz", **{keys[0]: COLOUR, keys[1]: LABELS}), test_fraction=0.34)
    assert (len(data.train), len(data.test)) == (4, 2)


@pytest.mark.parametrize(
    "images",
    [
        COLOUR,
        COLOUR.transpose(0, 3, 1, 2),
        COLOUR / 255.0,
        (COLOUR / 255.0).astype("f4"),
        COLOUR.astype("i8"),
    ],
    ids=["NHWC", "NCHW", "unit float64", "unit float32", "int64"],
)
def test_npz_layouts_and_types(tmp_path: Path, images: np.ndarray) -> None:
    part = {"x_test": images, "y_test": LABELS}
    data = load(save(tmp_path / "set.npz", x_train=images, y_train=LABELS, **part))
    np.testing.assert_array_equal(data.train.pixels, COLOUR)


@pytest.mark.parametrize("images", [GREY, GREY[:, None], GREY[..., None], GREY.astype(float)])
def test_npz_grey(tmp_path: Path, images: np.ndarray) -> None:
    data = load(save(tmp_path / "set.npz", x_train=images, y_train=LABELS, x_test=images, y_test=LABELS))
    np.testing.assert_array_equal(data.train.pixels[..., 0], GREY)


def test_npz_labels_of_any_numbers_and_texts(tmp_path: Path) -> None:
    numbers = load(save(tmp_path / "n.npz", images=COLOUR, labels=np.where(LABELS, 40, 7)))
    assert numbers.spec.class_names == ("7", "40")
    texts = load(save(tmp_path / "t.npz", images=COLOUR, labels=np.where(LABELS, "cat", "dog")))
    assert texts.spec.class_names == ("cat", "dog")
    assert sorted(texts.train.labels.tolist()) == [0, 0, 1, 1]
    column = load(save(tmp_path / "c.npz", images=COLOUR, labels=LABELS[:, None]))
    assert column.spec.class_names == ("0", "1")


def test_npz_class_names(tmp_path: Path) -> None:
    path = save(tmp_path / "set.npz", images=COLOUR, labels=LABELS, class_names=np.array(["zebra", "ant"]))
    assert load(path).spec.class_names == ("zebra", "ant")


BROKEN_PIXELS = COLOUR / 255.0
BROKEN_PIXELS[3, 2, 2, 1] = np.nan


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": BROKEN_PIXELS, "labels": LABELS}, "training image 3 .*not finite"),
        ({"images": COLOUR * 2.0, "labels": LABELS}, r"values from 0 to 5\d\d; expected \[0, 1\]"),
        ({"images": COLOUR / 100.0, "labels": LABELS}, "not all whole"),
        ({"images": COLOUR.astype(int) - 1, "labels": LABELS}, "values from -1"),
        ({"images": COLOUR, "labels": LABELS - 1}, "training image 0 .* negative label -1"),
        ({"images": COLOUR, "labels": LABELS[:4]}, "6 training images but 4 labels"),
        ({"images": COLOUR, "labels": LABELS * 0}, "single class '0'"),
        ({"images": COLOUR, "labels": np.eye(2)[LABELS] * 0.5}, r"labels .* have shape \(6, 2\)"),
        ({"images": COLOUR, "labels": np.eye(2)[LABELS] * 0 + 1}, "multi-label: image 0 has 2 classes"),
        ({"images": COLOUR, "labels": LABELS + 0.5}, "expected whole numbers or text"),
        ({"images": COLOUR.reshape(6, -1), "labels": LABELS}, r"have shape \(6, 192\)"),
        ({"images": COLOUR[:0], "labels": LABELS[:0]}, "no training image"),
        ({"images": COLOUR[:, :4], "labels": LABELS}, "is 8x4; at least 8x8"),
        ({"pictures": COLOUR, "labels": LABELS}, "found: pictures, labels"),
        (
            {"images": COLOUR, "labels": LABELS, "class_names": np.array(["a"])},
            "has label 1, which is none of",
        ),
        (
            {"images": COLOUR, "labels": LABELS, "class_names": np.array(["a", "b", "c"])}
            | {"x_test": COLOUR[:1], "y_test": [2]},
            "class 'c' .* has 1 test images but no training image",
        ),
        (
            {"images": COLOUR, "labels": LABELS, "x_test": COLOUR[:1], "y_test": [5]},
            "test image 0 .* has label 5",
        ),
        (
            {"images": COLOUR, "labels": LABELS, "x_test": COLOUR[:1], "y_test": ["a"]},
            "test labels .* are <U1",
        ),
        ({"images": np.full((6, 8, 8), "x"), "labels": LABELS}, "expected numbers"),
        (
            {"images": COLOUR * 0, "labels": LABELS},
            r"all training images of .*set\.npz are the same plain area",
        ),
        ({"images": COLOUR * [1, 0, 1], "labels": LABELS}, r"the green channel of .*set\.npz has the same"),
    ],
)
def test_npz_that_does_not_fit_together(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        load(save(tmp_path / "set.npz", **arrays))
    assert "\n" not in str(caught.value)


def test_npz_with_python_objects_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "set.npz", images=COLOUR, labels=np.array([{}] * 6, dtype=object))
    with pytest.raises(BadFile, match="object arrays are not read"):
        load(path)


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "npy"])
def test_damaged_npz_is_named(tmp_path: Path, damage: str) -> None:
    path = save(tmp_path / "set.npz", images=COLOUR, labels=LABELS)
    if damage == "npy":
        with path.open("wb") as file:
            np.save(file, COLOUR)
    else:
        good = path.read_bytes()
        path.write_bytes({"empty": b"", "cut": good[: len(good) // 2], "text": b"hello, not a zip"}[damage])
    with pytest.raises(BadFile, match=r"set\.npz") as caught:
        load(path)
    said = {"npy": "holds a single array; save"}.get(damage, "is no .npz file, or was cut off; save")
    assert said in str(caught.value) and "pickle" not in str(caught.value) and "\n" not in str(caught.value)


def test_images_of_one_colour_are_not_cached(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(BadInput, match="same plain area"):
        load(save(tmp_path / "set.npz", images=COLOUR * 0 + 7, labels=LABELS))
    assert [path for path in cache.rglob("*") if path.is_file()] == []
