"""Flags from dataclass fields: those of the commands' own records, and those of every method and selector."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache, wraps
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

import typer
from rich.markup import escape

from condensery.cli.declared import Field, algorithms, field_docs, flag_of
from condensery.errors import BadInput

T = TypeVar("T")


@dataclass(frozen=True)
class Flag:
    """What the type of an option does not say about its flag; stands in `Annotated`.

    Attributes:
        metavar: what the help shows in place of the type.
        parse: makes the value from the flag and what was typed; raises BadInput.
        typed: what `parse` is given.
        names: the flag's names where they are not the field's.
        choices: names that stand in the help in place of {}.
    """

    metavar: str | None = None
    parse: Callable[[str, Any], Any] | None = None
    typed: Any = str
    names: tuple[str, ...] = ()
    choices: Callable[[], Iterable[str]] | None = None


@dataclass_transform(frozen_default=True)
def options(panel: str | None = None) -> Callable[[type[T]], type[T]]:
    """Decorator: a frozen dataclass whose fields are flags, their help below them, shown in `panel` (or its base's)."""

    def record(cls: type[T]) -> type[T]:
        cls.panel = panel or getattr(cls, "panel", None)  # type: ignore[attr-defined]
        return dataclass(frozen=True)(cls)

    return record


class Typed(dict[str, Any]):
    """The options that were typed, as opposed to defaults."""


class AlgorithmFlags(dict[str, Any]):
    """What was typed for fields of methods, or of selectors: `package` is where these are."""

    package: ClassVar[str]

    def of(self, name: str) -> dict[str, Any]:
        """The settings of the method or selector `name`.

        Raises:
            BadInput: it has no such field, or the value does not fit it.
        """
        known = algorithms(self.package)
        if name not in known:
            return {}  # get_method says so, with the nearest name
        kinds = {field.name: field.kind for field in known[name].fields}
        settings = {}
        for field, value in self.items():
            flag = flag_of(field)
            if field not in kinds:
                have = _and(owners(self.package)[field])
                raise BadInput(
                    f"method {name} has no {flag} (it belongs to {have}): see condense methods {name}"
                )
            try:
                settings[field] = kinds[field](value)
            except ValueError as error:
                raise BadInput(f"{flag} of {name} must be {kinds[field].__name__}, not {value!r}") from error
        return settings


class MethodFlags(AlgorithmFlags):
    package = "methods"


class SelectorFlags(AlgorithmFlags):
    package = "coresets"


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """A command whose parameters are records of `options`, as one that typer understands.

    A record becomes a flag for each of its fields; what is not typed takes the field's default. `MethodFlags` and
    `SelectorFlags` become the fields of all methods or selectors, `Typed` holds what was typed, and any other
    parameter is typer's own.

    Raises:
        TypeError: two flags have one name.
    """
    hints = get_type_hints(function, include_extras=True)
    hints.pop("return", None)
    records = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    extras: dict[str, Any] = {
        name: hint for name, hint in hints.items() if inspect.isclass(hint) and issubclass(hint, dict)
    }
    parameters = []
    for name, hint in hints.items():
        if name in records:
            parameters += [_of_field(hint, field) for field in fields(hint)]
        elif name in extras:
            parameters += [] if hint is Typed else _of_algorithms(extras[name].package)
        else:
            default = inspect.signature(function).parameters[name].default
            parameters.append(_parameter(name, hint, default))
    names = [p.name for p in parameters]
    if len(set(names)) < len(names):
        raise TypeError(f"{function.__name__} has two flags of one name: {', '.join(sorted(names))}")

    @wraps(function)
    def call(**values: Any) -> Any:
        given = {name: value for name, value in values.items() if value not in (None, [])}
        made = {name: _made(record, given) for name, record in records.items()}
        typed = {
            key: value for record in made.values() for key, value in vars(record).items() if key in given
        }
        for name, hint in extras.items():
            wanted = (
                typed if hint is Typed else {key: given[key] for key in owners(hint.package) if key in given}
            )
            made[name] = hint(wanted)
        return function(**made, **{name: values[name] for name in hints if name not in made})

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    return call


def without_flags(function: Callable[..., Any]) -> Callable[[], None]:
    """A command of that name and explanation, for a list of commands."""

    def call() -> None:
        raise NotImplementedError

    call.__name__, call.__doc__ = function.__name__, function.__doc__
    return call


@cache
def _hints(record: Any) -> dict[str, Any]:
    return get_type_hints(record, include_extras=True)


def _made(record: Any, given: Mapping[str, Any]) -> Any:
    """The record with the values that were typed."""
    values = {}
    for field in fields(record):
        if field.name in given:
            _, flag = _kind(record, field.name)
            name, value = (*flag.names, flag_of(field.name))[0], given[field.name]
            values[field.name] = flag.parse(name, value) if flag.parse else value
    return record(**values)


def _kind(record: Any, name: str) -> tuple[Any, Flag]:
    """The type that typer converts to, and the rest of the flag."""
    hint, flag = _hints(record)[name], Flag()
    while get_origin(hint) in (Annotated, Union, UnionType):
        if get_origin(hint) is Annotated:
            hint, flag = hint.__origin__, hint.__metadata__[0]
        else:  # something or None
            hint = next(one for one in get_args(hint) if one is not NoneType)
    return (flag.typed if flag.parse else hint), flag


def _of_field(record: Any, field: Any) -> inspect.Parameter:
    """The flag of an option, with its default in its help."""
    kind, flag = _kind(record, field.name)
    names, text, default = flag.names or (flag_of(field.name),), field_docs(record)[field.name], field.default
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    if default is True:
        names, shown = tuple(f"{name}/--no-{name[2:]}" for name in names), names[0]
    if flag.choices:
        text = text.replace("{}", ", ".join(flag.choices()))
    if default not in (None, MISSING, (), "") and default is not False:
        text = f"{text.removesuffix('.')} (default: {shown})."
    option = _option(*names, help=text, panel=record.panel, metavar="" if kind is bool else flag.metavar)
    if default is MISSING and field.default_factory is MISSING:
        return _parameter(field.name, Annotated[kind, option], inspect.Parameter.empty)
    return _parameter(field.name, Annotated[kind | None, option], None)


def _of_algorithms(package: str) -> list[inspect.Parameter]:
    """A flag for each field; several methods may have it, each with its own meaning and default."""
    parameters = []
    for name, methods in owners(package).items():
        has = {
            method: next(f for f in algorithms(package)[method].fields if f.name == name)
            for method in methods
        }
        kinds = {field.kind for field in has.values()}
        kind = kinds.pop() if len(kinds) == 1 else str  # `AlgorithmFlags.of` converts to what the method has
        option = _option(flag_of(name), help=_meanings(has), panel=f"Fields of {_and(methods)}")
        parameters.append(_parameter(name, Annotated[kind | None, option], None))
    return parameters


def _option(*names: str, help: str, panel: str | None, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=escape(help), rich_help_panel=panel, metavar=metavar, show_default=False)


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def owners(package: str) -> dict[str, tuple[str, ...]]:
    """Field name -> the methods that have it; fields that most methods share come first."""
    found: dict[str, tuple[str, ...]] = {}
    for name, algorithm in algorithms(package).items():
        for field in algorithm.fields:
            found[field.name] = (*found.get(field.name, ()), name)
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[1])))


def _meanings(has: Mapping[str, Field]) -> str:
    """What a field means and its defaults, said once where methods agree."""
    docs = _by_name({method: field.doc for method, field in has.items()}, "; ")
    return (
        f"{docs} (default: {_by_name({method: str(field.default) for method, field in has.items()}, ', ')})"
    )


def _by_name(texts: Mapping[str, str], separator: str) -> str:
    """{"dc": "a", "dm": "b", "dsa": "a"} -> "dc/dsa: a, dm: b" """
    same = {text: "/".join(name for name in texts if texts[name] == text) for text in texts.values()}
    return (
        separator.join(f"{names}: {text}" for text, names in same.items())
        if len(same) > 1
        else next(iter(same))
    )


def _and(names: tuple[str, ...]) -> str:
    """ "dc, dm and dsa" """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
