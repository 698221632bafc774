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

from condensery import artifact
from condensery.artifact import unwritable
from condensery.cli import arguments
from condensery.cli.evaluation_tables import accuracy_table, circumstances, honest_lines, honest_table
from condensery.cli.output import Output
from condensery.cli.progress import EvaluationProgress
from condensery.errors import BadInput
from condensery.evaluation import PROTOCOLS, Evaluation, Score, SoftLabels
from condensery.evaluation import evaluate as evaluate_sets
from condensery.evaluation.evaluator import BASELINES
from condensery.evaluation.honest import WEIGHT
from condensery.records import SyntheticSet

_WHAT, _HOW, _HONEST = "What is compared", "How", "Labels, augmentation and the scores about them"


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
    soft_labels: Annotated[
        bool,
        typer.Option(
            "--soft-labels",
            help="Train on sets and random images with a teacher's labels too, after hard labels.",
            rich_help_panel=_HONEST,
        ),
    ] = False,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="NETWORK",
            help="Architecture of the teacher (default: the one that is trained on the set).",
            rich_help_panel=_HONEST,
        ),
    ] = None,
    teacher_epochs: Annotated[
        int | None,
        typer.Option(
            help="Its epochs on the whole set (default: 5, or as many as make 500 steps).",
            rich_help_panel=_HONEST,
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="Soft labels are softmax(logits / this) (default: 1).", rich_help_panel=_HONEST),
    ] = None,
    augmentation_robustness: Annotated[
        bool,
        typer.Option(
            "--augmentation-robustness",
            help="Train on sets and random images without augmentation too, for ARS.",
            rich_help_panel=_HONEST,
        ),
    ] = False,
    w: Annotated[
        float, typer.Option("--w", help="Weight of IOR against HLR in LRS.", rich_help_panel=_HONEST)
    ] = WEIGHT,
    gamma: Annotated[
        float, typer.Option(help="Weight of augmented training in ARS.", rich_help_panel=_HONEST)
    ] = WEIGHT,
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
      condense evaluate runs/mnist --soft-labels --augmentation-robustness
    """
    output = Output(as_json)
    asked_labels = asked_soft_labels(soft_labels, teacher, teacher_epochs, temperature)
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
            soft_labels=asked_labels,
            augmentation_robustness=augmentation_robustness,
            w=w,
            gamma=gamma,
            seed=seed,
            device=device,
            callback=progress.trained,
            announce=progress.say,
        )
    document = {**evaluation.to_json(), "command": shlex.join(["condense", *ctx.obj])}
    _show(output, evaluation)
    output.result(document)
    for log in logs:
        _append(log, document)
    for i, (run, synthetic) in enumerate(zip(runs, sets, strict=True)):
        _note_accuracies(output, run, synthetic, _summary(evaluation, i))
    if logs:
        output.say(f"Written to {', '.join(map(str, logs))}")


def _show(output: Output, evaluation: Evaluation) -> None:
    """Accuracies first, then the scores that follow from them."""
    output.show(accuracy_table(evaluation))
    output.say(circumstances(evaluation))
    if table := honest_table(evaluation):
        output.say()
        output.show(table)
    for line in honest_lines(evaluation):
        output.say(line)


def asked_soft_labels(
    wanted: bool, teacher: str | None, epochs: int | None, temperature: float | None
) -> SoftLabels | None:
    """What the four flags ask for. Raises BadInput for a teacher that nobody asked for."""
    given = {"network": teacher, "epochs": epochs, "temperature": temperature}
    given = {name: value for name, value in given.items() if value is not None}
    if given and not wanted:
        raise BadInput("--teacher, --teacher-epochs and --temperature are for soft labels: add --soft-labels")
    return SoftLabels(**given) if wanted else None


def _protocols() -> str:
    """One paragraph line for each protocol, wrapped to the width of the help."""
    lines = [f"  {name:9} {protocol.summary}" for name, protocol in PROTOCOLS.items()]
    return "\n".join(textwrap.fill(line, 76, subsequent_indent=" " * 12) for line in lines)


evaluate.__doc__ = inspect.cleandoc(evaluate.__doc__ or "").replace("  PROTOCOLS", _protocols())


def _summary(evaluation: Evaluation, index: int) -> list[dict[str, Any]]:
    """What to remember about set number `index`: its own networks only."""
    record = evaluation.record
    return [
        {
            "protocol": record["protocol"],
            "network": score.network,
            "labels": score.labels,
            "augmentation": score.augmentation,
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
