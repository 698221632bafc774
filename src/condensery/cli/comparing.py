"""The commands of many sets: `condense compare` and `condense reproduce`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated

from condensery.cli import arguments, options
from condensery.cli.declared import everything
from condensery.cli.flags import Flag, Options
from condensery.cli.options import Jobs, Resize, Settings, Words
from condensery.cli.output import SPARE, Output, complain, facts, table
from condensery.cli.progress import Progress
from condensery.errors import BadInput

_FILES = {"Page": "report.html", "Table": "table.md", "Numbers": "table.csv", "Lines": "results.jsonl"}


class Compared(Options, panel="What is compared"):
    methods: Annotated[Sequence[str], Flag("A,B", arguments.words, choices=everything)] = ()
    """Methods and selections, see condense methods; random is the floor. Some of {}; LABEL=NAME for a second setting
    of one."""
    sets: Annotated[list[Path], Flag("SET ...")] = field(default_factory=list)
    """Finished sets to judge beside them: run folders or .safetensors files."""
    ipc: Annotated[Sequence[int | str], Flag("N,M", arguments.budgets)] = (1,)
    """Images per class. Also proportional:N, or a single cat=5,dog=2,*=1, or a file of these."""
    condense_with: Words = ("convnet",)
    """Architectures that methods make sets with."""
    seeds: Annotated[Sequence[int], Flag("N,M", arguments.seeds)] = (0,)
    """Seeds of the sets; 0-4 is short for 0,1,2,3,4."""
    evaluation_seed: int = 0
    """Added to a set's seed, it decides how networks train."""
    whole: bool = True
    """Train on the whole training set too."""
    equal_bytes: bool = False
    """Beside generators, train on as many random images as have their bytes too."""


class Updates(Settings, panel="How sets are made"):
    scale: float | None = None
    """Times the published updates, such as 0.1."""
    steps: Annotated[int | Mapping[str, int] | None, Flag("N", arguments.one_or_each)] = None
    """Updates of every method (default: as published). Of some with dm=400,dsa=200."""
    minutes: Annotated[float | None, Flag("N")] = None
    """Time that it may take: settings, steps, networks and epochs that fit are chosen and said."""


class Judged(options.Judge, options.Curve, options.Networks, options.Honesty):
    """How sets are judged."""


class Compare(options.Images, Compared, Updates, Judged, Jobs, options.Page, Output):
    """Compare methods on your images: which, how many, what network?

    Sets are made by every method, budget, architecture and seed; finished ones
    stand beside them. Networks are trained on each from scratch by one protocol
    and tested on the real test images, beside networks trained on the whole
    training set. Every finished cell is kept: after Ctrl-C the same command goes
    on, and one that asks for more does what is new.

    Examples:

      condense compare --data digits --methods dm,dsa,random --ipc 1,10
      condense compare --data photos/ --size 64 --methods dm,random --minutes 30
      condense compare --data mnist --methods dm,noisy=dm --set noisy.init=noise
      condense compare --data mnist --sets runs/mine runs/theirs --methods random
      condense compare --data cifar10 --methods dm,random --protocol dm-2023
          --networks convnet,resnet18 --seeds 0-4 --workers 4 --out cifar10
    """

    first = (
        "data size methods ipc sets seeds networks protocol repeats steps scale minutes settings workers out"
    )

    def work(self) -> int:
        data = self.source
        from condensery.cli.tables import measurement_table
        from condensery.comparison.compare import compare
        from condensery.report import write_report

        out, labels = self.out or Path("comparisons") / arguments.data_name(data), self.labels
        with Progress(self) as progress:
            if "random" not in (word.rpartition("=")[2].strip() for word in self.methods):
                progress.say("random images are the floor that a method has to beat: add random to --methods")
            if self.methods and len(set(self.seeds)) == 1:
                progress.say(
                    "one seed: ± is between networks on one set (random: one each); --seeds 0-4 shows how sets differ"
                )
            unused = [name for name in ("ipc", "seeds", "steps") if name in self.typed and not self.methods]
            if unused:
                progress.say(
                    f"not used, for there are no --methods: {', '.join(f'--{name}' for name in unused)}"
                )
            asked = self.of(compare, data=data, out=out, soft_labels=labels, callback=progress.comparing)
            found = compare(**asked, **self.where(progress.say))
        if self.dry_run:
            self.result(found.to_json())
            return 0
        self.show(measurement_table(found.measurements), SPARE)
        report = found.report(self.say, not self.no_scatter)
        for name in _FILES.values():
            write_report(report, found.folder / name)
        files = {what: str(found.folder / name) for what, name in {**_FILES, "Sets": "sets"}.items()}
        self.show(facts(files.items()))
        self.result({**found.to_json(), "files": files})
        if not found.complete:
            failed = [problem for problem in found.problems if not problem.foreseen]
            complain(f"without a number: {len(failed)} cells, first {failed[0].cell}: {failed[0].reason}")
        return 0 if found.complete else 1


class Cells(Options, panel="What is filled"):
    rows: Words = ()
    """Fill only these rows."""
    columns: Words = ()
    """Fill only these columns."""


class RecipeImages(Options, panel="Images"):
    data: Annotated[str | None, Flag("IMAGES", names=("--data", "--data-dir"))] = None
    """The images, or a folder that holds sets by name (default: those in CONDENSERY_DATA)."""


class Scale(Settings, panel="How sets are made"):
    scale: float = 1.0
    """Times the published updates, sets and networks, each at least 1. Every table says so."""


class Reproduce(Cells, RecipeImages, Resize, Scale, Jobs, Output):
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

    first = "rows columns scale data settings workers dry_run out"

    name: Annotated[str | None, Flag("NAME", positional=True)] = None
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
            asked = self.of(reproduce, recipe=self.name, out=out, callback=progress.comparing)
            done = reproduce(**asked, **self.where(progress.say))
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
        from condensery.recipes import Recipe, recipes
        from condensery.recipes.catalog import cost, is_here, to_json, where_from

        known = recipes().values()

        def here(recipe: Recipe) -> str:
            return "" if all(map(is_here, recipe.all_data)) else "not here"

        self.show(
            table(
                {
                    "recipe\nsource": (recipe.name, f"  {recipe.source}"),
                    "data": (", ".join(recipe.all_data), here(recipe)),
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
        about = [
            {"data_is_here": not here(one), "data_from": "; ".join(map(where_from, one.all_data))}
            for one in known
        ]
        self.result([{**to_json(one), **facts} for one, facts in zip(known, about, strict=True)])
        return 0
