"""The condensation methods, one file each. A new file with a method in it is found by itself."""

from __future__ import annotations

import importlib
import math
import pkgutil
from dataclasses import fields
from typing import Any

from condensery.errors import BadInput, did_you_mean
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
            f"unknown method {name!r}; there are {', '.join(sorted(METHODS))}{did_you_mean(name, METHODS)}"
        )
    defaults: dict[str, Any] = {f.name: f.default for f in fields(METHODS[name])}  # type: ignore[arg-type]
    kinds = {key: type(default) for key, default in defaults.items()}
    for key, value in settings.items():
        if key not in kinds:
            raise BadInput(
                f"{name} has no field {key!r}; it has {', '.join(kinds)}{did_you_mean(key, kinds)}"
            )
        if not isinstance(value, kinds[key] if kinds[key] is not float else (int, float)):
            raise BadInput(f"{name}.{key} must be {kinds[key].__name__}, not {value!r}")
        least = 1 if kinds[key] is int and defaults[key] > 0 else 0
        if kinds[key] is not str and not least <= value < math.inf:
            raise BadInput(f"{name}.{key} must be a number of {least} or more, not {value!r}")
    return METHODS[name](**settings)
