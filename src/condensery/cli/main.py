"""The entry point: commands, error lines and exit codes."""

from __future__ import annotations

import errno
import io
import os
import re
import shlex
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import typer

from condensery.cli import listings, making, output, reading
from condensery.cli.comparing import Compare, Reproduce
from condensery.cli.continual import Continual
from condensery.cli.declared import owners
from condensery.cli.evaluate import Evaluate
from condensery.cli.help import NAMES, Command, Commands, Shown, as_function
from condensery.cli.search import Search
from condensery.errors import BadInput, CondenseryError, Interrupted
from condensery.memory import keep_freed_memory
from condensery.signals import answered, stopping_signals

OK, FAILED, BAD_INPUT = 0, 1, 2
_MACHINE_SAYS_NO = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
_TORCH_OUT_OF_MEMORY = "OutOfMemoryError"  # by name: a typing error need not wait for torch
_MANY = "--sets"  # takes all words up to the next flag
_INTERRUPTED_TYPER = 130  # what typer makes of a KeyboardInterrupt

COMMANDS = {
    command.__name__.lower(): command
    for command in (
        *(making.Run, making.Select, making.Import, making.Label, making.Draw),
        *(Evaluate, Compare, Reproduce),
        *(Continual, Search),
        *(reading.Report, reading.Show, reading.Export),
        *(listings.Methods, listings.Networks, listings.Datasets),
    )
}


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        output.write(sys.stdout, f"condense {version('condensery')}\n")
        raise typer.Exit


def condense(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, hidden=True),
    ] = False,
) -> None:
    """Condense labelled images into tiny training sets. Try condense run --data digits."""


def application(typed: Sequence[str] = (*COMMANDS,)) -> typer.Typer:
    """The command line. Only the commands `typed` get their flags: to make all of them takes a tenth of a second."""
    app = typer.Typer(
        cls=Commands,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": NAMES},
        epilog="The options of a command: condense COMMAND --help. Also: --version.",
    )
    app.callback()(condense)
    shown = Shown("--help-all" in typed, _value_of("--method", typed))
    for name, command in COMMANDS.items():
        needed = shown if name in typed else None
        end = shown.last_lines(command) if needed else None
        app.command(name, cls=Command, epilog=end)(as_function(command, needed))
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, 1 (the work failed), 2 (bad input, or stopped by the user)."""
    keep_freed_memory()
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a sign shows "?" instead of failing
    # they stop the command as Ctrl-C does: what is done is kept, and a line says how to go on
    endings = [number for number in stopping_signals() if number != signal.SIGINT]
    with warnings.catch_warnings(), answered(endings, signal.default_int_handler):
        warnings.showwarning = _one_line_warning
        code, line = _run(arguments)
    output.write(sys.stdout, "")
    reason = output.lost()
    if reason and not code:
        code, line = BAD_INPUT, f"error: some of what was printed is lost: {reason}; the work itself is done"
    if line:
        output.complain(line)
    return code


def _spread(arguments: list[str]) -> list[str]:
    """ "--sets A B" as "--sets A --sets B", as a shell writes out "--sets runs/*"."""
    found: list[str] = []
    flag = ""
    for word in arguments:
        if word.startswith("-"):
            flag = word.partition("=")[0]
        elif flag == _MANY and found[-1] != _MANY:
            found.append(_MANY)
        found.append(word)
    return found


def _run(arguments: list[str]) -> tuple[int, str]:
    """Exit code, and a last line for stderr."""
    try:
        typed = shlex.join(["condense", *arguments])
        arguments = _spread(arguments)
        _require_alone(arguments[0])
        code = application(arguments)(arguments, prog_name="condense", standalone_mode=False, obj=typed)
        return (BAD_INPUT, "interrupted") if code == _INTERRUPTED_TYPER else (code or OK, "")
    except Interrupted as stop:
        return BAD_INPUT, str(stop)
    except CondenseryError as error:
        return error.exit_code, f"error: {error}"
    except typer.TyperException as error:  # a command line that cannot be understood
        return BAD_INPUT, f"error: {_usage_error(error, arguments)}"
    except (KeyboardInterrupt, typer.Abort):
        return BAD_INPUT, "interrupted"
    except SystemExit as stop:  # rich and typer leave so when the reader of a pipe has gone
        output.discard(sys.stdout)
        return (stop.code if isinstance(stop.code, int) else FAILED), ""
    except Exception as error:
        if os.environ.get("CONDENSERY_DEBUG"):
            for line in traceback.format_exc().splitlines():
                output.say(sys.stderr, line)
        machine = isinstance(error, OSError) and error.errno in _MACHINE_SAYS_NO
        return (
            BAD_INPUT if machine else FAILED
        ), f"error: {error if machine else _unforeseen(error, arguments)}"


def _require_alone(command: str) -> None:
    """Raises BadInput where torchrun has started several processes of a command that they cannot share."""
    size = os.environ.get("WORLD_SIZE") or "1"
    if size != "1" and command in COMMANDS and COMMANDS[command] is not making.Run:
        raise BadInput(
            f"WORLD_SIZE is {size}, and condense {command} works in one process: start it once, without torchrun, or "
            "unset WORLD_SIZE"
        )


def _usage_error(error: typer.TyperException, arguments: list[str]) -> str:
    """What is wrong with the command line, with the value that was typed, and where it is explained."""
    message = error.format_message().rstrip(".")
    wrong_type = re.match(r"Invalid value for '(--[\w-]+)': Input should be (a valid \w+)", message)
    if wrong_type:
        flag, wanted = wrong_type.groups()
        message = f"{flag} takes {wanted}, not {_value_of(flag, arguments)!r}"
    command, all_of_it = (f" {arguments[0]}", "-all") if arguments[0] in COMMANDS else ("", "")
    return f"{message}; see condense{command} --help{all_of_it if '--' in message else ''}"


def _unforeseen(error: Exception, arguments: list[str]) -> str:
    if isinstance(error, MemoryError) or type(error).__name__ == _TORCH_OUT_OF_MEMORY:
        first_sentence = str(error).partition(". ")[0]
        return f"out of memory: {first_sentence}{_that_needs_less(arguments)}"
    return f"unexpected {type(error).__name__}: {error}; set CONDENSERY_DEBUG=1 to see where it comes from"


def _that_needs_less(arguments: list[str]) -> str:
    """A flag that this command line could have and that makes it need less memory, if there is one."""
    method = _value_of("--method", arguments) or making.Run.method
    known = (
        arguments[0] == "run" and "--resume" not in arguments and method in owners("methods")["real_batch"]
    )
    return "; a smaller --real-batch needs less" if known else ""


def _value_of(flag: str, arguments: Sequence[str]) -> str:
    """The last value given to `flag`, as in "--flag value" or "--flag=value"; "" for none."""
    words = [word for typed in arguments for word in (typed.split("=", 1) if typed[:2] == "--" else [typed])]
    return ([""] + [word for before, word in pairwise(words) if before == flag])[-1]


def _one_line_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Warnings of libraries are for developers: one line, where it comes from only with CONDENSERY_DEBUG."""
    output.complain(f"warning: {message} ({category.__name__})")


if __name__ == "__main__":
    sys.exit(main())
