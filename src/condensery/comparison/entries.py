"""The methods and selectors of a comparison from what was asked for: labels, fields and updates, all checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from condensery.comparison.plan import Entry
from condensery.coresets import SELECTORS, Selector, get_selector
from condensery.errors import BadInput, did_you_mean
from condensery.method import Method
from condensery.methods import METHODS, get_method
from condensery.report.contents import RANDOM, WHOLE

Steps = int | Mapping[str, int] | None
"""Updates of every method, or of some by label."""


def entries(
    methods: Sequence[str | Method | Selector | Entry], settings: Mapping[str, Any], steps: Steps
) -> tuple[Entry, ...]:
    """The entries in order, with every field.

    Args:
        methods: a name; "label=name" for a second setting of a method; a configured method or selector; or an entry.
        settings: "label.field" sets a field of one entry, "field" that of all that have it.
        steps: updates of every method, or by label.

    Raises:
        BadInput: an unknown name or field, a label that is there twice, a value out of range.
    """
    asked = [_asked(one) for one in methods]
    if not asked:
        raise BadInput(
            "nothing to compare: name methods with --methods, such as dm,dsa,random, or finished sets with --sets"
        )
    for label, times in Counter(entry.label for entry in asked).items():
        if times > 1:
            raise BadInput(
                f"{label!r} is there twice: give one a label of its own, such as {label}-2={label}"
            )
    require_known(settings, {one.label: one.method for one in asked})
    counts = _steps_by_label(asked, steps)
    found = []
    for one in asked:
        chosen = {**one.fields, **settings_of(one.label, one.method, settings)}
        made = all_fields(one.method, **chosen)
        found.append(replace(one, fields=made, steps=counts.get(one.label, one.steps)))
    return tuple(found)


def all_fields(method: str, **settings: Any) -> dict[str, Any]:
    """Every field of a method or selector: those in `settings`, checked, and the defaults of the others.

    Fields that it got later (`later_fields`) are left out at their defaults, so that keys stay what they were.
    """
    found: Any = (get_method if method in METHODS else get_selector)(method, **settings)
    later = getattr(found, "later_fields", ())
    return {
        f.name: value
        for f in fields(found)
        if (value := getattr(found, f.name)) != f.default or f.name not in later
    }


def _asked(one: str | Method | Selector | Entry) -> Entry:
    if isinstance(one, str):
        label, equals, name = (word.strip() for word in one.partition("="))
        one = Entry(label, name if equals else label)
    elif not isinstance(one, Entry):
        one = Entry(one.name, one.name, asdict(one))
    label, method, known = one.label, one.method, [*sorted(METHODS), *sorted(SELECTORS)]
    if method not in known:
        raise BadInput(
            f"unknown method {method!r}; there are {', '.join(known)}{did_you_mean(method, known)}"
        )
    if not label:
        raise BadInput(f"={method} has no label: write it before the sign, such as my-{method}={method}")
    if label != method and label in (*known, WHOLE):
        raise BadInput(
            f"{label!r} means something else than {method}: choose another label, such as my-{method}"
        )
    if method == RANDOM and label != RANDOM:
        raise BadInput(
            f"{label}=random: random images are the floor that all others are measured by, and have no settings; "
            "write random"
        )
    return one


def field_names(method: str) -> list[str]:
    """Of a method or selector."""
    return [f.name for f in fields(METHODS.get(method) or SELECTORS[method])]


def settings_of(label: str, method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of one method: "label.field" wins over "field", which is for all that have it."""
    found = {}
    for name, value in sorted(settings.items(), key=lambda item: "." in item[0]):
        of, dot, field = name.rpartition(".")
        if of == label if dot else field in field_names(method):
            found[field] = value
    return found


def require_known(settings: Mapping[str, Any], methods: Mapping[str, str]) -> None:
    """Raises BadInput for a setting that is not for one of the `methods`, which are given by label."""
    there = list(dict.fromkeys(field for method in methods.values() for field in field_names(method)))
    for name in settings:
        label, dot, field = name.rpartition(".")
        if dot and label not in methods:
            raise BadInput(
                f"--set {name}: {label!r} is not compared; there are {', '.join(methods)}{did_you_mean(label, methods)}"
            )
        if not dot and field not in there:  # a wrong field of one is refused with its name, by `all_fields`
            raise BadInput(
                f"--set {name}: none of {', '.join(methods)} has a field {field!r}{did_you_mean(field, there)}"
            )


def _steps_by_label(asked: Sequence[Entry], steps: Steps) -> dict[str, int]:
    condensing = [entry.label for entry in asked if entry.method in METHODS]
    counts = dict.fromkeys(condensing, steps) if isinstance(steps, int) else dict(steps or {})
    for label, count in counts.items():
        if label not in condensing:
            raise BadInput(
                f"--steps {label}={count}: {label!r} is not a method that is compared; "
                f"there are {', '.join(condensing) or 'none'}"
            )
        if count < 1:
            raise BadInput(f"--steps must be at least 1, not {count} for {label}")
    return counts
