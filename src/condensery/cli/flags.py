"""Flags from dataclass fields: those of the commands, and those of every method and selector."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path
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

from condensery.cli.declared import Field, algorithms, field_docs, flag_of, owners
from condensery.errors import BadInput
from condensery.plugins import KINDS

_NAMED = 3  # methods in the title of the fields that they share
_METAVARS = {int: "N", float: "X", str: "NAME", Path: "PATH"}


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


@dataclass(frozen=True)
class Parameter:
    """A field as the command line knows it.

    Attributes:
        kind: the type of what is typed.
        names: of the flag.
        text: its help, with the default.
        brief: the first sentence of its help, with the default.
        panel: the title that it stands under in the whole help.
        metavar: what stands for its value.
        required: it has no default.
        flag: what else there is to it.
        owners: the methods or selectors whose field it is; empty for options of the command itself.
    """

    kind: Any
    names: tuple[str, ...]
    text: str
    brief: str
    panel: str | None = None
    metavar: str | None = None
    required: bool = False
    flag: Flag = Flag()
    owners: Mapping[str, Field] = field(default_factory=dict)


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Options:
    """Base of commands, and of the groups of flags that these inherit from: frozen dataclasses. The string below a
    field is its help. In the help of a command the flags of its groups come first, from left to right, then its own.

    Attributes:
        panel: where the help shows a class's own fields, from `class Images(Options, panel="Images")`.
        package: "methods" or "coresets" for a command that has their fields as flags too.
        first: the fields that most people need, as words, in the order in which the short help shows them.
        typed: the values that were typed, as opposed to defaults.
        command: the whole command line.
    """

    panel: ClassVar[str | None] = None
    package: ClassVar[str] = ""
    first: ClassVar[str] = ""
    typed: ClassVar[Mapping[str, Any]] = {}
    command: ClassVar[str] = ""

    def __init_subclass__(cls, panel: str | None = None, package: str = "") -> None:
        cls.panel, cls.package = panel, package
        dataclass(frozen=True, kw_only=True)(cls)

    @classmethod
    def made(cls, given: Mapping[str, Any], command: str) -> Self:
        """The record of a command line. What was not typed takes the field's default."""
        typed = {}
        for name, parameter in cls.parameters().items():
            flag = parameter.flag
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
    def parameters(cls) -> dict[str, Parameter]:
        """Each field as the command line knows it, by its name."""
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
        for owned, having in owners(self.package).items():
            if owned not in self.typed:
                continue
            flag, value = flag_of(owned), self.typed[owned]
            if name not in having:
                others = f"it belongs to {_and(having)}"
                raise BadInput(f"method {name} has no {flag} ({others}): see condense methods {name}")
            kind = having[name].kind
            try:
                settings[owned] = kind(value)
            except ValueError as error:
                raise BadInput(f"{flag} of {name} must be {KINDS[kind]}, not {value!r}") from error
        return settings


def algorithm_parameters(package: str) -> dict[str, Parameter]:
    """A flag for each field of a method or selector. Several may have it, with their meanings and defaults."""
    found = {}
    for name, having in owners(package).items():
        kinds = {has.kind for has in having.values()}
        kind = kinds.pop() if len(kinds) == 1 else str  # `fields_of` converts to what the method has
        docs = _by_name({one: has.doc for one, has in having.items()}, "; ")
        defaults = _by_name({one: str(has.default) for one, has in having.items()}, ", ")
        few, alike = len(having) <= _NAMED, len({has.doc for has in having.values()}) == 1
        panel = f"Fields of {_and(having)}" if few else "Fields of several methods"
        docs = sentence(docs) if alike else docs
        meant = f"{'/'.join(having)}: {docs}" if alike and not few else docs
        text = f"{meant} (default: {defaults})."
        shown = "the method's" if ": " in defaults else defaults
        brief = f"{docs} (default: {shown})."
        found[name] = Parameter(kind, (flag_of(name),), text, brief, panel, _METAVARS[kind], owners=having)
    return found


def _parameter(declared: Any, hint: Any, text: str, panel: str | None) -> Parameter:
    """A field of a command, with its default in its help."""
    (kind, flag), default = _kind(hint), declared.default
    names = flag.names or (flag_of(declared.name),)
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    if default is True:
        names, shown = (f"{names[0]}/--no-{names[0][2:]}",), names[0]
    if flag.choices:
        text = text.replace("{}", ", ".join(flag.choices()))
    first = text.partition(". ")[0].removesuffix(".")
    if default not in (None, MISSING, (), "") and default is not False:
        text, first = (f"{one.removesuffix('.')} (default: {shown})" for one in (text, first))
    required = default is MISSING and declared.default_factory is MISSING
    metavar = flag.metavar or _METAVARS.get(kind, "")
    return Parameter(
        kind, names, f"{text.removesuffix('.')}.", f"{first}.", panel, metavar, required=required, flag=flag
    )


def _kind(hint: Any) -> tuple[Any, Flag]:
    """The type behind "or None" and `Annotated`, and the `Flag` in it."""
    if get_origin(hint) in (Union, UnionType):
        return _kind(next(one for one in get_args(hint) if one is not NoneType))
    if get_origin(hint) is Annotated:
        kind, flag = _kind(hint.__origin__)[0], hint.__metadata__[0]
        return (flag.typed if flag.parse else kind), flag
    return hint, Flag()


def sentence(text: str) -> str:
    """It begins with a capital letter."""
    return text[:1].upper() + text[1:]


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
