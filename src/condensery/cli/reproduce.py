"""`condense reproduce`: the tables of the papers, ours beside theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from condensery.cli import options
from condensery.cli.flags import Flag, Options
from condensery.cli.output import Output, table
from condensery.cli.progress import Progress
from condensery.errors import BadInput


class Cells(Options, panel="What is filled"):
    rows: options.Words = ()
    """Only these rows."""
    columns: options.Words = ()
    """Only these columns."""


class RecipeImages(Options, panel="Images"):
    data: Annotated[str | None, Flag("PATH", names=("--data", "--data-dir"))] = None
    """The images, or a folder that holds sets by name (default: those in CONDENSERY_DATA)."""


class Scale(options.Settings, panel="How sets are made"):
    scale: float = 1.0
    """Times the published steps, sets and networks, each at least 1; every table says so."""


class Reproduce(Cells, RecipeImages, options.Resize, Scale, options.Jobs, Output):
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

    name: Annotated[str | None, Flag("LIST|NAME", positional=True)] = None
    """A recipe, or list to see them all."""

    def work(self) -> int:
        if self.name is None or self.name.lower() == "list":
            if self.rows or self.columns:
                raise BadInput("--rows and --columns are of one recipe: name it in place of list")
            return self._list()
        from condensery.recipes import output as files
        from condensery.recipes import reproduce

        out = self.out or Path("reproductions") / self.name.lower()
        with Progress(self) as progress:
            heard = {"callback": progress.comparing, "announce": progress.say}
            asked = self.of(reproduce, recipe=self.name, out=out, **heard)
            done = reproduce(**asked, **self.typed_in(options.Resize))
        for line in files.caption(done):
            self.say(line)
        columns, quantity = done.recipe.columns, done.recipe.quantity
        self.show(
            table(
                {"": row, **{f">{column}": files.pair(done.at(row, column), quantity) for column in columns}}
                for row in done.recipe.rows
            )
        )
        for problem in done.problems:
            self.say(f"not measured: {problem.cell}: {problem.reason}")
        for path in () if self.dry_run else files.write(done):
            self.say(f"Written to {path}")
        self.result(files.to_json(done))
        return 0 if self.dry_run or done.complete else 1

    def _list(self) -> int:
        """Every recipe: where it is from, what it needs, what a published run takes."""
        from condensery.recipes import recipes
        from condensery.recipes.catalog import cost, to_json
        from condensery.recipes.images import is_here, where_from

        known = recipes().values()
        self.show(
            table(
                {
                    "recipe\nsource": (recipe.name, f"  {recipe.source}"),
                    "data": (recipe.data, "" if is_here(recipe.data) else "not here"),
                    ">cells": str(len(recipe.cells)),
                    **{f">{name}": f"{count:,}" for name, count in vars(cost(recipe)).items()},
                }
                for recipe in known
            )
        )
        self.say(
            "Sets, updates of all sets and networks trained, as published: counted, not measured. For a time on this "
            "machine: condense reproduce NAME --dry-run. --scale 0.01 makes a hundredth of each, at least 1."
        )
        about = [{"data_is_here": is_here(one.data), "data_from": where_from(one.data)} for one in known]
        self.result([{**to_json(one), **facts} for one, facts in zip(known, about, strict=True)])
        return 0
