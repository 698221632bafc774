"""What `import condensery` offers."""

from __future__ import annotations

import ast
import importlib
import inspect
from dataclasses import is_dataclass
from importlib.resources import files
from typing import get_type_hints

import pytest

import condensery


@pytest.mark.parametrize("name", condensery.__all__)
def test_everything_public_exists_and_is_documented(name: str) -> None:
    thing = getattr(condensery, name)
    if inspect.isclass(thing) or callable(thing):
        assert thing.__doc__ and not thing.__doc__.startswith(f"{name}(")  # not dataclass's own signature


@pytest.mark.parametrize(
    "name",
    ["condense", "select", "label", "evaluate", "load", "save", "load_images", "get_method", "get_selector"],
)
def test_functions_are_typed(name: str) -> None:
    function = getattr(condensery, name)
    hints = get_type_hints(function)
    assert set(inspect.signature(function).parameters) | {"return"} <= set(hints)


def test_nothing_else_is_public() -> None:
    public = {
        name
        for name, value in vars(condensery).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public <= set(condensery.__all__)
    assert dir(condensery) == sorted(condensery.__all__)
    with pytest.raises(AttributeError, match="no attribute 'condence'"):
        condensery.condence  # noqa: B018
    assert list(condensery.__all__) == sorted(
        condensery.__all__, key=lambda n: (not n.isupper(), n[0].islower(), n)
    )


def test_type_checkers_see_what_is_loaded_when_it_is_used() -> None:
    (block,) = (node for node in ast.parse(inspect.getsource(condensery)).body if isinstance(node, ast.If))
    seen = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(seen) == set(condensery.__all__)
    for name, home in seen.items():
        module, _, there = home.rpartition(".")
        assert getattr(condensery, name) is getattr(importlib.import_module(module), there), name


def test_value_types_are_frozen() -> None:
    for name in condensery.__all__:
        thing = getattr(condensery, name)
        if inspect.isclass(thing) and is_dataclass(thing):
            assert thing.__dataclass_params__.frozen, name  # type: ignore[attr-defined]


def test_typed_marker_is_shipped() -> None:
    assert files("condensery").joinpath("py.typed").is_file()


def test_errors_share_one_ancestor_and_have_exit_codes() -> None:
    assert issubclass(condensery.BadFile, condensery.BadInput)
    assert issubclass(condensery.BadInput, condensery.CondenseryError)
    assert issubclass(condensery.FailedWork, condensery.CondenseryError)
    assert (condensery.BadInput.exit_code, condensery.FailedWork.exit_code) == (2, 1)
