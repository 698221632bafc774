"""`condense evaluate`: what a set is worth, beside random images and the whole set."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from condensery.cli import arguments, declared
from condensery.cli.flags import Flag, OptionGroup
from condensery.cli.options import Draws, Honesty, Images, Judge, Networks, Resize
from condensery.cli.output import Output
from condensery.cli.progress import EvaluationProgress

if TYPE_CHECKING:
    from condensery.evaluation import Evaluation


class Real(Images):
    data: str | None = None
    """The real images, to test on (default: those that the set was made from). Of other ones with the same classes and
    size each part that differs is named, and they are normalised as the set is."""


class Beside(OptionGroup, panel="What is compared"):
    baselines: Annotated[Sequence[str], Flag(parse=arguments.words_or_none)] = ("random", "whole")
    """Some of random,whole, or none."""
    teacher_weights: Annotated[Path | None, Flag("FILE")] = None
    """Weights of the teacher that labelled the set, if it was not trained here: random images get its labels too."""


class Scores(Honesty):
    w: float = 0.5
    """Weight of IOR against HLR in LRS."""
    gamma: float = 0.5
    """Weight of augmented training in ARS."""


class Recipes(OptionGroup, panel="How sets are judged"):
    recipe: str = "both"
    """common leaves out the recipe by which a set itself wants to be trained, own all but that."""


class Place(Draws, panel="Run"):
    results: Annotated[Path | None, Flag("FILE")] = None
    """Append the JSON line to this file too."""


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
    images: Real,
    resize: Resize,
    beside: Beside,
    judge: Judge,
    networks: Networks,
    recipes: Recipes,
    scores: Scores,
    place: Place,
    output: Output,
) -> None:
    """Train networks on a set and test them on the real test images.

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
    asked = scores.asked
    from condensery import artifact
    from condensery.evaluation import log
    from condensery.evaluation.evaluator import evaluate as evaluate_sets

    sets = [artifact.load(run) for run in runs]
    logs = log.of(runs, place.results)
    with EvaluationProgress(output) as progress:
        evaluation = evaluate_sets(
            sets,
            images.data,
            **images.data_options,
            **resize.typed,
            **beside.values,
            **judge.values,
            **networks.values,
            **recipes.values,
            **asked,
            w=scores.w,
            gamma=scores.gamma,
            seed=place.seed,
            device=place.device,
            callback=progress.trained,
            announce=progress.say,
        )
    document = {**evaluation.to_json(), "command": ctx.obj}
    _show(output, evaluation)
    output.result(document)
    log.write(document, logs)
    for i, run in enumerate(runs):
        log.note(evaluation, i, sets[i], run, output.say)
    if logs:
        output.say(f"Written to {', '.join(map(str, logs))}")


def _protocols() -> str:
    """One paragraph line for each protocol, wrapped to the width of the help."""
    lines = [f"  {name:9} {summary}" for name, summary in declared.protocols().items()]
    return "\n".join(textwrap.fill(line, 76, subsequent_indent=" " * 12) for line in lines)


evaluate.__doc__ = inspect.cleandoc(evaluate.__doc__ or "").replace("  PROTOCOLS", _protocols())


def _show(output: Output, evaluation: Evaluation) -> None:
    """Accuracies first, then the scores that follow from them."""
    from condensery.cli.evaluation_tables import accuracy_table, circumstances, honest_lines, honest_table

    output.show(accuracy_table(evaluation))
    for line in circumstances(evaluation):
        output.say(line)
    if table := honest_table(evaluation):
        output.say()
        output.show(table)
    for line in honest_lines(evaluation):
        output.say(line)
