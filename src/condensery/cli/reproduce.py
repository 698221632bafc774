"""`condense reproduce`: the tables of the papers, ours beside theirs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from condensery.cli import arguments, flags
from condensery.cli.compare_progress import CompareProgress
from condensery.cli.output import Output, plain_table
from condensery.errors import BadInput
from condensery.recipes import Recipe, Reproduction, recipes
from condensery.recipes import output as files
from condensery.recipes import reproduce as fill
from condensery.recipes.catalog import cost
from condensery.recipes.images import find_images, where_from

_WHAT, _IMAGES, _HOW, _WHERE = "What is filled", "Images", "How", "Where it runs"


def reproduce(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="LIST|NAME", help="A recipe, or list to see them all.", show_default=False),
    ] = None,
    rows: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only these rows.", rich_help_panel=_WHAT)
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only these columns.", rich_help_panel=_WHAT)
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "--data-dir",
            metavar="PATH",
            help="The images, or a folder that holds sets by name (default: those in CONDENSERY_DATA).",
            rich_help_panel=_IMAGES,
        ),
    ] = None,
    size: flags.Size = None,
    channels: flags.Channels = None,
    scale: Annotated[
        float,
        typer.Option(
            help="Times the published steps, sets and networks, each at least 1; every table says so.",
            rich_help_panel=_HOW,
        ),
    ] = 1.0,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="[METHOD.]FIELD=VALUE",
            help="A field of one method, or of all that have it; can be repeated.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes on this machine (default: this one alone).", rich_help_panel=_WHERE),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="A Ray cluster: auto, local, HOST:PORT or ray://HOST:PORT.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    gpus_per_job: Annotated[
        float | None, typer.Option(help="Share of a GPU that a job claims.", rich_help_panel=_WHERE)
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            help="Of torch in each job (default: this machine's, shared among the workers).",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=_WHERE)] = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for everything (default: reproductions/NAME); the same one goes on.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Check, say how long it will take, do nothing.", rich_help_panel=_WHERE
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print one JSON document; lines for people go to stderr.", rich_help_panel=_WHERE
        ),
    ] = False,
) -> int:
    """Fill a table of the papers with your own numbers, beside the published ones.

    Every recipe knows one table or figure: its cells, what is published in each, and
    what it takes to get it. Finished cells are kept: after Ctrl-C the same command
    goes on. A published run takes days; a scale makes it a demonstration.

    Examples:

      condense reproduce list
      condense reproduce dc-main-mnist --dry-run
      condense reproduce dc-width --rows 128 --columns 128 --scale 0.05
      condense reproduce dm-main-cifar10 --columns DM,Random --workers 4
    """
    output = Output(as_json)
    if name is None or name.lower() == "list":
        if rows or columns:
            raise BadInput("--rows and --columns are of one recipe: name it in place of list")
        return _list(output)
    with CompareProgress(output) as progress:
        done = fill(
            name,
            out=out or Path("reproductions") / name.lower(),
            data=data,
            scale=scale,
            settings=arguments.settings(settings or []),
            rows=arguments.words(rows),
            columns=arguments.words(columns),
            workers=workers,
            ray=ray,
            gpus_per_job=gpus_per_job,
            device=device,
            threads=threads,
            dry_run=dry_run,
            command=shlex.join(["condense", *ctx.obj]),
            callback=progress.news,
            announce=progress.say,
            size=size,
            channels=channels,
        )
    _show(output, done)
    for path in () if dry_run else files.write(done):
        output.say(f"Written to {path}")
    output.result(files.to_json(done))
    return 0 if dry_run or done.complete else 1


def _show(output: Output, done: Reproduction) -> None:
    """The table on the terminal; after a dry run with the published values alone."""
    for line in files.caption(done):
        output.say(line)
    table = plain_table("", *(f">{column}" for column in done.recipe.columns))
    for row in done.recipe.rows:
        cells = (files.pair(done.at(row, column), done.recipe.quantity) for column in done.recipe.columns)
        table.add_row(row, *cells)
    output.show(table)
    for problem in done.problems:
        output.say(f"not measured: {problem.cell}: {problem.reason}")


def _list(output: Output) -> int:
    """Every recipe: where it is from, what it needs, what a published run takes."""
    table = plain_table("recipe\nsource", "data", ">cells", ">sets", ">updates", ">networks")
    known = recipes().values()
    for recipe in known:
        counted = cost(recipe)
        table.add_row(
            f"{recipe.name}\n  {recipe.source}",
            f"{recipe.data}\n{'' if _is_here(recipe) else 'not here'}",
            str(len(recipe.cells)),
            *(f"{count:,}" for count in (counted.sets, counted.updates, counted.networks)),
        )
    output.show(table)
    output.say(
        "Sets, updates of all sets and networks trained, as published: counted, not measured. For a time on this "
        "machine: condense reproduce NAME --dry-run. --scale 0.01 makes a hundredth of each, at least 1."
    )
    output.result([_recipe_json(recipe) for recipe in known])
    return 0


def _is_here(recipe: Recipe) -> bool:
    try:
        find_images(recipe.data, None)
    except BadInput:
        return False
    return True


def _recipe_json(recipe: Recipe) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "title": recipe.title,
        "source": recipe.source,
        "quantity": recipe.quantity,
        "data": recipe.data,
        "data_is_here": _is_here(recipe),
        "data_from": where_from(recipe.data),
        "rows": recipe.rows,
        "columns": recipe.columns,
        "cells": len(recipe.cells),
        "sets_per_cell": recipe.sets,
        "networks_per_set": recipe.networks,
        "published_cost": vars(cost(recipe)),
    }
