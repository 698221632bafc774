"""`condense evaluate`: what a set is worth, beside random images and the whole set."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from condensery.cli import arguments, declared
from condensery.cli.flags import Flag, Options
from condensery.cli.options import Draws, Honesty, Images, Judge, Networks, Runs
from condensery.cli.output import SPARE, Output
from condensery.cli.progress import Progress


class Real(Images, panel="Images"):
    data: str | None = None
    """The real images to test on (default: those of the set). Others need the same classes and size;
    what differs is said, and they are normalised as the set is."""


BASELINES = ("random", "whole", "random-equal-bytes")


class Beside(Options, panel="What is compared"):
    baselines: Annotated[Sequence[str], Flag("A,B", arguments.words_or_none)] = BASELINES
    """What is trained beside, or none. The last one stands beside generators, with as many random images as have
    their bytes."""
    teacher_weights: Annotated[Path | None, Flag("FILE")] = None
    """Weights of the teacher that labelled the set, if it was not trained here. Random images then get its labels."""


class Recipes(Options, panel="How sets are judged"):
    precision: Annotated[str | None, Flag("float32|bfloat16")] = None
    """What networks compute in (default: float32); bfloat16 is a protocol of its own, NAME+precision=bfloat16."""
    recipe: str = "both"
    """common (the protocol), own (the recipe stored with the set) or both."""


class Weights(Options, panel=Honesty.panel):
    w: float = 0.5
    """Weight of IOR against HLR in the score LRS."""
    gamma: float = 0.5
    """Weight of augmented training in the score ARS."""


class Evaluate(Real, Beside, Judge, Networks, Recipes, Honesty, Weights, Draws, Output, panel="Run"):
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
      condense evaluate runs/photos --minutes 10
    """

    first = "data protocol networks repeats baselines minutes soft_labels seed device"

    runs: Runs
    """Run folders or .safetensors files, of one kind. Several are sets that differ by their seeds."""
    minutes: Annotated[float | None, Flag("N")] = None
    """Time that it may take: fewer networks are trained, then for fewer epochs. What was cut is said."""
    results: Annotated[Path | None, Flag("FILE")] = None
    """Append the JSON line to this file too."""

    def work(self) -> None:
        labels = self.labels
        from condensery import artifact
        from condensery.cli import tables
        from condensery.evaluation import log
        from condensery.evaluation.evaluator import evaluate

        sets = [artifact.load(run) for run in self.runs]
        logs = log.of(self.runs, self.results)
        with Progress(self) as progress:
            heard = {
                "callback": progress.evaluating,
                "every_epoch": progress.training,
                "announce": progress.say,
            }
            asked = self.of(evaluate, sets=sets, soft_labels=labels, **heard)
            evaluation = evaluate(**asked, **self.data_options)
        document = {**evaluation.to_json(), "command": self.command}
        self.show(tables.accuracy_table(evaluation), SPARE)
        for line in tables.circumstances(evaluation):
            self.say(line)
        if table := tables.honest_table(evaluation):
            self.say()
            self.show(table)
        for line in tables.honest_lines(evaluation):
            self.say(line)
        self.result(document)
        log.write(document, logs)
        for i, run in enumerate(self.runs):
            log.note(evaluation, i, sets[i], run, self.say)
        if logs:
            self.say(f"Written to {', '.join(map(str, logs))}")


def _protocols() -> str:
    """One paragraph line for each protocol, wrapped to the width of the help."""
    lines = [f"  {name:9} {summary}" for name, summary in declared.protocols().items()]
    return "\n".join(textwrap.fill(line, 76, subsequent_indent=" " * 12) for line in lines)


Evaluate.__doc__ = inspect.cleandoc(Evaluate.__doc__ or "").replace("  PROTOCOLS", _protocols())
