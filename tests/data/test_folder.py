"""Folders of images: layouts, kinds of images, and everything that can be wrong with them."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from pictures import noise, png, write_images
from PIL import Image

from condensery.data import load
from condensery.data.files import File, Tree
from condensery.data.formats import read_tree
from condensery.data.options import Options
from condensery.errors import BadFile, BadInput


def two_classes(root: Path, first: Image.Image, second: Image.Image, suffix: str = "png") -> Path:
    """A set whose class a holds copies of `first` and class b copies of `second`."""
    for name, image in (("a", first), ("b", second)):
        for part in ("train", "test"):
            (root / part / name).mkdir(parents=True)
            image.save(root / part / name / f"0.{suffix}")
    return root


def test_train_and_test_folders_give_the_pixels_that_were_written(photos: Path) -> None:
    data = load(photos)
    assert data.spec.class_names == ("cat", "dog")
    assert data.spec.shape == (3, 8, 8)
    assert data.train.labels.tolist() == [0] * 4 + [1] * 3
    assert data.test.labels.tolist() == [0] * 2 + [1]
    expected = [noise(i) for i in range(4)] + [noise(100 + i) for i in range(3)]
    np.testing.assert_array_equal(data.train.pixels, np.stack(expected))
    assert not data.train.pixels.flags.writeable
    assert isinstance(data.train.pixels, np.memmap)
    assert data.source == str(photos)
    assert data.spec.name == "custom" and data.spec.flip


def test_mean_and_std_are_those_of_the_training_part(photos: Path) -> None:
    data = load(photos)
    scaled = data.train.pixels.astype(np.float64) / 255
    np.testing.assert_allclose(data.spec.mean, scaled.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(data.spec.std, scaled.std(axis=(0, 1, 2)), rtol=1e-12)


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_validation_folder_serves_as_test_part(photos: Path, name: str) -> None:
    (photos / "test").rename(photos / name)
    assert len(load(photos).test) == 3


def test_test_goes_before_val(photos: Path) -> None:
    shutil.copytree(photos / "train", photos / "val")
    assert len(load(photos).test) == 3


@pytest.mark.parametrize("root_of_classes", ["", "train"])
def test_without_test_part_every_class_is_split(tmp_path: Path, root_of_classes: str) -> None:
    root = tmp_path / "flat"
    for i, (name, count) in enumerate({"a": 20, "b": 5, "c": 2, "single": 1}.items()):
        write_images(root / root_of_classes / name, count, seed=100 * i)
    data = load(root, test_fraction=0.2)
    assert np.bincount(data.train.labels).tolist() == [16, 4, 1, 1]
    assert np.bincount(data.test.labels).tolist() == [4, 1, 1]
    again = load(root, test_fraction=0.2, cache_dir=tmp_path / "other cache")
    assert again.fingerprint == data.fingerprint
    assert len(load(root, test_fraction=0.5).test) == 10 + 2 + 1


def test_split_parts_share_no_image(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_images(tmp_path / "flat" / name, 10, seed=ord(name))
    data = load(tmp_path / "flat")
    seen = {image.tobytes() for image in data.train.pixels} | {image.tobytes() for image in data.test.pixels}
    assert len(seen) == len({noise(ord(n) + i).tobytes() for n in "ab" for i in range(10)})


def test_images_in_sub_folders_of_a_class_are_found(photos: Path) -> None:
    write_images(photos / "train" / "cat" / "more", 2, seed=7)
    assert len(load(photos).train) == 9


def test_hidden_files_and_litter_are_ignored(photos: Path) -> None:
    (photos / "train" / "cat" / ".DS_Store").write_bytes(b"x")
    (photos / "train" / "cat" / "Thumbs.db").write_bytes(b"x")
    (photos / "train" / ".hidden").mkdir()
    (photos / "README.md").write_text("about these photos")
    assert len(load(photos).train) == 7


def test_class_missing_from_test_is_fine(photos: Path) -> None:
    shutil.rmtree(photos / "test" / "dog")
    assert load(photos).test.labels.tolist() == [0, 0]
    (photos / "test" / "dog").mkdir()
    assert load(photos).test.labels.tolist() == [0, 0]


# --- kinds of images ---


def grey(seed: int) -> Image.Image:
    return Image.fromarray(noise(seed, channels=1))


def colour(seed: int) -> Image.Image:
    return Image.fromarray(noise(seed))


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    data = load(two_classes(tmp_path / "set", grey(1), grey(2)))
    assert data.spec.channels == 1
    np.testing.assert_array_equal(data.train.pixels[0, :, :, 0], noise(1, channels=1))


def test_grey_stored_as_colour_is_grey(tmp_path: Path) -> None:
    assert load(two_classes(tmp_path / "set", grey(1).convert("RGB"), grey(2))).spec.channels == 1


@pytest.mark.parametrize("grey_first", [True, False])
def test_mixed_images_become_colour(tmp_path: Path, grey_first: bool) -> None:
    pair = (grey(1), colour(2)) if grey_first else (colour(2), grey(1))
    data = load(two_classes(tmp_path / "set", *pair))
    place = 0 if grey_first else 1
    assert data.spec.channels == 3
    np.testing.assert_array_equal(data.train.pixels[place], np.repeat(noise(1, channels=1)[:, :, None], 3, 2))
    np.testing.assert_array_equal(data.test.pixels[1 - place], noise(2))


def test_channels_converts_both_ways(tmp_path: Path) -> None:
    root = two_classes(tmp_path / "set", grey(1), colour(2))
    one, three = load(root, channels=1), load(root, channels=3)
    np.testing.assert_array_equal(one.train.pixels[1, :, :, 0], np.asarray(colour(2).convert("L")))
    np.testing.assert_array_equal(three.train.pixels[1], noise(2))
    two_grey = two_classes(tmp_path / "grey", grey(1), grey(2))
    assert load(two_grey, channels=3).train.pixels.shape == (2, 8, 8, 3)


def test_palette_images_have_their_colours(tmp_path: Path) -> None:
    data = load(two_classes(tmp_path / "set", colour(1).quantize(256), colour(2).quantize(256)))
    np.testing.assert_array_equal(data.train.pixels[0], np.asarray(colour(1).quantize(256).convert("RGB")))


def test_transparency_becomes_white(tmp_path: Path) -> None:
    rgba = noise(1, channels=4)
    rgba[:, :4, 3], rgba[:, 4:, 3] = 0, 255
    data = load(two_classes(tmp_path / "set", Image.fromarray(rgba), colour(2)))
    assert (data.train.pixels[0, :, :4] == 255).all()
    np.testing.assert_array_equal(data.train.pixels[0, :, 4:], rgba[:, 4:, :3])


def test_palette_with_transparent_bytes(tmp_path: Path) -> None:
    root = two_classes(tmp_path / "set", colour(1), colour(2))
    image = colour(3).quantize(16)
    image.save(root / "train" / "a" / "1.png", transparency=bytes(range(16)))
    assert len(load(root).train) == 3


def test_16_bit_grey_is_scaled(tmp_path: Path) -> None:
    deep = Image.fromarray(np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16))
    data = load(two_classes(tmp_path / "set", deep, grey(2)))
    expected = np.round(np.asarray(deep).astype(float) / 257).astype(np.uint8)
    np.testing.assert_array_equal(data.train.pixels[0, :, :, 0], expected)


def test_black_and_white_bits_are_0_and_255(tmp_path: Path) -> None:
    data = load(two_classes(tmp_path / "set", grey(1).convert("1"), grey(2).convert("1")))
    assert set(np.unique(data.train.pixels)) == {0, 255}


def test_jpeg_is_turned_as_exif_says(tmp_path: Path) -> None:
    upright = np.zeros((8, 16), np.uint8)
    upright[:, 8:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    root = tmp_path / "set"
    for part in ("train", "test"):
        for name in "ab":
            (root / part / name).mkdir(parents=True)
            stored = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
            stored.save(root / part / name / "0.jpg", exif=exif, quality=100)
    data = load(root)
    assert data.spec.shape == (1, 8, 16)
    np.testing.assert_allclose(data.train.pixels[0, :, :, 0].astype(int), upright, atol=3)


def test_size_resizes_the_short_side_and_crops_the_centre(tmp_path: Path) -> None:
    wide = np.zeros((16, 48, 3), np.uint8)
    wide[:, 16:32] = 200
    tall = Image.fromarray(noise(5, 40, 12))
    data = load(two_classes(tmp_path / "set", Image.fromarray(wide), tall), size=16)
    assert data.train.pixels.shape == (2, 16, 16, 3)
    assert (data.train.pixels[0] == 200).all()
    small = load(tmp_path / "set", size=8)
    assert small.spec.shape == (3, 8, 8)


def test_a_large_folder_is_sorted_in_seconds() -> None:
    """60,000 files that exist in a list only."""
    files = tuple(
        File(f"{part}/{c:03d}/{i:03d}.png", Path(f"/set/{part}/{c:03d}/{i:03d}.png"), 1, 1)
        for part, count in (("test", 100), ("train", 500))
        for c in range(100)
        for i in range(count)
    )
    start = time.process_time()
    reading = read_tree(Tree(Path("/set"), files), Options())
    assert time.process_time() - start < 10
    assert [part.count for part in reading.parts] == [50_000, 10_000]


# --- what is wrong ---


def test_differing_sizes_name_two_files_and_the_option(photos: Path) -> None:
    write_images(photos / "train" / "dog", 1, seed=9, height=9, width=12)
    with pytest.raises(BadInput, match=r"cat/000\.png is 8x8, .*dog/000\.png is 12x9; .*--size"):
        load(photos)


@pytest.mark.parametrize("damage", ["empty", "truncated", "text"])
def test_damaged_image_is_named(photos: Path, damage: str) -> None:
    path = photos / "train" / "dog" / "001.png"
    good = png(noise(1, 64, 64))
    path.write_bytes({"empty": b"", "truncated": good[: len(good) // 2], "text": b"no image at all"}[damage])
    with pytest.raises(BadFile, match=r"dog/001\.png") as caught:
        load(photos)
    start = r"^\S+ is not an image that can be read" if damage == "text" else "^cannot read the image .*"
    assert re.search(start + "; replace or remove it, or leave out all .* --skip-damaged$", str(caught.value))
    assert "BytesIO" not in str(caught.value)


def test_nothing_is_left_in_the_cache_after_a_failure(photos: Path, cache: Path) -> None:
    (photos / "train" / "dog" / "001.png").write_bytes(b"")
    with pytest.raises(BadFile):
        load(photos)
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_other_files_in_class_folders_are_said(photos: Path) -> None:
    (photos / "train" / "cat" / "notes.txt").write_text("x")
    data = load(photos)
    assert len(data.train) == 7
    assert data.found.lines()[-1] == "Not used: train/cat/notes.txt"


def test_image_beside_the_class_folders_is_refused(photos: Path) -> None:
    (photos / "train" / "stray.png").write_bytes(png(noise(1)))
    with pytest.raises(BadInput, match=r"stray\.png lies outside a class folder"):
        load(photos)


def test_empty_class_is_named(photos: Path) -> None:
    (photos / "train" / "bird").mkdir()
    with pytest.raises(BadInput, match=r"class folder 'bird' .* holds no image"):
        load(photos)


def test_empty_class_is_noticed_on_a_later_start(photos: Path) -> None:
    load(photos)
    (photos / "train" / "bird").mkdir()
    with pytest.raises(BadInput, match="'bird'"):
        load(photos)


def test_test_class_that_is_not_trained_is_named(photos: Path) -> None:
    write_images(photos / "test" / "bird", 1)
    with pytest.raises(BadInput, match="class 'bird' of the test part"):
        load(photos)


def test_single_class_is_refused(photos: Path) -> None:
    shutil.rmtree(photos / "train" / "dog")
    shutil.rmtree(photos / "test" / "dog")
    with pytest.raises(BadInput, match="single class 'cat'"):
        load(photos)


def test_single_images_leave_nothing_to_test_on(tmp_path: Path) -> None:
    for name in "ab":
        write_images(tmp_path / "set" / name, 1)
    with pytest.raises(BadInput, match="none is left to test on"):
        load(tmp_path / "set")


def test_tiny_images_are_refused_unless_enlarged(tmp_path: Path) -> None:
    for name in "ab":
        write_images(tmp_path / "set" / name, 2, height=7, width=9)
    with pytest.raises(BadInput, match=r"is 9x7; at least 8x8"):
        load(tmp_path / "set")
    assert load(tmp_path / "set", size=8).spec.shape == (3, 8, 8)


def test_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(BadInput, match="holds no class folders"):
        load(tmp_path / "nothing")


def test_broken_link_is_named(photos: Path) -> None:
    (photos / "train" / "cat" / "gone.png").symlink_to(photos / "nowhere.png")
    with pytest.raises(BadFile, match=r"gone\.png"):
        load(photos)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_folder_is_named(photos: Path) -> None:
    (photos / "train" / "cat").chmod(0)
    with pytest.raises(BadInput, match=r"cannot read the folder .*cat"):
        load(photos)
