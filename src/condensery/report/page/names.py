"""What belongs together, and what each is called: groups, short names, one colour for each subject."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from condensery.report.contents import WHOLE, Measurement
from condensery.report.page.charts import COLOURS
from condensery.words import accuracy, count

RANDOM = "random"
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
    return {WHOLE: "whole training set", RANDOM: "random images"}.get(subject, subject)


def names_within(group: Sequence[Measurement]) -> list[str]:
    """A name for each measurement that tells it from the others of its group."""
    alike = groups(group, lambda m: m.subject)
    found = []
    for m in group:
        more = [
            said
            for attribute, said in (
                ("condensed_with", f"with {m.condensed_with}"),
                ("network", f"on {m.network}"),
                ("protocol", m.protocol),
                ("labels", f"{m.labels} labels"),
                ("augmentation", "not augmented" if m.augmentation == "none" else "augmented"),
                ("epochs", count(m.epochs, "epoch")),
                ("steps", count(m.steps, "step") if m.steps is not None else ""),
            )
            if varies(alike[m.subject], attribute) and said
        ]
        found.append(subject_name(m.subject) + (f" ({', '.join(more)})" if more else ""))
    return found


def budget(ipc: int | None) -> str:
    """10 images per class"""
    return "whole training set" if ipc is None else f"{count(ipc, 'image')} per class"


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


class Colours:
    """One colour number for each subject, the same all over a page. Random images are the last, a grey."""

    def __init__(self, subjects: Iterable[str]) -> None:
        own = [s for s in dict.fromkeys(subjects) if s not in (RANDOM, WHOLE)]
        self._numbers = {s: i % (COLOURS - 1) for i, s in enumerate(own)}

    def __getitem__(self, subject: str) -> int:
        return self._numbers.get(subject, COLOURS - 1)
