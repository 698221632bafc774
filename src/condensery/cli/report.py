"""`condense report`: one page, or one table, from runs that exist."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from condensery.cli.flags import Flag, OptionGroup
from condensery.cli.options import Page
from condensery.cli.output import Lines, Output, plain_table
from condensery.text import accuracy, readable_bytes

if TYPE_CHECKING:
    from condensery.report.contents import Measurement, Report


class Result(OptionGroup):
    out: Annotated[Path | None, Flag("FILE")] = None
    """What to write: .html, .md, .csv or .jsonl (default: report.html, for one run in its folder)."""
    title: str = ""
    """Title of the page (default: the data's name)."""
    open_: bool = False
    """Show the page in the web browser."""


def report(
    ctx: typer.Context,
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Run folders, comparison folders, .safetensors files, or .jsonl files of evaluations "
            "or measurements.",
            show_default=False,
        ),
    ],
    result: Result,
    page: Page,
    output: Output,
) -> None:
    """Gather runs into one self-contained HTML page, or into a table.

    The page shows accuracies with their spread, published values, charts, the
    images, curves, features, costs, and the command behind each number. It
    needs no network. Runs must be of one image set.

    Examples:

      condense report runs/mnist
      condense report runs/mnist-dm runs/mnist-dc --out mnist.html
      condense report runs/* --out table.md
    """
    from condensery.comparison.reports import report_of
    from condensery.report import require_writable, write_report

    path = result.out or default_out(runs)
    require_writable(path)
    gathered = report_of(
        runs,
        title=result.title,
        command=ctx.obj,
        scatter=path.suffix.lower() == ".html" and not page.no_scatter,
        announce=output.say,
    )
    size = write_report(gathered, path)
    if gathered.measurements:
        output.show(measurement_table(gathered.measurements))
    output.say(f"Written to {path} ({readable_bytes(size)})")
    output.result(_document(gathered, path, size))
    if result.open_:
        webbrowser.open(path.resolve().as_uri())


def default_out(runs: list[Path]) -> Path:
    """report.html in the one folder that was given, otherwise in the current one."""
    return (runs[0] if len(runs) == 1 and runs[0].is_dir() else Path()) / "report.html"


def measurement_table(measurements: tuple[Measurement, ...]) -> Lines:
    """The measurements as a table for a terminal, in percent."""
    from condensery.budgets import spanned
    from condensery.report.tables import sets_by_networks

    columns = (">ipc", "set", "network", "protocol", ">accuracy %", ">n", ">size", ">published %", ">steps")
    table = plain_table(*columns)
    for m in measurements:
        published = m.published
        table.add_row(
            "all" if m.ipc is None else spanned(m.ipc),
            m.subject + (f" ({m.labels} labels)" if m.labels != "hard" else ""),
            m.network,
            m.protocol,
            accuracy(m.mean, m.std, m.n),
            sets_by_networks(m),
            readable_bytes(m.bytes),
            accuracy(published.mean, published.std) if published else "-",
            "-" if m.steps is None else f"{m.steps:,}",
        )
    return table


def _document(gathered: Report, path: Path, size: int) -> dict[str, object]:
    from condensery.report.tables import row

    return {
        "report": str(path),
        "bytes": size,
        "title": gathered.title,
        "measurements": list(map(row, gathered.measurements)),
        "galleries": len(gathered.galleries),
        "curves": len(gathered.curves),
        "scatters": len(gathered.scatters),
    }
