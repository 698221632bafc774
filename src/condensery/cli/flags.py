"""Flags from dataclass fields: those of the commands, and those of every method and selector."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Self,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

import typer
from rich.markup import escape

from condensery.cli.declared import algorithms, field_docs, flag_of, owners
from condensery.errors import BadInput


@dataclass(frozen=True)
class Flag:
    """What the type of an option does not say about its flag; stands in `Annotated`.

    Attributes:
        metavar: what the help shows in place of the type.
        parse: makes the value from the flag and what was typed; raises BadInput.
        typed: what `parse` is given.
        names: the flag's names where they are not the field's.
        choices: names that stand in the help in place of {}.
        positional: it has no name, its place says what it is.
    """

    metavar: str | None = None
    parse: Callable[[str, Any], Any] | None = None
    typed: Any = str
    names: tuple[str, ...] = ()
    choices: Callable[[], Iterable[str]] | None = None
    positional: bool = False


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Options:
    """Base of commands, and of the groups of flags that these inherit from: frozen dataclasses. The string below a
    field is its help. In the help of a command the flags of its groups come first, from left to right, then its own.

    Attributes:
        panel: where the help shows a class's own fields, from `class Images(Options, panel="Images")`.
        package: "methods" or "coresets" for a command that has their fields as flags too.
        typed: the values that were typed, as opposed to defaults.
        command: the whole command line.
    """

    panel: ClassVar[str | None] = None
    package: ClassVar[str] = ""
    typed: ClassVar[Mapping[str, Any]] = {}
    command: ClassVar[str] = ""

    def __init_subclass__(cls, panel: str | None = None, package: str = "") -> None:
        cls.panel, cls.package = panel, package
        dataclass(frozen=True, kw_only=True)(cls)

    @classmethod
    def made(cls, given: Mapping[str, Any], command: str) -> Self:
        """The record of a command line. What was not typed takes the field's default."""
        typed = {}
        for name, (_, flag) in cls.parameters().items():
            if given[name] not in (None, []):
                shown = flag.names[0] if flag.names else flag_of(name)
                typed[name] = flag.parse(shown, given[name]) if flag.parse else given[name]
        record = cls(**{field.name: typed[field.name] for field in fields(cls) if field.name in typed})  # type: ignore[arg-type]
        for name, value in (("typed", typed), ("command", command)):
            object.__setattr__(record, name, value)
        return record

    @classmethod
    def groups(cls) -> Iterator[type[Options]]:
        """The groups that it inherits from, from left to right, and itself."""
        for base in cls.__bases__:
            if issubclass(base, Options):
                yield from base.groups()
        yield cls

    @classmethod
    @cache
    def parameters(cls) -> dict[str, tuple[inspect.Parameter, Flag]]:
        """What typer sees of each field, and what else there is to it."""
        hints, declared = get_type_hints(cls, include_extras=True), {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
        found = {}
        for group in cls.groups():
            for name in [name for name in vars(group).get("__annotations__", ()) if name in declared]:
                found[name] = _parameter(declared[name], hints[name], field_docs(cls)[name], group.panel)
        return {**found, **(algorithm_parameters(cls.package) if cls.package else {})}

    def of(self, function: Callable[..., Any], **instead: Any) -> dict[str, Any]:
        """Each option that `function` takes by the same name, and `instead` in place of some and beside them."""
        taken = inspect.signature(function).parameters.values()
        names = [one.name for one in taken if one.kind is not one.VAR_KEYWORD and hasattr(self, one.name)]
        return {**{name: getattr(self, name) for name in names}, **instead}

    def typed_in(self, group: type[Options]) -> dict[str, Any]:
        """What was typed for the flags of a group."""
        return {f.name: self.typed[f.name] for f in fields(group) if f.name in self.typed}  # type: ignore[arg-type]

    def fields_of(self, name: str) -> dict[str, Any]:
        """What was typed for fields of the method or selector `name`.

        Raises:
            BadInput: it has no such field, or the value does not fit it.
        """
        known = algorithms(self.package)
        if name not in known:
            return {}  # get_method says so, with the nearest name
        settings = {}
        for field, having in owners(self.package).items():
            if field not in self.typed:
                continue
            flag, value = flag_of(field), self.typed[field]
            if name not in having:
                owned = f"it belongs to {_and(having)}"
                raise BadInput(f"method {name} has no {flag} ({owned}): see condense methods {name}")
            kind = having[name].kind
            try:
                settings[field] = kind(value)
            except ValueError as error:
                raise BadInput(f"{flag} of {name} must be {kind.__name__}, not {value!r}") from error
        return settings


def as_function(command: Any, needed: bool) -> Callable[..., Any]:
    """A command as a function that typer understands; its flags only if they are `needed`."""
    own = [parameter for parameter, _ in command.parameters().values()] if needed else []

    def call(ctx: typer.Context, **given: Any) -> int | None:
        return command.made(given, ctx.obj).work()

    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    call.__doc__ = command.__doc__
    call.__signature__ = inspect.Signature([context, *own])  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in (context, *own)}
    return call


def algorithm_parameters(package: str) -> dict[str, tuple[inspect.Parameter, Flag]]:
    """A flag for each field of a method or selector. Several may have it, with their meanings and defaults."""
    found = {}
    for name, having in owners(package).items():
        kinds = {field.kind for field in having.values()}
        kind = kinds.pop() if len(kinds) == 1 else str  # `fields_of` converts to what the method has
        docs = _by_name({one: field.doc for one, field in having.items()}, "; ")
        defaults = _by_name({one: str(field.default) for one, field in having.items()}, ", ")
        text, panel = escape(f"{docs} (default: {defaults})"), f"Fields of {_and(having)}"
        found[name] = _seen(name, kind, typer.Option(flag_of(name), help=text, rich_help_panel=panel)), Flag()
    return found


def _parameter(field: Any, hint: Any, text: str, panel: str | None) -> tuple[inspect.Parameter, Flag]:
    """What typer sees of a field, with its default in its help."""
    (kind, flag), default = _kind(hint), field.default
    names = flag.names or (flag_of(field.name),)
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    if default is True:
        names, shown = (f"{names[0]}/--no-{names[0][2:]}",), names[0]
    if flag.choices:
        text = text.replace("{}", ", ".join(flag.choices()))
    if default not in (None, MISSING, (), "") and default is not False:
        text = f"{text.removesuffix('.')} (default: {shown})."
    required = default is MISSING and field.default_factory is MISSING
    metavar = "" if kind is bool else flag.metavar
    if flag.positional:
        option = typer.Argument(help=escape(text), metavar=metavar)
    else:
        option = typer.Option(*names, help=escape(text), metavar=metavar, rich_help_panel=panel)
    return _seen(field.name, kind, option, required), flag


def _seen(name: str, kind: Any, option: Any, required: bool = False) -> inspect.Parameter:
    option.show_default = False
    default = inspect.Parameter.empty if required else None
    annotation = Annotated[kind if required else kind | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _kind(hint: Any) -> tuple[Any, Flag]:
    """The type behind "or None" and `Annotated`, and the `Flag` in it."""
    if get_origin(hint) in (Union, UnionType):
        return _kind(next(one for one in get_args(hint) if one is not NoneType))
    if get_origin(hint) is Annotated:
        kind, flag = _kind(hint.__origin__)[0], hint.__metadata__[0]
        return (flag.typed if flag.parse else kind), flag
    return hint, Flag()


def _by_name(texts: Mapping[str, str], separator: str) -> str:
    """{"dc": "a", "dm": "b", "dsa": "a"} -> "dc/dsa: a, dm: b" """
    same = {text: "/".join(name for name in texts if texts[name] == text) for text in texts.values()}
    return (
        separator.join(f"{names}: {text}" for text, names in same.items())
        if len(same) > 1
        else next(iter(same))
    )


def _and(names: Iterable[str]) -> str:
    """ "dc, dm and dsa" """
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
