"""`condense compare`: several methods, budgets, networks and seeds on one data set."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from condensery.cli import arguments, flags
from condensery.cli.compare_progress import CompareProgress
from condensery.cli.compare_results import comparison_table, write_results
from condensery.cli.evaluate import asked_soft_labels
from condensery.cli.output import Output, facts_table, write
from condensery.comparison.compare import compare as compare_methods
from condensery.comparison.entries import Steps, known_names
from condensery.errors import BadInput
from condensery.evaluation import PROTOCOLS

_WHAT, _MAKE, _JUDGE, _WHERE = "What is compared", "How sets are made", "How they are judged", "Where it runs"


def compare(
    ctx: typer.Context,
    data: flags.Data = None,
    size: flags.Size = None,
    channels: flags.Channels = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Names of the classes to take, at least two, such as 3,8 (default: all).",
            rich_help_panel="Images",
        ),
    ] = None,
    test_fraction: flags.TestFraction = None,
    image_column: flags.ImageColumn = None,
    label_column: flags.LabelColumn = None,
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help=f"Some of {', '.join(known_names())}; LABEL=NAME for a second setting of one.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    ipc: Annotated[str, typer.Option(metavar="N,M", help="Images per class.", rich_help_panel=_WHAT)] = "1",
    networks: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Architectures to train and test (default: those that sets are made with).",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    condense_with: Annotated[
        str,
        typer.Option(metavar="A,B", help="Architectures that methods make sets with.", rich_help_panel=_WHAT),
    ] = "convnet",
    seeds: Annotated[
        str,
        typer.Option(metavar="N,M", help="Of the sets; 0-4 is short for 0,1,2,3,4.", rich_help_panel=_WHAT),
    ] = "0",
    whole: Annotated[
        bool,
        typer.Option(
            "--whole/--no-whole", help="Train on the whole training set too.", rich_help_panel=_WHAT
        ),
    ] = True,
    scale: Annotated[
        float | None,
        typer.Option(help="Make so many times the published updates, such as 0.1.", rich_help_panel=_MAKE),
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option(
            metavar="N or A=N,B=M",
            help="Updates of every method, or of some (default: as published).",
            rich_help_panel=_MAKE,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="[METHOD.]FIELD=VALUE",
            help="A field of one method, or of all that have it; can be repeated. See condense methods NAME.",
            rich_help_panel=_MAKE,
        ),
    ] = None,
    protocol: Annotated[str, typer.Option(help=f"{', '.join(PROTOCOLS)}.", rich_help_panel=_JUDGE)] = "quick",
    repeats: Annotated[
        int | None,
        typer.Option(
            help="Networks for each set and architecture (default: the protocol's).", rich_help_panel=_JUDGE
        ),
    ] = None,
    whole_epochs: Annotated[
        int | None,
        typer.Option(
            help="Epochs on the whole set (default: as many optimiser steps as on the largest set).",
            rich_help_panel=_JUDGE,
        ),
    ] = None,
    whole_repeats: Annotated[
        int, typer.Option(help="Networks trained on the whole set.", rich_help_panel=_JUDGE)
    ] = 1,
    evaluation_seed: Annotated[
        int,
        typer.Option(help="Added to a set's seed, it decides how networks train.", rich_help_panel=_JUDGE),
    ] = 0,
    evaluate_at: Annotated[
        str | None,
        typer.Option(
            metavar="STEPS",
            help="Steps after which to evaluate sets on the way, such as 0,100,200: curves for the page.",
            rich_help_panel=_JUDGE,
        ),
    ] = None,
    soft_labels: Annotated[
        bool,
        typer.Option(
            "--soft-labels",
            help="Train networks with a teacher's labels too, after hard labels.",
            rich_help_panel=_JUDGE,
        ),
    ] = False,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="NETWORK",
            help="Architecture of the teacher (default: the one that is trained on the set).",
            rich_help_panel=_JUDGE,
        ),
    ] = None,
    teacher_epochs: Annotated[
        int | None,
        typer.Option(
            help="Its epochs on the whole set (default: 5, or as many as make 500 steps).",
            rich_help_panel=_JUDGE,
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="Soft labels are softmax(logits / this) (default: 1).", rich_help_panel=_JUDGE),
    ] = None,
    augmentation_robustness: Annotated[
        bool,
        typer.Option(
            "--augmentation-robustness",
            help="Train networks without augmentation too, for ARS.",
            rich_help_panel=_JUDGE,
        ),
    ] = False,
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
            help="Folder for everything (default: comparisons/DATA); the same one goes on.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    no_scatter: Annotated[
        bool,
        typer.Option(
            "--no-scatter",
            help="Leave the features out of the page: they take a minute.",
            rich_help_panel=_WHERE,
        ),
    ] = False,
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
    """Compare methods on your images: which one, with how many images, for which network?

    Sets are made by every method, budget, architecture and seed. Networks are
    trained on each from scratch by one protocol and tested on the real test images,
    beside networks trained on the whole training set. Every finished cell is kept:
    after Ctrl-C the same command goes on, and one that asks for more does what is new.

    Examples:

      condense compare --data digits --methods dm,dsa,random --ipc 1,10 --steps 100
      condense compare --data photos/ --size 32 --methods dm,random --scale 0.02 --dry-run
      condense compare --data mnist --methods dm,dm-noise=dm --set dm-noise.init=noise
      condense compare --data cifar10 --methods dm,random --networks convnet,resnet18
          --seeds 0-4 --protocol dm-2023 --workers 4 --out comparisons/cifar10
    """
    output = Output(as_json)
    if data is None:
        raise BadInput("name the images with --data: digits, mnist, a folder, a file or a Hub id")
    out = out or Path("comparisons") / arguments.data_name(data)
    with CompareProgress(output) as progress:
        if "random" not in (word.rpartition("=")[2].strip() for word in arguments.words(methods)):
            progress.say("random images are the floor that a method has to beat: add random to --methods")
        wanted = _seeds(seeds)
        if len(set(wanted)) == 1:
            progress.say(
                "one seed: ± is between networks on one set; --seeds 0-4 shows how sets differ, random too"
            )
        comparison = compare_methods(
            data,
            arguments.words(methods),
            out=out,
            ipc=arguments.whole_numbers("--ipc", ipc),
            networks=arguments.words(networks),
            condense_with=arguments.words(condense_with),
            seeds=wanted,
            protocol=protocol,
            repeats=repeats,
            scale=scale,
            steps=_steps(steps),
            settings=arguments.settings(settings or []),
            whole=whole,
            whole_epochs=whole_epochs,
            whole_repeats=whole_repeats,
            evaluation_seed=evaluation_seed,
            evaluate_at=arguments.whole_numbers("--evaluate-at", evaluate_at),
            soft_labels=asked_soft_labels(soft_labels, teacher, teacher_epochs, temperature),
            augmentation_robustness=augmentation_robustness,
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
            data_options={
                "test_fraction": test_fraction,
                "image_column": image_column,
                "label_column": label_column,
                "classes": arguments.names("--classes", classes),
            },
        )
    if dry_run:
        output.result(comparison.to_json())
        return 0
    output.show(comparison_table(comparison))
    files = write_results(comparison, output.say, scatter=not no_scatter)
    output.show(facts_table([(name, str(path)) for name, path in files.items()]))
    output.result({**comparison.to_json(), "files": {name: str(path) for name, path in files.items()}})
    if not comparison.complete:
        failed = [problem for problem in comparison.problems if not problem.foreseen]
        line = f"without a number: {len(failed)} cells, first {failed[0].cell}: {failed[0].reason}"
        write(sys.stderr, f"condense: {' '.join(line.split())}\n")
    return 0 if comparison.complete else 1


_MOST_SEEDS = 1000


def _seeds(text: str) -> list[int]:
    """ "0,2-4" -> [0, 2, 3, 4]"""
    found: list[int] = []
    for word in arguments.words(text):
        first_last = re.fullmatch(r"(\d+)-(\d+)", word)
        if first_last:
            first, last = map(int, first_last.groups())
            if last < first:
                raise BadInput(f"--seeds {word} ends before it begins")
            if last - first >= _MOST_SEEDS:
                raise BadInput(f"--seeds {word} are {last - first + 1} seeds: ask for at most {_MOST_SEEDS}")
            found += range(first, last + 1)
        else:
            found += arguments.whole_numbers("--seeds", word)
    return found


def _steps(text: str | None) -> Steps:
    """ "300" -> 300; "dm=400,dsa=200" -> {"dm": 400, "dsa": 200}"""
    if text is None:
        return None
    if "=" not in text:
        numbers = arguments.whole_numbers("--steps", text)
        if len(numbers) != 1:
            raise BadInput(f"--steps takes one number, or some such as dm=400,dsa=200, not {text!r}")
        return numbers[0]
    counts = {}
    for word in arguments.words(text):
        label, _, count = word.partition("=")
        if not count.isdecimal():
            raise BadInput(f"--steps takes one number, or some such as dm=400,dsa=200, not {text!r}")
        counts[label.strip()] = int(count)
    return counts
