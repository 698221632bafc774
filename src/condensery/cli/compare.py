"""`condense compare`: several methods, budgets, networks and seeds on one data set."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from condensery.cli import arguments, options
from condensery.cli.declared import methods, selectors
from condensery.cli.flags import Flag, OptionGroup
from condensery.cli.output import Output, facts_table, say


def _everything() -> list[str]:
    return [*methods(), *selectors()]


class Compared(OptionGroup, panel="What is compared"):
    methods: Annotated[Sequence[str], Flag("A,B", arguments.words, choices=_everything)] = ()
    """Some of {}; LABEL=NAME for a second setting of one."""
    ipc: options.Numbers = (1,)
    """Images per class."""
    condense_with: options.Words = ("convnet",)
    """Architectures that methods make sets with."""
    seeds: Annotated[Sequence[int], Flag("N,M", arguments.seeds)] = (0,)
    """Of the sets; 0-4 is short for 0,1,2,3,4."""
    evaluation_seed: int = 0
    """Added to a set's seed, it decides how networks train."""
    whole: bool = True
    """Train on the whole training set too."""


class Updates(options.Settings, panel="How sets are made"):
    scale: float | None = None
    """Make so many times the published updates, such as 0.1."""
    steps: Annotated[int | Mapping[str, int] | None, Flag("N or A=N,B=M", arguments.one_or_each)] = None
    """Updates of every method, or of some (default: as published)."""


def compare(
    ctx: typer.Context,
    images: options.Images,
    resize: options.Resize,
    compared: Compared,
    updates: Updates,
    curve: options.Curve,
    networks: options.Networks,
    honesty: options.Honesty,
    jobs: options.Jobs,
    page: options.Page,
    output: Output,
) -> int:
    """Compare methods on your images: which, how many, what network?

    Sets are made by every method, budget, architecture and seed. Networks are
    trained on each from scratch by one protocol and tested on the real test
    images, beside networks trained on the whole training set. Every finished
    cell is kept: after Ctrl-C the same command goes on, and one that asks for
    more does what is new.

    Examples:

      condense compare --data digits --methods dm,dsa,random --ipc 1,10
      condense compare --data photos/ --size 32 --methods dm,random --dry-run
      condense compare --data mnist --methods dm,noisy=dm --set noisy.init=noise
      condense compare --data cifar10 --methods dm,random --protocol dm-2023
          --networks convnet,resnet18 --seeds 0-4 --workers 4 --out cifar10
    """
    data = images.source
    from condensery.cli.compare_progress import CompareProgress
    from condensery.cli.compare_results import comparison_table, write_results
    from condensery.comparison.compare import compare as compare_methods

    out = jobs.out or Path("comparisons") / arguments.data_name(data)
    with CompareProgress(output) as progress:
        if "random" not in (word.rpartition("=")[2].strip() for word in compared.methods):
            progress.say("random images are the floor that a method has to beat: add random to --methods")
        if len(set(compared.seeds)) == 1:
            progress.say(
                "one seed: ± is between networks on one set; --seeds 0-4 shows how sets differ, random too"
            )
        comparison = compare_methods(
            data,
            **compared.values,
            **updates.values,
            **curve.values,
            **networks.values,
            **honesty.asked,
            **{**jobs.values, "out": out},
            command=ctx.obj,
            callback=progress.update,
            announce=progress.say,
            **resize.values,
            data_options=images.data_options,
        )
    if jobs.dry_run:
        output.result(comparison.to_json())
        return 0
    output.show(comparison_table(comparison))
    files = write_results(comparison, output.say, scatter=not page.no_scatter)
    output.show(facts_table([(name, str(path)) for name, path in files.items()]))
    output.result({**comparison.to_json(), "files": {name: str(path) for name, path in files.items()}})
    if not comparison.complete:
        failed = [problem for problem in comparison.problems if not problem.foreseen]
        line = f"without a number: {len(failed)} cells, first {failed[0].cell}: {failed[0].reason}"
        say(sys.stderr, f"condense: {' '.join(line.split())}")
    return 0 if comparison.complete else 1
