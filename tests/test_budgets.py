"""Images per class as people ask for them: every form, every refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from condensery import BadInput, ImageSpec, SyntheticSet, budgets
from condensery.synthetic import with_pixels

SPEC = ImageSpec(1, 4, 4, ("cat", "dog", "a,b"), (0.5,), (0.25,))
REAL = (60, 30, 10)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (3, (3, 3, 3)),
        ("3", (3, 3, 3)),
        ("5,2,7", (5, 2, 7)),
        ([5, 2, 7], (5, 2, 7)),
        ("cat=5,*=1", (5, 1, 1)),
        ('"a,b=4",dog=2, cat=5', (5, 2, 4)),
        ({"cat": 5, "dog": 2, "a,b": 4}, (5, 2, 4)),
        ("proportional:10", (18, 9, 3)),
        ("proportional:1", (1, 1, 1)),
        ("proportional:2", (3, 2, 1)),
    ],
)
def test_forms(asked: Any, expected: tuple[int, ...]) -> None:
    assert budgets.counts_of(asked, SPEC, REAL) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("n.json", '{"cat": 5, "*": 2}'),
        ("n.json", "[5, 2, 2]"),
        ("n.csv", "class,images\ncat,5\n*,2\n"),
        ("n.csv", 'cat,5\ndog,2\n"a,b",2'),
        ("n.toml", 'cat = 5\ndog = 2\n"a,b" = 2'),
    ],
)
def test_files(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    for asked in (tmp_path / name, str(tmp_path / name)):
        assert budgets.counts_of(asked, SPEC, REAL) == (5, 2, 2)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (0, "at least 1, not 0"),
        (True, "whole numbers, not True"),
        ("many", "takes a number, NAME=N"),
        ("-1", "at least 1, not -1"),
        ("cat=5", "says nothing of dog, a,b: name each class, or add"),
        ("cat=5,dgo=1,*=1", "'dgo', which is no class of the images.*did you mean 'dog'"),
        ("cat=5,cat=6,*=1", "names 'cat' twice"),
        ("cat=x,*=1", "a whole number for each name, not 'cat' = 'x'"),
        ("cat=0,*=1", "at least 1, not 0"),
        ({"cat": 1.5, "*": 1}, "whole numbers, not 1.5"),
        ("1,2", "2 numbers, but there are 3 classes"),
        ("proportional:0", "at least 1, not 0"),
        ("missing.json", "there is no such file"),
    ],
)
def test_refusals(asked: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        budgets.counts_of(asked, SPEC, REAL)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("n.json", "{"),
        ("n.json", '"x"'),
        ("n.csv", "cat\ndog"),
        ("n.toml", "cat = [1]"),
        ("n.json", "[" * 9999),
    ],
)
def test_damaged_files_are_named(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=str(tmp_path / name)):
        budgets.counts_of(str(tmp_path / name), SPEC, REAL)


def test_shares_add_up_and_give_each_class_one() -> None:
    for real in ((5000, 3, 1, 1), (1, 1, 1, 1), (7, 5, 3, 2)):
        for n in (1, 2, 7, 50):
            counts = budgets.proportional(n, real)
            assert sum(counts) == n * len(real) and min(counts) >= 1
            assert list(counts) == sorted(counts, reverse=True)


@pytest.mark.parametrize("budget", [150, "0.5kB", "1 KiB", "20000B"])
def test_bytes_are_those_of_a_set_with_pixels(budget: int | str) -> None:
    """As many images as fit: one more of each class would not."""
    ipc = budgets.ipc_within(budget, SPEC)
    labels = torch.arange(3).repeat_interleave(ipc)
    learned = SyntheticSet(torch.randn(3 * ipc, 1, 4, 4), labels, SPEC)
    taken = with_pixels(learned).bytes
    assert taken == budgets.stored_bytes(3 * ipc, SPEC)
    assert taken <= budgets.bytes_of(budget) < budgets.stored_bytes(3 * ipc + 3, SPEC)
    assert str(ipc) in budgets.budget_line(budget, ipc, SPEC)


@pytest.mark.parametrize("budget", ["10B", "lots", "-3kB", 0, "1e9999 B"])
def test_impossible_bytes(budget: int | str) -> None:
    with pytest.raises(BadInput, match="--budget"):
        budgets.ipc_within(budget, SPEC)


def test_words_and_records() -> None:
    assert (budgets.per_class(10), budgets.per_class([5, 20, 7])) == ("10 per class", "5 to 20 per class")
    assert budgets.recorded((4, 4)) == 4 and budgets.recorded((4, 5)) == [4, 5]
    assert budgets.in_record(4, 2) == (4, 4) and budgets.in_record([4, 5], 2) == (4, 5)
    assert budgets.described((5, 2, 1), SPEC) == "1 to 5 images per class, 8 in all: cat 5, dog 2, a,b 1"
