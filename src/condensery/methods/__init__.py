"""The condensation methods, one file each. A new file with a method in it is found by itself."""

from __future__ import annotations

import difflib
import importlib
import math
import pkgutil
from dataclasses import fields
from typing import Any

from condensery.errors import BadInput
from condensery.method import Method


def _find() -> dict[str, type[Method]]:
    found: dict[str, type[Method]] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and value.__module__ == module.name and hasattr(value, "terms"):
                found[value.name] = value
    return found


METHODS: dict[str, type[Method]] = _find()


def get_method(name: str, **settings: Any) -> Method:
    """The method called `name` with its fields set to `settings`, the paper's defaults for the rest.

    Raises:
        BadInput: no such method or field, or a value of the wrong type.
    """
    if name not in METHODS:
        raise BadInput(
            f"unknown method {name!r}{_nearest(name, METHODS)}; there are {', '.join(sorted(METHODS))}"
        )
    defaults: dict[str, Any] = {f.name: f.default for f in fields(METHODS[name])}  # type: ignore[arg-type]
    kinds = {key: type(default) for key, default in defaults.items()}
    for key, value in settings.items():
        if key not in kinds:
            raise BadInput(f"{name} has no field {key!r}{_nearest(key, kinds)}; it has {', '.join(kinds)}")
        if not isinstance(value, kinds[key] if kinds[key] is not float else (int, float)):
            raise BadInput(f"{name}.{key} must be {kinds[key].__name__}, not {value!r}")
        if kinds[key] is not str and not 0 <= value < math.inf:
            raise BadInput(f"{name}.{key} must be a number of 0 or more, not {value!r}")
        if kinds[key] is int and value == 0 and defaults[key] > 0:
            raise BadInput(f"{name}.{key} must be at least 1, not 0")
    return METHODS[name](**settings)


def _nearest(name: str, names: Any) -> str:
    close = difflib.get_close_matches(name, list(names), 1)
    return f", did you mean {close[0]!r}?" if close else ""
