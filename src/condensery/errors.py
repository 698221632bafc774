"""The few error types of condensery; each message names the bad value and the fix.

The command line prints the message as one line and exits with `exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST = 300
"""Letters of another library's message that are repeated; some of them quote the bytes of a file."""


class CondenseryError(Exception):
    """Anything condensery refuses or could not finish. One line, meant to be read by a person."""

    exit_code = 1


class BadInput(CondenseryError):
    """What was asked for cannot be done: a value, a file or a machine has to change first (exit code 2)."""

    exit_code = 2


class BadFile(BadInput):
    """A file is not what it should be: truncated, damaged, foreign, or from a newer version (exit code 2)."""


class FailedWork(CondenseryError):
    """The work itself failed, with input that was fine: a loss that is no longer finite, say (exit code 1)."""


class Interrupted(CondenseryError):
    """Ctrl-C or a termination signal stopped the work where it can be taken up again (exit code 2)."""

    exit_code = 2


def one_line(error: BaseException) -> str:
    """The message of an exception without line breaks, cut where it is long; its type if it has no message."""
    line = " ".join(str(error).split()) or type(error).__name__
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


def did_you_mean(given: str, names: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the name nearest to `given`, or nothing."""
    near = difflib.get_close_matches(given.lower(), list(names), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def require_count(name: str, value: int | None) -> None:
    """Raises BadInput unless `value` of the flag `name` is 1 or more; None, for a flag that is not given, is fine."""
    if value is not None and value < 1:
        raise BadInput(f"--{name} must be at least 1, not {value}")
