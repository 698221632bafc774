"""Selection of real images: the baselines that a condensed set has to beat. One file for each selector.

A new file with a selector in it is found by itself.
"""

from __future__ import annotations

from typing import Any

from condensery import plugins
from condensery.coresets.random import as_set, random_selection
from condensery.coresets.selector import SelectionTask, Selector

SELECTORS: dict[str, type[Selector]] = plugins.find(__path__, __name__, "select")


def get_selector(name: str, **settings: Any) -> Selector:
    """The selector called `name` with its fields set to `settings`, its defaults for the rest.

    Raises:
        BadInput: no such selector or field, or a value of the wrong type.
    """
    return plugins.configure("selector", SELECTORS, name, settings)


__all__ = [
    "SELECTORS",
    "SelectionTask",
    "Selector",
    "as_set",
    "get_selector",
    "random_selection",
]
