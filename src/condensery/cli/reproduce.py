"""`condense reproduce`: the tables of the papers, ours beside theirs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from condensery.cli.flags import Flag, OptionGroup
from condensery.cli.options import Jobs, Resize, Settings, Words
from condensery.cli.output import Output, plain_table
from condensery.errors import BadInput

if TYPE_CHECKING:
    from condensery.recipes import Reproduction


class Cells(OptionGroup, panel="What is filled"):
    rows: Words = ()
    """Only these rows."""
    columns: Words = ()
    """Only these columns."""


class RecipeImages(OptionGroup, panel="Images"):
    data: Annotated[str | None, Flag("PATH", names=("--data", "--data-dir"))] = None
    """The images, or a folder that holds sets by name (default: those in CONDENSERY_DATA)."""


class Scale(Settings, panel="How sets are made"):
    scale: float = 1.0
    """Times the published steps, sets and networks, each at least 1; every table says so."""


def reproduce(
    ctx: typer.Context,
    cells: Cells,
    images: RecipeImages,
    resize: Resize,
    scale: Scale,
    jobs: Jobs,
    output: Output,
    name: Annotated[
        str | None,
        typer.Argument(metavar="LIST|NAME", help="A recipe, or list to see them all.", show_default=False),
    ] = None,
) -> int:
    """Fill a table of the papers with your own numbers, beside theirs.

    Every recipe knows one table or figure: its cells, what is published in each,
    and what it takes to get it. Finished cells are kept: after Ctrl-C the same
    command goes on. A published run takes days; a scale makes it a demonstration.

    Examples:

      condense reproduce list
      condense reproduce dc-main-mnist --dry-run
      condense reproduce dc-width --rows 128 --columns 128 --scale 0.05
      condense reproduce dm-main-cifar10 --columns DM,Random --workers 4
    """
    from condensery.cli.compare_progress import CompareProgress
    from condensery.recipes import output as files
    from condensery.recipes import reproduce as fill

    if name is None or name.lower() == "list":
        if cells.rows or cells.columns:
            raise BadInput("--rows and --columns are of one recipe: name it in place of list")
        return _list(output)
    with CompareProgress(output) as progress:
        done = fill(
            name,
            **cells.values,
            **images.values,
            **resize.values,
            **scale.values,
            **{**jobs.values, "out": jobs.out or Path("reproductions") / name.lower()},
            command=ctx.obj,
            callback=progress.update,
            announce=progress.say,
        )
    _show(output, done)
    for path in () if jobs.dry_run else files.write(done):
        output.say(f"Written to {path}")
    output.result(files.to_json(done))
    return 0 if jobs.dry_run or done.complete else 1


def _show(output: Output, done: Reproduction) -> None:
    """The table on the terminal; after a dry run with the published values alone."""
    from condensery.recipes import output as files

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
    from condensery.recipes import recipes
    from condensery.recipes.catalog import cost, to_json
    from condensery.recipes.images import is_here, where_from

    table = plain_table("recipe\nsource", "data", ">cells", ">sets", ">updates", ">networks")
    known = recipes().values()
    for recipe in known:
        counted = cost(recipe)
        table.add_row(
            (recipe.name, f"  {recipe.source}"),
            (recipe.data, "" if is_here(recipe.data) else "not here"),
            str(len(recipe.cells)),
            *(f"{count:,}" for count in (counted.sets, counted.updates, counted.networks)),
        )
    output.show(table)
    output.say(
        "Sets, updates of all sets and networks trained, as published: counted, not measured. For a time on this "
        "machine: condense reproduce NAME --dry-run. --scale 0.01 makes a hundredth of each, at least 1."
    )
    about = [{"data_is_here": is_here(one.data), "data_from": where_from(one.data)} for one in known]
    output.result([{**to_json(one), **facts} for one, facts in zip(known, about, strict=True)])
    return 0
