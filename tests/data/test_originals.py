"""Crops of training images from their files: the right file for each image, and the detail that resizing drops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from condensery import BadFile, BadInput, load_images

SIDE = 48
WHOLE = np.array([0.0, 0.0, 1.0, 1.0])


def stripes(number: int, width: int = SIDE) -> np.ndarray:
    """A picture of its own for each number: vertical stripes of one pixel on its lower half, a colour above."""
    pixels = np.full((SIDE, width, 3), (30 + 5 * number, 60, 90), np.uint8)
    pixels[SIDE // 2 :, ::2] = 255
    pixels[SIDE // 2 :, 1::2] = 0
    return pixels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for c, name in enumerate("ab"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(stripes(6 * c + i)).save(tmp_path / "set" / name / f"{i}.png")
    return tmp_path / "set"


def test_each_training_image_has_its_file(folder: Path) -> None:
    data = load_images(folder, size=16)
    originals = data.train.originals
    assert len(originals.files) == len(data.train) < 12
    boxes = np.broadcast_to(WHOLE, (len(data.train), 1, 4))
    found = originals.crops(np.arange(len(data.train)), boxes, (3, 16, 16))
    assert found.shape == (len(data.train), 1, 3, 16, 16) and found.dtype == np.uint8
    assert np.array_equal(found[:, 0].transpose(0, 2, 3, 1), data.train.pixels), (
        "a whole image is what was decoded"
    )


def test_crops_have_the_detail_of_the_file(folder: Path) -> None:
    data = load_images(folder, size=16)
    box = np.array([[[0.5, 0.0, 1 / 3, 1 / 3]]])  # 16x16 pixels of the original, all stripes
    (crop,) = data.train.originals.crops(np.array([0]), box, (3, 16, 16))[0]
    assert crop[0, :, ::2].min() > 250 and crop[0, :, 1::2].max() < 5
    assert data.train.pixels[0][8:].std() < 30, "resized, they are grey"


def test_the_central_square_of_wide_images_and_chosen_classes(tmp_path: Path) -> None:
    wide_set = tmp_path / "wide"
    for c, name in enumerate("abc"):
        (wide_set / name).mkdir(parents=True)
        for i in range(4):
            wide = np.concatenate([np.zeros((SIDE, 10, 3), np.uint8), stripes(9 * c + i)], 1)
            wide = np.concatenate([wide, np.zeros((SIDE, 10, 3), np.uint8)], 1)
            Image.fromarray(wide).save(wide_set / name / f"{i}.png")
    data = load_images(wide_set, size=SIDE, classes=["c", "a"])
    boxes = np.broadcast_to(WHOLE, (len(data.train), 1, 4))
    found = data.train.originals.crops(np.arange(len(data.train)), boxes, (3, SIDE, SIDE))
    assert np.array_equal(found[:, 0].transpose(0, 2, 3, 1), data.train.pixels)


def test_images_that_were_left_out_have_no_file(folder: Path) -> None:
    (folder / "a" / "0.png").write_bytes(b"damaged")
    data = load_images(folder, size=16, skip_damaged=True)
    files = data.train.originals.files
    assert len(files) == len(data.train) and folder / "a" / "0.png" not in files


def test_no_originals_where_images_are_as_they_lie(folder: Path, tiny_file: Path) -> None:
    assert load_images(folder).train.originals is None
    resized = load_images(tiny_file, size=16).train.originals
    assert resized.files is None, "arrays are no files of their own"
    with pytest.raises(BadInput, match="no files of their own"):
        resized.crops(np.array([0]), np.broadcast_to(WHOLE, (1, 1, 4)), (1, 8, 8))


def test_a_file_that_is_gone_is_named(folder: Path) -> None:
    data = load_images(folder, size=16)
    file = data.train.originals.files[0]
    file.unlink()
    with pytest.raises(BadFile, match=file.name):
        data.train.originals.crops(np.array([0]), np.broadcast_to(WHOLE, (1, 1, 4)), (3, 16, 16))
