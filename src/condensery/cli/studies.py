"""What the commands of applications share: how a study runs, and what is said and written at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from condensery.cli import arguments
from condensery.cli.flags import Flag
from condensery.cli.options import Jobs, Settings
from condensery.cli.output import Output, complain, facts

if TYPE_CHECKING:
    from condensery.apps.continual.outcome import Continual
    from condensery.apps.search.outcome import Search

Seeds = Annotated[Sequence[int], Flag("N,M", arguments.seeds)]


class Making(Settings, panel="How sets are made"):
    steps: Annotated[int | Mapping[str, int] | None, Flag("N", arguments.one_or_each)] = None
    """Updates of every method (default: as published). Of some with dm=400,dsa=200."""


class Study(Jobs, Output):
    """A command that does many jobs in a folder."""

    def asked(self, function: Callable[..., Any], data: Any, out: Path) -> dict[str, Any]:
        """What was asked for, as `function` takes it."""
        return self.of(function, data=data, out=out, **self.where(self.say))

    def finish(self, found: Continual | Search) -> int:
        """Write the page and the numbers, and say what is missing. Returns the exit code."""
        from condensery import disk
        from condensery.report import write_report

        if self.dry_run:
            self.result(found.to_json())
            return 0
        page, numbers = found.folder / "report.html", found.folder / "results.json"
        write_report(found.report(), page)
        disk.write_json(numbers, found.to_json())
        files = {"Page": str(page), "Numbers": str(numbers)}
        self.show(facts(files.items()))
        self.result({**found.to_json(), "files": files})
        for what, reason in found.problems:
            complain(f"without a number: {what}: {reason}")
        return 1 if found.problems else 0
