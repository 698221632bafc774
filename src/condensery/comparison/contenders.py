"""From what was asked for to contenders: names, labels, fields and numbers of updates, checked before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from condensery.comparison.plan import Contender
from condensery.coresets import SELECTORS, Selector, get_selector
from condensery.errors import BadInput, did_you_mean
from condensery.method import Method
from condensery.methods import METHODS, get_method
from condensery.report.contents import RANDOM, WHOLE

Steps = int | Mapping[str, int] | None
"""Updates of every method, or of some by label."""


def contenders(
    methods: Sequence[str | Method | Selector | Contender], settings: Mapping[str, Any], steps: Steps
) -> tuple[Contender, ...]:
    """The contenders in order.

    Args:
        methods: a name; "label=name" for a second setting of a method; a configured method or
            selector; or a contender.
        settings: "label.field" sets a field of one contender, "field" that of all that have it.
        steps: updates of every method, or by label.

    Raises:
        BadInput: an unknown name or field, a label that is there twice, a value out of range.
    """
    asked = [_asked(entry) for entry in methods]
    labels = [contender.label for contender in asked]
    if not asked:
        raise BadInput("nothing to compare: name methods with --methods, such as dm,dsa,random")
    for contender in asked:
        _require_own_label(contender)
    for label in labels:
        if labels.count(label) > 1:
            raise BadInput(
                f"{label!r} is there twice: give one a label of its own, such as {label}-2={label}"
            )
    chosen = _by_label(asked, settings)
    counts = _steps_by_label(asked, steps)
    return tuple(_configured(c, chosen[c.label], counts.get(c.label, c.steps)) for c in asked)


def known_names() -> list[str]:
    """Every method and selector."""
    return [*sorted(METHODS), *sorted(SELECTORS)]


def _asked(entry: str | Method | Selector | Contender) -> Contender:
    if isinstance(entry, Contender):
        return entry
    if not isinstance(entry, str):
        return Contender(entry.name, entry.name, asdict(entry))  # type: ignore[call-overload]
    label, equals, name = entry.partition("=")
    contender = Contender(label.strip(), (name if equals else label).strip())
    if contender.method not in known_names():
        raise BadInput(
            f"unknown method {contender.method!r}; there are {', '.join(known_names())}"
            f"{did_you_mean(contender.method, known_names())}"
        )
    return contender


def _require_own_label(contender: Contender) -> None:
    """Raises BadInput for a label that a reader would take for something else."""
    label, method = contender.label, contender.method
    if not label:
        raise BadInput(f"={method} has no label: write it before the sign, such as my-{method}={method}")
    if label != method and label in (*known_names(), WHOLE):
        raise BadInput(
            f"{label!r} means something else than {method}: choose another label, such as my-{method}"
        )
    if method == RANDOM and label != RANDOM:
        raise BadInput(
            f"{label}=random: random images are the floor that all others are measured by, and have no settings; "
            "write random"
        )


def _field_names(method: str) -> list[str]:
    kind: Any = METHODS.get(method) or SELECTORS[method]
    return [f.name for f in fields(kind)]


def _by_label(asked: Sequence[Contender], settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings of each contender; those that name one win over those for all."""
    chosen: dict[str, dict[str, Any]] = {contender.label: dict(contender.fields) for contender in asked}
    for name, value in sorted(settings.items(), key=lambda item: "." in item[0]):
        label, dot, field = name.rpartition(".")
        having = [
            c for c in asked if (c.label == label or not dot) and (dot or field in _field_names(c.method))
        ]
        if not having:
            _refuse(name, label, field, asked)
        for contender in having:
            chosen[contender.label][field] = value
    return chosen


def _refuse(name: str, label: str, field: str, asked: Sequence[Contender]) -> None:
    labels = [contender.label for contender in asked]
    if label and label not in labels:
        raise BadInput(
            f"--set {name}: {label!r} is not compared; there are {', '.join(labels)}{did_you_mean(label, labels)}"
        )
    there = sorted({field for contender in asked for field in _field_names(contender.method)})
    raise BadInput(
        f"--set {name}: none of {', '.join(labels)} has a field {field!r}{did_you_mean(field, there)}"
    )


def _steps_by_label(asked: Sequence[Contender], steps: Steps) -> dict[str, int]:
    condensing = [contender.label for contender in asked if contender.condenses]
    counts = dict(steps) if isinstance(steps, Mapping) else {}
    for label in counts:
        if label not in condensing:
            raise BadInput(
                f"--steps {label}={counts[label]}: {label!r} is not a method that is compared; "
                f"there are {', '.join(condensing) or 'none'}"
            )
    if isinstance(steps, int):
        counts = dict.fromkeys(condensing, steps)
    for label, count in counts.items():
        if count < 1:
            raise BadInput(f"--steps must be at least 1, not {count} for {label}")
    return counts


def _configured(contender: Contender, settings: dict[str, Any], steps: int | None) -> Contender:
    """With every field of the method, checked."""
    return Contender(contender.label, contender.method, all_fields(contender.method, **settings), steps)


def all_fields(method: str, **settings: Any) -> dict[str, Any]:
    """Every field of a method or selector: those in `settings`, checked, and the defaults of the others."""
    get = get_method if method in METHODS else get_selector
    return asdict(get(method, **settings))  # type: ignore[call-overload]  # both are dataclasses
