"""The condensation methods, one file each. A new file with a method in it is found by itself."""

from __future__ import annotations

from typing import Any

from condensery import plugins
from condensery.method import Method

METHODS: dict[str, type[Method]] = plugins.find(__path__, __name__, "terms")


def get_method(name: str, **settings: Any) -> Method:
    """The method called `name` with its fields set to `settings`, the paper's defaults for the rest.

    Raises:
        BadInput: no such method or field, or a value of the wrong type.
    """
    return plugins.configure("method", METHODS, name, settings)
