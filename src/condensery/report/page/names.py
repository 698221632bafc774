"""What belongs together, and what each is called: groups, short names, one colour for each subject."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from condensery.budgets import Counts, spanned
from condensery.evaluation.scores import EQUAL_BYTES
from condensery.report.contents import RANDOM, WHOLE, Measurement
from condensery.report.page.charts import COLOURS
from condensery.text import accuracy, count

T = TypeVar("T")


def groups(items: Iterable[T], key: Callable[[T], Any]) -> dict[Any, list[T]]:
    """Items by key, in the order in which keys first appear."""
    found: dict[Any, list[T]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found


def varies(items: Sequence[Any], attribute: str) -> bool:
    """Whether `attribute` has several values among `items`."""
    return len({getattr(item, attribute) for item in items}) > 1


def subject_name(subject: str) -> str:
    """A subject in words."""
    known = {WHOLE: "whole training set", RANDOM: "random images"}
    return known.get(subject, subject.replace(EQUAL_BYTES, "random images of equal bytes"))


NAMES = {
    "data": "images",
    "condensed_with": "condensed with",
    "network": "network trained",
    "protocol": "protocol",
    "labels": "labels",
    "augmentation": "augmentation",
}
"""Of what may be the same in all rows of a table, or has a column."""


def values_of(rows: Sequence[Any]) -> dict[str, list[Any]]:
    """By attribute of `NAMES` the values that rows have, of those that have one."""
    found = {a: dict.fromkeys(getattr(m, a) for m in rows) for a in NAMES}
    return {a: [value for value in values if value is not None] for a, values in found.items()}


def varying(rows: Sequence[Any]) -> list[tuple[str, str]]:
    """(attribute, head) of the columns that tell rows apart."""
    return [(a, NAMES[a].capitalize()) for a, values in values_of(rows).items() if len(values) > 1]


_PHRASES: dict[str, Callable[[Any], str]] = {
    "condensed_with": "with {}".format,
    "network": "on {}".format,
    "protocol": str,
    "labels": "{} labels".format,
    "augmentation": lambda value: "not augmented" if value == "none" else "augmented",
    "epochs": lambda number: count(number, "epoch"),
    "steps": lambda number: count(number, "step"),
    "seed": "seed {}".format,
}


def differing(item: Any, among: Sequence[Any], *attributes: str) -> list[str]:
    """["with convnet", "seed 0"]: those of `attributes` in which not all `among` are alike."""
    said = {a: getattr(item, a) for a in attributes if varies(among, a)}
    return [_PHRASES[a](value) for a, value in said.items() if value is not None]


def name_within(m: Measurement, group: Sequence[Measurement]) -> str:
    """A name that tells a measurement from the others of its group."""
    return _name(m, group, *(a for a in _PHRASES if a != "seed"))


def series_name(m: Measurement, group: Sequence[Measurement]) -> str:
    """A name for the sets of a measurement at any budget."""
    return _name(m, group, "condensed_with", "labels")


def _name(m: Measurement, group: Sequence[Measurement], *attributes: str) -> str:
    more = differing(m, [other for other in group if other.subject == m.subject], *attributes)
    return subject_name(m.subject) + (f" ({', '.join(more)})" if more else "")


def spread(m: Measurement) -> float | None:
    """The standard deviation; a single network has none."""
    return m.std if m.n > 1 else None


def budget(ipc: int | Counts | None) -> str:
    """10 images per class, 5 to 20 images per class"""
    if ipc is None:
        return "whole training set"
    return f"{count(ipc, 'image') if isinstance(ipc, int) else f'{spanned(ipc)} images'} per class"


def found(m: Measurement) -> str:
    """27.3 ± 0.8 % (n = 5)"""
    return f"{accuracy(m.mean, m.std, m.n)} % (n = {m.n})"


def ceiling_of(measurements: Iterable[Measurement], like: Measurement) -> Measurement | None:
    """The whole training set under the network and protocol of `like`: the longest training of several."""
    whole = [m for m in measurements if m.subject == WHOLE and circumstances(m) == circumstances(like)]
    return max(whole, key=lambda m: m.epochs, default=None)


def circumstances(m: Measurement) -> tuple[str, str, str, str]:
    """What must be equal for accuracies to be compared: images, network, protocol, augmentation."""
    return m.data, m.network, m.protocol, m.augmentation


def colours_of(subjects: Iterable[str]) -> dict[str, int]:
    """One colour number for each subject, the same all over a page. Random images are the last, a grey."""
    known = dict.fromkeys(subjects, COLOURS - 1)
    own = [subject for subject in known if subject not in (RANDOM, WHOLE)]
    return {**known, **{subject: i % (COLOURS - 1) for i, subject in enumerate(own)}}
