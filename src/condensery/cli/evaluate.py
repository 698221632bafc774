"""`condense evaluate`: what a set is worth, beside random images and the whole set."""

from __future__ import annotations

import inspect
import json
import os
import shlex
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from condensery import artifact
from condensery.artifact import unwritable
from condensery.cli import arguments
from condensery.cli.output import Output, accuracy, percent, plain_table, readable_bytes
from condensery.cli.progress import EvaluationProgress
from condensery.errors import BadInput
from condensery.evaluation import PROTOCOLS, Evaluation, Score
from condensery.evaluation import evaluate as evaluate_sets
from condensery.evaluation.evaluator import BASELINES
from condensery.records import SyntheticSet
from condensery.session import readable_seconds

_WHAT, _HOW = "What is compared", "How"


def evaluate(
    ctx: typer.Context,
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Run folders or .safetensors files; several are sets of one kind with different seeds.",
            show_default=False,
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            help="The real images (default: those that the set was made from).", rich_help_panel=_WHAT
        ),
    ] = None,
    networks: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Architectures to train (default: the one it was condensed with).",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    baselines: Annotated[
        str, typer.Option(help="Some of random,whole, or none.", rich_help_panel=_WHAT)
    ] = "random,whole",
    whole_epochs: Annotated[
        int | None,
        typer.Option(
            help="Epochs on the whole set (default: as many optimiser steps as on the set).",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    whole_repeats: Annotated[
        int, typer.Option(help="Networks trained on the whole set.", rich_help_panel=_WHAT)
    ] = 1,
    protocol: Annotated[
        str,
        typer.Option(
            help=f"{', '.join(PROTOCOLS)}; other groups with +augmentation=crop, none with +augmentation=none.",
            rich_help_panel=_HOW,
        ),
    ] = "quick",
    repeats: Annotated[
        int | None,
        typer.Option(
            help="Networks per set and architecture (default: the protocol's).", rich_help_panel=_HOW
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides every random draw.", rich_help_panel=_HOW)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=_HOW)] = "auto",
    results: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Append the JSON line to this file too.", rich_help_panel=_HOW),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print one JSON document; lines for people go to stderr.", rich_help_panel=_HOW
        ),
    ] = False,
) -> None:
    """Train networks from scratch on a set and test them on the real test images.

    Random selections of the same size and the whole training set are judged by
    the same recipe. Accuracy is given as mean and standard deviation over n
    networks. The result is appended to RUN/evaluations.jsonl, with the command.

    Protocols:

      PROTOCOLS

    Examples:

      condense evaluate runs/mnist
      condense evaluate runs/mnist --protocol dm-2023 --networks convnet,lenet
      condense evaluate runs/seed0 runs/seed1 runs/seed2 --baselines none
    """
    output = Output(as_json)
    sets = [artifact.load(run) for run in runs]
    logs = [run / "evaluations.jsonl" for run in runs if run.is_dir()] + ([results] if results else [])
    for log in logs:
        _require_appendable(log)
    with EvaluationProgress(output) as progress:
        evaluation = evaluate_sets(
            sets,
            data,
            protocol=protocol,
            networks=arguments.words(networks),
            repeats=repeats,
            baselines=arguments.baselines(baselines),
            whole_epochs=whole_epochs,
            whole_repeats=whole_repeats,
            seed=seed,
            device=device,
            callback=progress.trained,
        )
    document = {**evaluation.to_json(), "command": shlex.join(["condense", *ctx.obj])}
    output.show(_table(evaluation))
    output.say(_circumstances(evaluation))
    output.result(document)
    for log in logs:
        _append(log, document)
    for i, (run, synthetic) in enumerate(zip(runs, sets, strict=True)):
        _note_accuracies(output, run, synthetic, _summary(evaluation, i))
    if logs:
        output.say(f"Written to {', '.join(map(str, logs))}")


def _protocols() -> str:
    """One paragraph line for each protocol, wrapped to the width of the help."""
    lines = [f"  {name:9} {protocol.summary}" for name, protocol in PROTOCOLS.items()]
    return "\n".join(textwrap.fill(line, 76, subsequent_indent=" " * 12) for line in lines)


evaluate.__doc__ = inspect.cleandoc(evaluate.__doc__ or "").replace("  PROTOCOLS", _protocols())


def _table(evaluation: Evaluation) -> Table:
    table = plain_table("set")
    table.add_column("network", overflow="fold", min_width=7)
    for name in ("images", "size", "accuracy %", "±sets", "±nets", "n", "epochs", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    for score in evaluation.scores:
        table.add_row(
            score.subject,
            score.network,
            str(score.images),
            readable_bytes(score.bytes),
            accuracy(score.mean, score.std, score.n),
            percent(score.std_between_sets),
            percent(score.std_between_networks),
            str(score.n),
            str(score.epochs),
            readable_seconds(score.seconds),
        )
    return table


def _circumstances(evaluation: Evaluation) -> str:
    record = evaluation.record
    return (
        f"Mean ± standard deviation over n networks, spread between sets and between networks of a set; "
        f"protocol {record['protocol']}, test images of {record['data']}, seed {record['seed']}, "
        f"{record['hardware']}."
    )


def _summary(evaluation: Evaluation, index: int) -> list[dict[str, Any]]:
    """What to remember about set number `index`: its own networks only."""
    record = evaluation.record
    return [
        {
            "protocol": record["protocol"],
            "network": score.network,
            "mean": float(np.mean(score.accuracies[index])),
            "std": float(np.std(score.accuracies[index])),
            "n": len(score.accuracies[index]),
            "epochs": score.epochs,
            "seed": record["seed"],
            "time": record["time"],
            "hardware": record["hardware"],
        }
        for score in evaluation.scores
        if _is_of_sets(score)
    ]


def _is_of_sets(score: Score) -> bool:
    return score.subject not in BASELINES


def _note_accuracies(output: Output, run: Path, evaluated: SyntheticSet, found: list[dict[str, Any]]) -> None:
    """Add `found` to the record of the set file, unless the file has changed since it was read."""
    path = artifact.set_path(run)
    now = artifact.load(path)
    if artifact.digest(now) != artifact.digest(evaluated):
        output.say(f"{path} has changed during the evaluation: its record was left as it is")
        return
    step = {"step": now.record["step"]} if "step" in now.record else {}
    accuracies = [*now.record.get("accuracies", []), *({**step, **one} for one in found)]
    try:
        artifact.save(replace(now, record={**now.record, "accuracies": accuracies}), path)
    except BadInput as error:  # the accuracies are on the screen and in the log; the set is as it was
        output.say(f"The record of the set was left as it is: {error}")


def _require_appendable(path: Path) -> None:
    """Fail before the work, not after it. Leaves no file behind that was not there."""
    new = not path.exists()
    try:
        path.open("a").close()
        if new:
            path.unlink()
    except OSError as error:
        raise unwritable(path, error) from error


def _append(path: Path, document: dict[str, Any]) -> None:
    """Append one line. Raises BadInput if the disk is full."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(document) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise unwritable(path, error) from error
