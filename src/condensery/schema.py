"""What the records in our files may hold, written down once: types and ranges.

A file may come from anybody. What its record says is checked here before anything is done with it. Keys that no form
names may hold any JSON whose texts can be written and whose numbers a float can hold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from condensery.errors import BadFile


@dataclass(frozen=True)
class Value:
    """A single value.

    Attributes:
        words: what it has to be, for messages.
        fits: whether a value is one.
    """

    words: str
    fits: Callable[[Any], bool]


@dataclass(frozen=True)
class Each:
    """A list.

    Attributes:
        form: of each of its values.
        fewest: values in it.
    """

    form: Form
    fewest: int = 0


@dataclass(frozen=True)
class Fields:
    """A JSON object.

    Attributes:
        forms: of its values, by key.
        required: keys that must be there.
        others: whether it may hold keys that `forms` has not.
    """

    forms: Mapping[str, Form] = field(default_factory=dict)
    required: Iterable[str] = ()
    others: bool = True


Form = Value | Each | Fields


def whole(least: int, most: int = 2**63 - 1) -> Value:
    """A whole number; true and 1.0 are none."""
    return Value(f"a whole number {_range(least, most)}", lambda x: type(x) is int and least <= x <= most)


def number(least: float = -math.inf, most: float = math.inf) -> Value:
    """A finite number."""

    def fits(found: Any) -> bool:
        return (
            type(found) in (int, float)
            and _is_float(found)
            and math.isfinite(found)
            and least <= found <= most
        )

    return Value(f"a finite number{' ' if math.isfinite(least) else ''}{_range(least, most)}", fits)


def _range(least: float, most: float) -> str:
    if not math.isfinite(least):
        return ""
    return f"from {least} to {most}" if most < 2**63 - 1 else f"of at least {least}"


def _is_float(found: float) -> bool:
    try:
        float(found)
    except OverflowError:
        return False
    return True


def _is_text(found: Any) -> bool:
    return isinstance(found, str) and not any("\ud800" <= sign <= "\udfff" for sign in found)


def _is_path(found: Any) -> bool:
    """Whether it can name a file: bytes of names that are not UTF-8 are signs from U+DC80 to U+DCFF in Python."""
    return isinstance(found, str) and _is_text(re.sub("[\udc80-\udcff]", "", found))


ANY_WHOLE = Value("a whole number", lambda x: type(x) is int)
TEXT = Value("a text", _is_text)
PATH = Value("a text", _is_path)
FLAG = Value("true or false", lambda x: type(x) is bool)
LOSS = Value("a number", lambda x: x is None or type(x) in (int, float))
CLASS = Value("a name or number of a class", lambda x: _is_path(x) or type(x) is int)

FRACTION = number(0, 1)


def per_class(least: int) -> Value:
    """Images per class: one number, or a list with one of at least `least` for each class."""
    one, each = whole(1).fits, whole(least).fits
    return Value(
        "a whole number of at least 1, or a list with one for each class",
        lambda x: one(x) or (type(x) is list and len(x) > 1 and all(map(each, x))),
    )


def _is_start(found: Any) -> bool:
    if type(found) is not dict or set(found) != {"set", "sha256"}:
        return found is None
    return _is_path(found["set"]) and _is_text(found["sha256"])


SPEC = Fields(
    {
        "name": PATH,
        "channels": whole(1, 3),
        **dict.fromkeys(("height", "width"), whole(1, 2**16)),
        "class_names": Each(PATH, 2),  # of folders
        **dict.fromkeys(("mean", "std"), Each(number())),
        "flip": FLAG,
        "whitening": TEXT,
    },
    required=("name", "channels", "height", "width", "class_names", "mean", "std", "flip"),
)
"""What is known of images; see `condensery.records.ImageSpec`."""

OPTIONS = Fields(
    {
        "size": whole(1),
        "channels": whole(1),
        "test_fraction": number(0, 1),
        "classes": Each(CLASS),
        **dict.fromkeys(("image_column", "label_column", "train_split", "test_split", "whitening"), TEXT),
        "value_range": Each(number()),
        "skip_damaged": FLAG,
    },
    others=False,
)
"""Options of `condensery.load_images` that a file may ask for, and no other: one names a folder to write to."""

_TEACHER = Fields(
    {
        "network": TEXT,
        **dict.fromkeys(("epochs", "stage", "bytes"), whole(0)),
        "seed": ANY_WHOLE,
        "accuracy": FRACTION,
        **dict.fromkeys(("temperature", "seconds", "training_seconds"), number(0)),
        "weights": Fields(),
        "size": whole(1),
    }
)
_ACCURACY = Fields(
    {
        **dict.fromkeys(("mean", "std"), FRACTION),
        "n": whole(1),
        "step": whole(0),
        **dict.fromkeys(("protocol", "network", "data"), TEXT),
    }
)
PRECISION = Value(
    "float32, bfloat16 or float32-compiled", lambda x: x in ("float32", "bfloat16", "float32-compiled")
)
"""In which networks compute; float32 where a record does not say."""
START = Value("null, or texts called set and sha256", _is_start)
"""The set that a run started from: its file and its digest, see `condensery.artifact.digest`."""
PRINTS = Fields({"train": TEXT, "test": TEXT})
RECORD = Fields(
    {
        **dict.fromkeys(("method", "network", "hardware", "time"), TEXT),
        "precision": PRECISION,
        "ipc": per_class(0),
        "start": START,
        "seed": ANY_WHOLE,
        **dict.fromkeys(("step", "steps", "memory"), whole(0)),
        **dict.fromkeys(("seconds", "seconds_before"), number(0)),
        "loss": LOSS,
        "fields": Fields(),
        "data": Fields({"source": PATH, "options": OPTIONS, "fingerprint": TEXT, "prints": PRINTS}),
        "labels": Fields({"teacher": _TEACHER}),
        "accuracies": Each(_ACCURACY),
        "indices": Each(whole(0)),
    }
)
"""How a set was made, as far as condensery itself reads it; any key may be missing."""

SETTINGS = Fields(
    {
        "source": PATH,
        **dict.fromkeys(("fingerprint", "method", "network"), TEXT),
        "options": OPTIONS,
        "fields": Fields(),
        "ipc": per_class(1),
        "start": START,
        "steps": whole(1),
        "seed": ANY_WHOLE,
        "precision": PRECISION,
    },
    required=("source", "options", "fingerprint", "method", "fields", "ipc", "network", "seed", "steps"),
    others=False,
)
"""What a run was asked for: run.json."""

CURVE = Fields(
    {"loss": Each(number()), "accuracy": Each(_ACCURACY), "seconds": number(0), "seconds_before": number(0)},
    others=False,
)
"""What was measured while a set was made: curve.json, and in a checkpoint."""

CHECKPOINT = Fields({"step": whole(0), "curve": CURVE}, required=("step", "curve"))
"""What a checkpoint says beside its tensors."""

_SCORE = Fields(
    {
        **dict.fromkeys(("subject", "network"), TEXT),
        "accuracies": Each(Each(FRACTION)),
        **dict.fromkeys(("images", "bytes", "epochs"), whole(0)),
        "seconds": number(0),
    },
    required=("subject", "network", "accuracies", "images", "bytes", "epochs", "seconds"),
)
EVALUATION = Fields(
    {
        "scores": Each(_SCORE),
        **dict.fromkeys(("data", "command"), PATH),
        **dict.fromkeys(("protocol", "method", "label", "time", "hardware"), TEXT),
        "precision": PRECISION,
        "seed": ANY_WHOLE,
        "condense_seconds": Each(number(0)),
        "fields": Fields(),
    },
    required=("scores", "data", "seed"),
)
"""A line of evaluations.jsonl."""


class Misfit(ValueError):
    """A value that a record may not hold; the message names it and says what belongs there."""


def require(path: Path, found: object, form: Form, name: str, fix: str = "") -> None:
    """Raises BadFile, with the `fix`, unless the record called `name` in the file `path` is of this form."""
    try:
        check(found, form, name)
    except Misfit as misfit:
        raise BadFile(f"{path} is damaged: {misfit}{fix}") from misfit


def check(found: object, form: Form, name: str) -> None:
    """Raises Misfit unless the record called `name` is of this form."""
    _check_plain(found, name)
    _check(found, form, f"its {name}", name)


def _check(found: Any, form: Form, called: str, name: str) -> None:
    """`called` is what messages call the value, `name` what they call it where something in it is wrong."""
    if isinstance(form, Value):
        if not form.fits(found):
            raise Misfit(f"{called} is {_shown(found)}, not {form.words}")
    elif isinstance(form, Each):
        if type(found) is not list:
            raise Misfit(f"{called} is {_shown(found)}, not a list")
        if len(found) < form.fewest:
            raise Misfit(f"{called} is {_shown(found)}, not a list of at least {form.fewest}")
        for one in found:
            _check(one, form.form, f"one of {called}", name)
    else:
        _check_fields(found, form, called, name)


def _check_fields(found: Any, form: Fields, called: str, name: str) -> None:
    if type(found) is not dict:
        raise Misfit(f"{called} is {_shown(found)}, not a JSON object")
    for key in form.required:
        if key not in found:
            raise Misfit(f"{called} has no {key}")
    for key, value in found.items():
        if key in form.forms:
            _check(value, form.forms[key], f"{key} in its {name}", key)
        elif not form.others:
            raise Misfit(f"{called} has the unknown {_singular(name)} {_shown(key)}")


def _singular(name: str) -> str:
    return name.removesuffix("s") if name in ("options", "settings") else "key"


def _check_plain(found: Any, name: str) -> None:
    """Raises Misfit if there is a text that cannot be written, or a number too large for a float, anywhere."""
    waiting = [found]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, str) and not _is_path(one):
            raise Misfit(f"its {name} has the text {_shown(one)}, which is no Unicode")
        elif isinstance(one, int) and not _is_float(one):
            raise Misfit(f"its {name} has a number of {one.bit_length()} bits")


def _shown(found: object) -> str:
    return f"{found!r:.40}"
