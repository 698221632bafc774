"""Flags from dataclass fields: those of the commands' own records, and those of every method and selector."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache, wraps
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

from condensery.cli.declared import algorithms, field_docs, flag_of
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
    """

    metavar: str | None = None
    parse: Callable[[str, Any], Any] | None = None
    typed: Any = str
    names: tuple[str, ...] = ()
    choices: Callable[[], Iterable[str]] | None = None


@dataclass_transform(frozen_default=True)
class OptionGroup:
    """Base of a frozen dataclass whose fields are flags: the string below a field is its help.

    Attributes:
        panel: where the help shows them, from `class Images(OptionGroup, panel="Images")` or the base.
        typed: the values that were typed, as opposed to defaults.
    """

    panel: ClassVar[str | None] = None
    typed: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, panel: str | None = None) -> None:
        cls.panel = panel or cls.panel
        dataclass(frozen=True)(cls)

    @property
    def values(self) -> dict[str, Any]:
        """Every option by its name."""
        return {name: getattr(self, name) for name in self._kinds()}

    @classmethod
    def made(cls, given: Mapping[str, Any]) -> Self:
        """The record of a command line. What was not typed takes the field's default."""
        typed = {}
        for name, (_, flag) in cls._kinds().items():
            if name in given:
                shown = flag.names[0] if flag.names else flag_of(name)
                typed[name] = flag.parse(shown, given[name]) if flag.parse else given[name]
        record = cls(**typed)
        object.__setattr__(record, "typed", typed)
        return record

    @classmethod
    def parameters(cls) -> list[inspect.Parameter]:
        """What typer sees: a flag for each field, with its default in its help."""
        return [cls._parameter(field) for field in fields(cls)]  # type: ignore[arg-type]

    @classmethod
    @cache
    def _kinds(cls) -> dict[str, tuple[Any, Flag]]:
        """Field -> the type that typer converts to, and what else there is to its flag."""
        hints = get_type_hints(cls, include_extras=True)
        return {field.name: _kind(hints[field.name]) for field in fields(cls)}  # type: ignore[arg-type]

    @classmethod
    def _parameter(cls, field: Any) -> inspect.Parameter:
        (kind, flag), default = cls._kinds()[field.name], field.default
        names, text = flag.names or (flag_of(field.name),), field_docs(cls)[field.name]
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
        if default is True:
            names, shown = (f"{names[0]}/--no-{names[0][2:]}",), names[0]
        if flag.choices:
            text = text.replace("{}", ", ".join(flag.choices()))
        if default not in (None, MISSING, (), "") and default is not False:
            text = f"{text.removesuffix('.')} (default: {shown})."
        required = default is MISSING and field.default_factory is MISSING
        metavar = "" if kind is bool else flag.metavar
        return _parameter(field.name, kind, names, text, cls.panel, metavar, required)


class AlgorithmFlags(dict[str, Any]):
    """What was typed for fields of methods, or of selectors: `package` is where these are."""

    package: ClassVar[str]

    @classmethod
    def made(cls, given: Mapping[str, Any]) -> Self:
        """Those of `given` that are fields."""
        return cls({name: given[name] for name in owners(cls.package) if name in given})

    @classmethod
    def parameters(cls) -> list[inspect.Parameter]:
        """What typer sees: a flag for each field. Several methods may have it, with their meanings and defaults."""
        found = []
        for name, having in owners(cls.package).items():
            has = {
                one: next(f for f in algorithms(cls.package)[one].fields if f.name == name) for one in having
            }
            kinds = {field.kind for field in has.values()}
            kind = kinds.pop() if len(kinds) == 1 else str  # `of` converts to what the method has
            docs = _by_name({one: field.doc for one, field in has.items()}, "; ")
            defaults = _by_name({one: str(field.default) for one, field in has.items()}, ", ")
            text = f"{docs} (default: {defaults})"
            found.append(_parameter(name, kind, (flag_of(name),), text, f"Fields of {_and(having)}"))
        return found

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
    """`function`, some of whose parameters are `OptionGroup` or `AlgorithmFlags`, as a command that typer understands.

    Raises:
        TypeError: two flags have one name.
    """
    hints = get_type_hints(function, include_extras=True)
    hints.pop("return", None)
    ours = {name: hint for name, hint in hints.items() if hasattr(hint, "parameters")}
    found: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        own = parameter.replace(annotation=hints[name], kind=parameter.KEYWORD_ONLY)
        found += ours[name].parameters() if name in ours else [own]
    names = [parameter.name for parameter in found]
    if len(set(names)) < len(names):
        raise TypeError(f"{function.__name__} has two flags of one name: {', '.join(sorted(names))}")

    @wraps(function)
    def call(**values: Any) -> Any:
        given = {name: value for name, value in values.items() if value not in (None, [])}
        made = {name: hint.made(given) for name, hint in ours.items()}
        return function(**made, **{name: values[name] for name in hints if name not in ours})

    call.__signature__ = inspect.Signature(found)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in found}
    return call


def without_flags(function: Callable[..., Any]) -> Callable[[], None]:
    """A command of that name and explanation, for a list of commands."""

    def call() -> None:
        raise NotImplementedError

    call.__name__, call.__doc__ = function.__name__, function.__doc__
    return call


def _kind(hint: Any) -> tuple[Any, Flag]:
    """The type behind "or None" and `Annotated`, and the `Flag` in it."""
    if get_origin(hint) in (Union, UnionType):
        return _kind(next(one for one in get_args(hint) if one is not NoneType))
    if get_origin(hint) is Annotated:
        flag = hint.__metadata__[0]
        return (flag.typed if flag.parse else hint.__origin__), flag
    return hint, Flag()


def _parameter(
    name: str,
    kind: Any,
    names: tuple[str, ...],
    text: str,
    panel: str | None,
    metavar: str | None = None,
    required: bool = False,
) -> inspect.Parameter:
    option = typer.Option(
        *names, help=escape(text), rich_help_panel=panel, metavar=metavar, show_default=False
    )
    default = inspect.Parameter.empty if required else None
    annotation = Annotated[kind if required else kind | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def owners(package: str) -> dict[str, tuple[str, ...]]:
    """Field name -> the methods that have it; fields that most methods share come first."""
    found: dict[str, tuple[str, ...]] = {}
    for name, algorithm in algorithms(package).items():
        for field in algorithm.fields:
            found[field.name] = (*found.get(field.name, ()), name)
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[1])))


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
