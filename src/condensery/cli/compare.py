"""`condense compare`: several methods, budgets, networks and seeds on one data set."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from condensery.cli import arguments
from condensery.cli.declared import everything
from condensery.cli.flags import Flag, Options
from condensery.cli.options import (
    Curve,
    Honesty,
    Images,
    Jobs,
    Judge,
    Networks,
    Numbers,
    Page,
    Resize,
    Settings,
    Words,
)
from condensery.cli.output import Output, facts, say
from condensery.cli.progress import Progress

_FILES = {"Page": "report.html", "Table": "table.md", "Numbers": "table.csv", "Lines": "results.jsonl"}


class Compared(Options, panel="What is compared"):
    methods: Annotated[Sequence[str], Flag("A,B", arguments.words, choices=everything)] = ()
    """Some of {}; LABEL=NAME for a second setting of one."""
    ipc: Numbers = (1,)
    """Images per class."""
    condense_with: Words = ("convnet",)
    """Architectures that methods make sets with."""
    seeds: Annotated[Sequence[int], Flag("N,M", arguments.seeds)] = (0,)
    """Of the sets; 0-4 is short for 0,1,2,3,4."""
    evaluation_seed: int = 0
    """Added to a set's seed, it decides how networks train."""
    whole: bool = True
    """Train on the whole training set too."""


class Updates(Settings, panel="How sets are made"):
    scale: float | None = None
    """Make so many times the published updates, such as 0.1."""
    steps: Annotated[int | Mapping[str, int] | None, Flag("N or A=N,B=M", arguments.one_or_each)] = None
    """Updates of every method, or of some (default: as published)."""


class Compare(Images, Resize, Compared, Updates, Judge, Curve, Networks, Honesty, Jobs, Page, Output):
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

    def work(self) -> int:
        data = self.source
        from condensery.cli.tables import measurement_table
        from condensery.comparison.compare import compare
        from condensery.report import write_report

        out, labels = self.out or Path("comparisons") / arguments.data_name(data), self.labels
        with Progress(self) as progress:
            if "random" not in (word.rpartition("=")[2].strip() for word in self.methods):
                progress.say("random images are the floor that a method has to beat: add random to --methods")
            if len(set(self.seeds)) == 1:
                progress.say(
                    "one seed: ± is between networks on one set; --seeds 0-4 shows how sets differ, random too"
                )
            heard = {"callback": progress.comparing, "announce": progress.say}
            found = compare(**self.of(compare, data=data, out=out, soft_labels=labels, **heard))
        if self.dry_run:
            self.result(found.to_json())
            return 0
        self.show(measurement_table(found.measurements))
        report = found.report(self.say, not self.no_scatter)
        for name in _FILES.values():
            write_report(report, found.folder / name)
        files = {what: str(found.folder / name) for what, name in {**_FILES, "Sets": "sets"}.items()}
        self.show(facts(files.items()))
        self.result({**found.to_json(), "files": files})
        if not found.complete:
            failed = [problem for problem in found.problems if not problem.foreseen]
            line = f"without a number: {len(failed)} cells, first {failed[0].cell}: {failed[0].reason}"
            say(sys.stderr, f"condense: {' '.join(line.split())}")
        return 0 if found.complete else 1
