"""Which part of a set serves for training and which for testing: by their names, or by what the user named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol, TypeVar

from condensery.errors import BadInput

TRAIN, TEST, VALIDATION = "train", "test", "validation"
WHOLE = "."
"""As the name of a part: the folder itself, whose sub-folders are classes whatever they are called."""
_WORDS = {
    TRAIN: {"train", "training", "trainset", "trn"},
    TEST: {"test", "testing", "testset", "tst", "t10k"},
    VALIDATION: {"val", "valid", "validation", "valset", "dev", "eval", "evaluation"},
}


class Named(Protocol):
    """Anything with a name, images and perhaps labels."""

    @property
    def name(self) -> str: ...

    @property
    def is_labelled(self) -> bool: ...


P = TypeVar("P", bound=Named)


def role(name: str) -> str | None:
    """What a part called `name` is for: "Final_Training" -> "train"; None for any other name.

    Words are looked at, not letters: "contrast" is no test. A name with words of two parts has no role.
    """
    words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|t10k", name)}
    if name.lower().startswith("t10k"):
        words.add("t10k")
    found = [part for part, known in _WORDS.items() if words & known]
    return found[0] if len(found) == 1 else None


def plain_role(name: str) -> str | None:
    """The same for names that are nothing but the word: "Test", but not "test tube"."""
    return next((part for part, known in _WORDS.items() if name.lower() in known), None)


def split_names(text: str | None) -> tuple[str, ...]:
    """ "fold1,fold2/" -> ("fold1", "fold2")"""
    return tuple(name.strip().rstrip("/") or "." for name in (text or "").split(",") if name.strip())


def named(parts: Sequence[P], names: Sequence[str], option: str, source: str) -> list[P]:
    """The parts that an option names: exactly, then without regard to case, then by what they are for.

    Raises:
        BadInput: there is no such part; lists those there are.
    """
    chosen = []
    for name in names:
        exact = [part for part in parts if part.name == name]
        alike = exact or [part for part in parts if part.name.lower() == name.lower()]
        alike = alike or [part for part in parts if role(part.name) == role(name) is not None]
        if len(alike) != 1:
            there = ", ".join(part.name or "." for part in parts)
            raise BadInput(
                f"{source} has {'no' if not alike else 'more than one'} part {name!r} for {option}; it has: {there}"
            )
        chosen += alike
    return chosen


def choose(
    parts: Sequence[P], train_split: str | None, test_split: str | None, source: str
) -> tuple[list[P], list[P]]:
    """The parts for training and for testing; no test part if it has to be split off.

    Without options a part is known by its name. The test part is the labelled one called test, otherwise the
    validation part.

    Raises:
        BadInput: no part is for training, several could be, or an option names none that is there.
    """
    train = named(parts, split_names(train_split), "--train-split", source)
    test = named(parts, split_names(test_split), "--test-split", source)
    if any(part is other for part in train for other in test):
        raise BadInput(f"--train-split and --test-split of {source} name the same part {train[0].name!r}")
    for part in (*train, *test):
        if not part.is_labelled:
            raise BadInput(f"the part {part.name!r} of {source} has no labels; name another")
    rest = [part for part in parts if part not in (*train, *test) and part.is_labelled]
    if not train:
        train = _only(rest, TRAIN, "--train-split", source)
    if not train:
        train = [part for part in rest if part.name in ("", WHOLE)] or (
            rest if len(rest) == 1 and not role(rest[0].name) else []
        )
    if not train:
        there = ", ".join(f"{part.name}{'' if part.is_labelled else ' (no labels)'}" for part in parts)
        raise BadInput(f"{source} has no training part; it has: {there}; name one with --train-split")
    rest = [part for part in rest if part not in train]
    if not test:
        test = _only(rest, TEST, "--test-split", source) or _only(rest, VALIDATION, "--test-split", source)
    return train, test


def _only(parts: Sequence[P], wanted: str, option: str, source: str) -> list[P]:
    """The one part for `wanted`; of several the one whose name is just that word."""
    fitting = [part for part in parts if role(part.name) == wanted]
    plain = [part for part in fitting if plain_role(part.name)]
    if len(plain or fitting) > 1:
        names = ", ".join(part.name for part in plain or fitting)
        raise BadInput(f"{source} has several parts for {wanted}: {names}; name one with {option}")
    return plain or fitting
