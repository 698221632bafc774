"""--train-split and --test-split name the parts of any source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import makers as m
import numpy as np
import pytest

from condensery.data import load
from condensery.errors import BadInput


def folder(root: Path) -> None:
    m.folders(root / "train", 4)
    m.folders(root / "test", 2, start=20)


def flat_with_lists(root: Path) -> None:
    for part, count, start in (("train", 12, 0), ("test", 6, 20)):
        lines = [f"{name},{m.NAMES[k % 3]}" for k, name in enumerate(m.flat(root / part, count, start))]
        m.write(root / f"{part}.csv", "\n".join(["file,label", *lines]) + "\n")


def npz(root: Path) -> Path:
    (train, labels), (test, others) = m.arrays(4), m.arrays(2, 20)
    return m.npz(root / "set.npz", x_train=train, y_train=labels, x_test=test, y_test=others)


def parquet(root: Path) -> None:
    root.mkdir()
    m.rows(4).to_parquet(root / "train-00000-of-00001.parquet")
    m.rows(2, 20).to_parquet(root / "test-00000-of-00001.parquet")


def saved_to_disk(root: Path) -> None:
    datasets.DatasetDict({"train": m.rows(4), "test": m.rows(2, 20)}).save_to_disk(root)


def libsvm(root: Path) -> None:
    m.write(root / "usps", m.libsvm_text(4))
    m.write(root / "usps.t", m.libsvm_text(2, 20))


KINDS: dict[str, Callable[[Path], Any]] = {
    "class folders in parts": folder,
    "flat images with lists": flat_with_lists,
    ".npz": npz,
    "Parquet": parquet,
    "save_to_disk": saved_to_disk,
    "idx, as torchvision unpacks it": lambda root: m.idx(root / "MNIST" / "raw"),
    "CIFAR-10, Python": m.cifar10,
    "CIFAR-100, Python": m.cifar100,
    "CIFAR-10, binary": m.cifar10_binary,
    "SVHN, .mat": m.svhn,
    "LIBSVM": libsvm,
    "ImageNet, .npz": m.imagenet_npz,  # its other part is called val
}


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_any_source_are_named(kind: str, tmp_path: Path) -> None:
    """Exchanged parts train on what was for testing; a part that is not there is refused, with those that are."""
    made = KINDS[kind](tmp_path / "set")
    source = made if kind == ".npz" else tmp_path / "set"
    usual = load(source)
    other = "val" if kind == "ImageNet, .npz" else "test"
    named = load(source, train_split="train", test_split=other)
    assert (named.train.pixels == usual.train.pixels).all() and (named.test.pixels == usual.test.pixels).all()
    lines: list[str] = []
    exchanged = load(source, train_split=other, test_split="train", announce=lines.append)
    for part, right in ((exchanged.train, usual.test), (exchanged.test, usual.train)):
        assert np.array_equal(part.pixels, right.pixels) and np.array_equal(part.labels, right.labels)
    assert any(f"({len(usual.test)} images) to train on" in line for line in lines), lines
    for option in ("train_split", "test_split"):
        with pytest.raises(BadInput, match=r"no part 'extra' .*; it has: .*train"):
            load(source, **{option: "extra"})
