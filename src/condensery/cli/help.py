"""What `--help` shows: of each command what most people need, everything with `--help-all`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer import rich_utils
from typer.core import TyperArgument, TyperCommand, TyperGroup

from condensery.cli.flags import Options, Parameter, sentence

NAMES = ["--help", "-h", "--help-all"]
_EXAMPLES = 3
# The columns of short names are empty, and need no room.
rich_utils.STYLE_OPTIONS_TABLE_PADDING = 0, 1, 0, 0


@dataclass(frozen=True)
class Shown:
    """What of a command the help shows.

    Attributes:
        everything: all options, in the groups that they belong to.
        algorithm: a method or selector whose own fields are shown too; "" for none.
    """

    everything: bool = False
    algorithm: str = ""

    def parameters(self, command: type[Options]) -> list[inspect.Parameter]:
        """The options of a command as typer takes them: those that are shown first, and hidden ones."""
        known = command.parameters()
        if self.everything:
            return [_seen(name, one, one.text, one.panel) for name, one in known.items()]
        own = {name for name, one in known.items() if self.algorithm in one.owners}
        found = [_seen(name, known[name], known[name].brief) for name in first(command) if name not in own]
        found += [_of_one(name, known[name], self.algorithm) for name in known if name in own]
        shown = {one.name for one in found}
        return found + [_seen(name, one, None) for name, one in known.items() if name not in shown]

    def about(self, command: type[Options]) -> str:
        """The docstring of a command; of its examples the first few."""
        text, head, examples = inspect.cleandoc(command.__doc__ or "").partition("Examples:\n\n")
        each = re.findall(r"^  \S.*(?:\n   .*)*", examples, re.MULTILINE)
        return text + head + "\n".join(each if self.everything else each[:_EXAMPLES])

    def last_lines(self, command: type[Options]) -> str | None:
        """What stands below the options: how to see the others."""
        if self.everything:
            return None
        known, shown = command.parameters().items(), first(command)
        hidden = sum(name not in shown and self.algorithm not in one.owners for name, one in known)
        lines = [f"--help-all shows {hidden} more option{'s' * (hidden != 1)}."] if hidden else []
        if command.package and not self.algorithm:
            lines.insert(0, "With --method NAME, --help shows the options of that method too.")
        return "\n".join(lines)


def first(command: type[Options]) -> list[str]:
    """The fields that the short help of a command shows: arguments, and what the command names; or else all."""
    known, named = command.parameters(), command.first.split()
    arguments = [name for name, one in known.items() if one.flag.positional]
    return arguments + (named or [name for name in known if name not in arguments])


class _Unlisted:
    """Its help does not list --help."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.hidden = True
        return option


class Command(_Unlisted, TyperCommand):
    """A command whose help does not show the types of arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for parameter in self.params:
            if isinstance(parameter, TyperArgument):
                parameter.display_type_rich = lambda ctx: ""


class Commands(_Unlisted, TyperGroup):
    """All commands."""


def as_function(command: type[Any], shown: Shown | None) -> Callable[..., Any]:
    """A command as a function that typer understands; without `shown` it has no flags."""
    own = shown.parameters(command) if shown else []

    def call(ctx: typer.Context, **given: Any) -> int | None:
        return command.made(given, ctx.obj).work()

    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    call.__doc__ = (shown or Shown()).about(command)
    call.__signature__ = inspect.Signature([context, *own])
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in (context, *own)}
    return call


def _of_one(name: str, parameter: Parameter, algorithm: str) -> inspect.Parameter:
    """A field with what it means to one method."""
    field = parameter.owners[algorithm]
    text = f"{sentence(field.doc)} (default: {field.default})."
    return _seen(name, parameter, text, f"Options of {algorithm}")


def _seen(name: str, parameter: Parameter, text: str | None, panel: str | None = None) -> inspect.Parameter:
    """What typer sees of an option; it is hidden without a text."""
    common: Mapping[str, Any] = {
        "help": escape(text or ""),
        "metavar": parameter.metavar,
        "show_default": False,
    }
    hidden = text is None
    option = (
        typer.Argument(**common)
        if parameter.flag.positional
        else typer.Option(*parameter.names, **common, rich_help_panel=panel, hidden=hidden)
    )
    default = inspect.Parameter.empty if parameter.required else None
    annotation = Annotated[parameter.kind if parameter.required else parameter.kind | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
