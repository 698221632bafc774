"""Every field of every registered method or selector as a flag of its own, made from their dataclasses."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any

import typer
from rich.markup import escape

from condensery.errors import BadInput
from condensery.methods import METHODS

Registry = Mapping[str, type[Any]]
"""Name -> dataclass: `METHODS` or `SELECTORS`."""


@dataclass(frozen=True)
class MethodField:
    """One hyper-parameter of one method.

    Attributes:
        name, kind, default: as in the dataclass.
        doc: the string literal below the field.
    """

    name: str
    kind: type
    default: Any
    doc: str

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


def method_fields(method: str, registry: Registry = METHODS) -> tuple[MethodField, ...]:
    """The fields of a registered method, in order."""
    return _fields_of(registry[method])


@cache
def _fields_of(method: type) -> tuple[MethodField, ...]:
    documented = _field_docs(method)
    return tuple(
        MethodField(f.name, type(f.default), f.default, documented.get(f.name, "")) for f in fields(method)
    )


def _field_docs(method: type) -> dict[str, str]:
    """Field name -> the string literal that follows it in the source."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(method))).body[0]
    except (OSError, SyntaxError):  # source not shipped: flags work, without their explanation
        return {}
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                docs[statement.target.id] = " ".join(str(following.value.value).split())
    return docs


def owners(registry: Registry = METHODS) -> dict[str, tuple[str, ...]]:
    """Field name -> the methods that have it; fields that most methods share come first."""
    found: dict[str, tuple[str, ...]] = {}
    for method in sorted(registry):
        for field in method_fields(method, registry):
            found[field.name] = (*found.get(field.name, ()), method)
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[1])))


def with_fields(registry: Registry) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator: in place of **fields a command gets one keyword parameter for each field in `registry`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        fixed = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        flags = _flag_parameters(registry)
        clash = {p.name for p in fixed} & {p.name for p in flags}
        if clash:
            raise TypeError(f"fields have the name of a flag of the command: {', '.join(sorted(clash))}")
        fixed = [p.replace(kind=p.KEYWORD_ONLY) for p in fixed]
        command.__signature__ = signature.replace(parameters=[*fixed, *flags])  # type: ignore[attr-defined]
        command.__annotations__ |= {p.name: p.annotation for p in flags}
        return command

    return decorate


def _flag_parameters(registry: Registry) -> list[inspect.Parameter]:
    """One keyword parameter for each field name, None where the flag is not given."""
    parameters = []
    for name, methods in owners(registry).items():
        option = typer.Option(
            "--" + name.replace("_", "-"),
            help=_help(registry, name, methods),
            rich_help_panel=f"Fields of {_and(methods)}",
            show_default=False,
        )
        annotation = Annotated[_kind(registry, name, methods) | None, option]
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        )
    return parameters


def given_fields(method: str, flags: Mapping[str, Any], registry: Registry = METHODS) -> dict[str, Any]:
    """The flags that were given, as settings of `method`.

    Raises:
        BadInput: the method has no such field, or the value does not fit it.
    """
    if method not in registry:
        return {}  # get_method says so, with the nearest name
    kinds = {field.name: field.kind for field in method_fields(method, registry)}
    settings = {}
    for name, value in flags.items():
        if value is None:
            continue
        flag = "--" + name.replace("_", "-")
        if name not in kinds:
            have = _and(owners(registry)[name])
            raise BadInput(
                f"method {method} has no {flag} (it belongs to {have}): see condense methods {method}"
            )
        try:
            settings[name] = kinds[name](value)
        except ValueError as error:
            raise BadInput(f"{flag} of {method} must be {kinds[name].__name__}, not {value!r}") from error
    return settings


def _kind(registry: Registry, name: str, methods: tuple[str, ...]) -> type:
    """The type of a flag: its fields' type, or text where methods differ (then `given_fields` converts)."""
    found = (field for method in methods for field in method_fields(method, registry))
    kinds = {field.kind for field in found if field.name == name}
    return kinds.pop() if len(kinds) == 1 else str


def _help(registry: Registry, name: str, methods: tuple[str, ...]) -> str:
    """What the field means and its defaults, said once where methods agree."""
    has = {m: next(f for f in method_fields(m, registry) if f.name == name) for m in methods}
    docs: dict[str, list[str]] = {}
    defaults: dict[str, list[str]] = {}
    for method, field in has.items():
        docs.setdefault(field.doc, []).append(method)
        defaults.setdefault(str(field.default), []).append(method)
    return escape(f"{_by_method(docs, '; ')} (default: {_by_method(defaults, ', ')})")


def _by_method(texts: dict[str, list[str]], separator: str) -> str:
    if len(texts) == 1:
        return next(iter(texts))
    return separator.join(f"{'/'.join(methods)}: {text}" for text, methods in texts.items())


def _and(methods: tuple[str, ...]) -> str:
    """ "dc, dm and dsa" """
    return " and ".join([", ".join(methods[:-1]), methods[-1]] if len(methods) > 1 else methods)
