"""Algorithms that are found by themselves: one file each, a frozen dataclass whose fields are its settings."""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from condensery.errors import BadInput, did_you_mean

T = TypeVar("T")
KINDS = {int: "a whole number", float: "a number", str: "a text"}  # as people say them


def find(path: Iterable[str], package: str, function: str) -> dict[str, type[Any]]:
    """Every class with `function` that a module of `package` defines, by its `name`; those called _... are its own.

    Args:
        path, package: `__path__` and `__name__` of the package.
        function: what only the classes that are looked for have.
    """
    found: dict[str, type[Any]] = {}
    for module in pkgutil.iter_modules(path, f"{package}."):
        for key, value in vars(importlib.import_module(module.name)).items():
            own = isinstance(value, type) and value.__module__ == module.name and not key.startswith("_")
            if own and hasattr(value, function) and hasattr(value, "name"):  # a protocol has none yet
                found[value.name] = value
    return found


def configure(kind: str, known: Mapping[str, type[T]], name: str, settings: Mapping[str, Any]) -> T:
    """The one of `known` called `name` with its fields set to `settings`, its defaults for the rest.

    Args:
        kind: what it is, for messages: "method" or "selector".

    Raises:
        BadInput: no such name or field, or a value of the wrong type or out of range.
    """
    if name not in known:
        raise BadInput(
            f"unknown {kind} {name!r}; there are {', '.join(sorted(known))}{did_you_mean(name, known)}"
        )
    defaults: dict[str, Any] = {f.name: f.default for f in fields(known[name])}  # type: ignore[arg-type]
    kinds = {key: type(default) for key, default in defaults.items()}
    for key, value in settings.items():
        if key not in kinds:
            has = f"it has {', '.join(kinds)}{did_you_mean(key, kinds)}" if kinds else "it has none"
            raise BadInput(f"{name} has no field {key!r}; {has}")
        if not isinstance(value, kinds[key] if kinds[key] is not float else (int, float)):
            raise BadInput(f"{name}.{key} must be {KINDS[kinds[key]]}, not {value!r}")
        least = 1 if kinds[key] is int and defaults[key] > 0 else 0
        if kinds[key] is not str and not least <= value < math.inf:
            raise BadInput(f"{name}.{key} must be a number of {least} or more, not {value!r}")
    return known[name](**settings)
