"""What is said before anything is learned, and names that stand for folders."""

from __future__ import annotations

import json
from pathlib import Path

import makers as m
import numpy as np
import pytest

from condensery import schema
from condensery.data import load
from condensery.data.found import Found
from condensery.data.options import Options
from condensery.data.parts import role
from condensery.data.places import found_under, local_folder, path_of
from condensery.data.sources import absolute_source
from condensery.data.specs import KNOWN_SETS
from condensery.errors import BadInput

FOUND = Found(
    "class folders",
    "Training",
    "Testing",
    ("cat", "dog"),
    (10, 3),
    (2, 0),
    (3, 16, 24),
    "values 0 to 200 of 255",
    1,
    ("labels go by name",),
    ("a.txt", "extra (5 images)"),
    ("x.png",),
    ("aa", "bb"),
)


def test_the_lines() -> None:
    assert FOUND.lines() == [
        "Found class folders: Training (13 images) to train on, Testing (2) to test on",
        "2 classes (cat, dog): 3 (dog) to 10 (cat) training images; no test images of dog",
        "Images of 24x16 pixels, colour, values 0 to 200 of 255; 1 of 2 test images are training images too",
        "Note: labels go by name",
        "Not used: a.txt; extra (5 images); 1 damaged image (x.png)",
    ]


def test_many_classes_are_counted() -> None:
    names = tuple(f"class {c}" for c in range(1000))
    lines = Found("x", "", "", names, (5,) * 1000, (1,) * 1000, (1, 8, 8), "values").lines()
    assert lines[0] == "Found x: 5,000 images to train on, 1,000 split off to test on"
    assert lines[1].endswith("class 11, and 988 more): 5 training images each") and len(lines) == 3


def test_it_is_json(photos: Path) -> None:
    for found in (FOUND, load(photos).found):
        assert Found.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_the_parts_have_prints_of_their_own(photos: Path) -> None:
    before = load(photos).found.prints
    next((photos / "test" / "cat").iterdir()).unlink()
    after = load(photos).found.prints
    assert before[0] == after[0] and before[1] != after[1] and len(set(before)) == 2


def test_chosen_classes_are_counted(tmp_path: Path) -> None:
    m.folders(tmp_path / "set" / "train", 3)
    m.folders(tmp_path / "set" / "test", 2, 20)
    found = load(tmp_path / "set", classes=["emu", "cat"]).found
    assert (found.classes, found.train_counts, found.test_counts) == (("emu", "cat"), (3, 3), (2, 2))


@pytest.mark.parametrize(
    ("name", "right"),
    [
        *[
            (name, "train")
            for name in ("train", "Training", "seg_train", "TrainImages", "x_train", "train-set")
        ],
        *[(name, "test") for name in ("TEST", "t10k", "t10k-images", "Final_Test", "test_data", "Testset")],
        *[(name, "validation") for name in ("val", "Valid", "ILSVRC2012_val", "dev", "validation-00000")],
        *[
            (name, None)
            for name in ("contrast", "strain", "latest", "train_test", "valley", "fold1", "", "device")
        ],
    ],
)
def test_parts_are_known_by_words_and_not_by_letters(name: str, right: str | None) -> None:
    assert role(name) == right


def test_options_are_recorded_and_a_set_with_them_can_be_saved(photos: Path, tmp_path: Path) -> None:
    given = {"train_split": "train", "test_split": "test", "value_range": (0, 300), "skip_damaged": True}
    data = load(photos, **given)
    assert data.options == {**given, "value_range": [0.0, 300.0]}
    assert load(photos, **json.loads(json.dumps(data.options))).fingerprint == data.fingerprint
    schema.require(tmp_path, {"data": {"options": data.options}}, schema.RECORD, "record")
    with pytest.raises(BadInput, match="skip_damaged in its options is 1"):
        schema.require(tmp_path, {"data": {"options": {"skip_damaged": 1}}}, schema.RECORD, "record")


@pytest.mark.parametrize("value", [(1,), (5, 5), (9, 1), (0, float("nan")), ("a", 2), 7, "12", (0, 1, 2)])
def test_a_range_is_two_numbers(value: object) -> None:
    with pytest.raises(BadInput, match="two numbers, the lower one first"):
        Options(value_range=value)  # type: ignore[arg-type]


def test_options_that_a_source_cannot_follow() -> None:
    for given, said in (
        ({"train_split": "a"}, "has no parts"),
        ({"value_range": (0, 9)}, "leave --value-range out"),
    ):
        with pytest.raises(BadInput, match=said):
            load("digits", **given)


# --- names and folders ---


def test_a_folder_goes_before_a_known_set_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    m.folders(tmp_path / "cifar100", 5)
    lines: list[str] = []
    data = load("cifar100", announce=lines.append)
    assert data.spec.class_names == m.NAMES
    assert lines[0] == f"cifar100 is the folder {tmp_path / 'cifar100'}, not the known set of that name"
    assert absolute_source("cifar100") == str(tmp_path / "cifar100"), "a run finds it again from elsewhere"


def test_a_folder_without_images_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    m.write(tmp_path / "digits" / "notes.txt", "x")
    assert (
        len(load("digits").train) == 1438
        and path_of("digits") is None
        and absolute_source("digits") == "digits"
    )


def test_known_sets_are_found_under_the_names_of_their_downloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDENSERY_DATA", str(tmp_path))
    assert local_folder(KNOWN_SETS["mnist"]) is None
    m.idx(tmp_path / "MNIST" / "raw")
    assert local_folder(KNOWN_SETS["mnist"]) == tmp_path / "MNIST"
    lines: list[str] = []
    data = load("mnist", announce=lines.append)
    assert len(data.train) == 12 and not data.spec.flip and any("idx files in raw/" in line for line in lines)


def test_what_lies_under_a_folder_of_sets(tmp_path: Path) -> None:
    m.idx(tmp_path / "MNIST" / "raw")
    m.cifar10(tmp_path / "cifar-10-batches-py")
    m.folders(tmp_path / "flowers")
    m.rows(2).to_parquet(m.write(tmp_path / "svhn" / "train.parquet", ""))
    m.write(tmp_path / "notes" / "a.txt", "x")
    m.write(tmp_path / "b.txt", "x")
    assert found_under(tmp_path) == [
        ("mnist", "idx files", tmp_path / "MNIST"),
        ("cifar10", "CIFAR-10 archive of Python", tmp_path / "cifar-10-batches-py"),
        (str(tmp_path / "flowers"), "images", tmp_path / "flowers"),
        ("svhn", "table", tmp_path / "svhn"),
    ]
    assert found_under(tmp_path / "nowhere") == []


def test_an_added_file_is_said_although_the_images_are_in_the_cache(photos: Path) -> None:
    first = load(photos)
    m.write(photos / "train" / "cat" / "more.txt", "x")
    second = load(photos)
    assert second.found.unused == ("train/cat/more.txt",) and second.fingerprint == first.fingerprint


def test_what_was_skipped_is_listed(tmp_path: Path) -> None:
    root = m.folders(tmp_path / "set", 20)
    for i in range(15):
        m.write(root / "cat" / f"cat_{i}.png", b"\x89PNG")
    data = load(root, skip_damaged=True)
    assert len(data.found.skipped) == 15 == 60 - len(data.train) - len(data.test)
    assert "15 damaged images (" in data.found.lines()[-1] and "and 3 more" in data.found.lines()[-1]
    assert np.bincount(data.train.labels).min() >= 1
