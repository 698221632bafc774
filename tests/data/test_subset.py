"""Some classes of a set: images and labels change, everything else is as for the whole set."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import noise, write_images

from condensery.data import load
from condensery.data.cache import Cache
from condensery.errors import BadInput


def test_the_images_of_the_classes_with_new_labels() -> None:
    whole, some = load("digits"), load("digits", classes=["3", "8"])
    for part, of_whole in ((some.train, whole.train), (some.test, whole.test)):
        keep = np.isin(of_whole.labels, (3, 8))
        np.testing.assert_array_equal(part.pixels, of_whole.pixels[keep])
        np.testing.assert_array_equal(part.labels, (of_whole.labels[keep] == 8).astype(int))
        assert part.labels.dtype == np.int64 and isinstance(part.pixels, np.memmap)
    assert (len(some.train), len(some.test)) == (146 + 139, 37 + 35)


def test_everything_else_is_the_whole_sets() -> None:
    whole, some = load("digits"), load("digits", classes=["3", "8"])
    assert some.spec.class_names == ("3", "8") and some.source == "digits"
    for name in ("name", "shape", "mean", "std", "flip"):
        assert getattr(some.spec, name) == getattr(whole.spec, name)
    assert some.options == {"classes": ["3", "8"]} and whole.options == {}


def test_labels_follow_the_order_given() -> None:
    one, other = load("digits", classes=["3", "8"]), load("digits", classes=["8", "3"])
    assert other.spec.class_names == ("8", "3")
    np.testing.assert_array_equal(one.train.pixels, other.train.pixels)
    np.testing.assert_array_equal(one.train.labels, 1 - other.train.labels)
    assert one.fingerprint != other.fingerprint


def test_numbers_are_names() -> None:
    assert load("digits", classes=(3, 8)).fingerprint == load("digits", classes=["3", "8"]).fingerprint


def test_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    """Whether classes were chosen here or the source holds no others, the same set is the same set."""
    some = load("digits", classes=["8", "3"])
    whole = load("digits")
    assert len({some.fingerprint, whole.fingerprint, load("digits", classes=["3", "5"]).fingerprint}) == 3
    assert load("digits", classes=whole.spec.class_names).fingerprint == whole.fingerprint
    arrays = {"x_train": some.train.pixels, "y_train": some.train.labels}
    arrays |= {"x_test": some.test.pixels, "y_test": some.test.labels}
    np.savez(tmp_path / "two.npz", class_names=np.array(["8", "3"]), **arrays)
    assert load(tmp_path / "two.npz").fingerprint == some.fingerprint


def test_made_once(photos: Path, cache: Path) -> None:
    write_images(photos / "train" / "owl", 3, seed=500)
    write_images(photos / "test" / "owl", 1, seed=600)
    lines: list[str] = []
    first = load(photos, classes=["cat", "owl"], announce=lines.append)
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    second = load(photos, classes=["cat", "owl"], announce=lines.append)
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before
    assert [line for line in lines if "Decoding" in line] == lines[:1], "all classes are decoded, once"
    assert "Decoding 14 images" in lines[0] and "Note: 2 of 3 classes were chosen" in lines
    assert first.fingerprint == second.fingerprint
    np.testing.assert_array_equal(second.train.pixels[4], noise(500))
    assert second.test.labels.tolist() == [0, 0, 1]


def test_duplicates_are_those_of_the_classes(photos: Path) -> None:
    write_images(photos / "train" / "owl", 3, seed=500)
    shutil.copy(next((photos / "train/cat").iterdir()), photos / "test/cat/again.png")
    write_images(photos / "test" / "owl", 1, seed=600)
    for classes, count in ((["cat", "owl"], 1), (["dog", "owl"], 0)):
        found = load(photos, classes=classes).found
        assert found is not None and found.duplicates == count


def test_a_changed_source_gives_a_new_subset(photos: Path) -> None:
    before = load(photos, classes=["cat", "dog"])
    write_images(photos / "train" / "dog", 1, seed=700)  # the first dog becomes another one
    assert load(photos, classes=["cat", "dog"]).fingerprint != before.fingerprint


def test_a_name_with_a_comma_is_shown_as_it_has_to_be_written(photos: Path) -> None:
    write_images(photos / "train" / "cat, black", 2, seed=800)
    with pytest.raises(BadInput, match='its 3 classes are cat, "cat, black", dog'):
        load(photos, classes=["cat", "cow"])


def test_options_are_recorded_together(photos: Path) -> None:
    data = load(photos, size=16, classes=["dog", "cat"])
    assert data.options == {"size": 16, "classes": ["dog", "cat"]} and data.spec.height == 16
    assert load(photos, **data.options).fingerprint == data.fingerprint


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["3", "11"], r"digits has no class '11'; its 10 classes are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9$"),
        ([3, None], "digits has no class 'None'"),
        (["3"], r"at least 2 classes; name more with --classes than \['3'\]"),
        ([], "at least 2 classes"),
        (["3", "8", "3"], "--classes names '3' twice; leave one out"),
        ([3, "3"], "--classes names '3' twice"),
        ("3,8", r"a list of names such as \['3', '8'\], not the text '3,8'"),
    ],
)
def test_classes_refused(classes: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        load("digits", classes=classes)


def test_classes_without_a_test_image(tmp_path: Path, cache: Path) -> None:
    for i, (name, count) in enumerate({"cat": 1, "dog": 1, "owl": 5}.items()):
        write_images(tmp_path / "photos" / name, count, seed=100 * i)
    with pytest.raises(BadInput, match="no test image of the classes cat, dog; choose others with --classes"):
        load(tmp_path / "photos", classes=["cat", "dog"])
    assert load(tmp_path / "photos", classes=["cat", "owl"]).test.labels.tolist() == [1]
    assert not list(cache.glob("tmp-*"))


def test_loaded_images_are_not_filtered() -> None:
    with pytest.raises(BadInput, match="classes apply to files; this source is an ImageData"):
        load(load("digits"), classes=["3", "8"])


def test_a_damaged_entry_is_made_again(cache: Path) -> None:
    whole, some = load("digits"), load("digits", classes=["3", "8"])
    for folder in (cache / "sets").iterdir():
        if np.load(folder / "train.npy", mmap_mode="r").shape[0] != len(whole.train):
            (folder / "info.json").unlink()
    assert load("digits", classes=["3", "8"]).fingerprint == some.fingerprint


def test_other_cache_folder(tmp_path: Path, cache: Path) -> None:
    load("digits", classes=["3", "8"], cache_dir=tmp_path / "there")
    assert not cache.exists() and len(list((Cache(tmp_path / "there").folder / "sets").iterdir())) == 2
