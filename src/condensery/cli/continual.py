"""`condense continual`: tasks one after the other, with a memory of a few images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from condensery.cli import arguments
from condensery.cli.declared import everything
from condensery.cli.flags import Flag, Options
from condensery.cli.options import Images, Words
from condensery.cli.output import SPARE, table
from condensery.cli.studies import Making, Seeds, Study
from condensery.text import accuracy, readable_bytes, readable_seconds

if TYPE_CHECKING:
    import numpy as np

    from condensery.apps.continual.outcome import Row


class Stream(Options, panel="The stream"):
    scenario: str = "class"
    """What comes in turn: class, domain or task. class: the classes of one set; domain: several sets with the same
    classes; task: several sets with classes of their own, and the task of an image is known."""
    tasks: int = 5
    """Steps into which the classes of one set are split."""
    order: Annotated[Sequence[str], Flag("A,B", arguments.names)] = ()
    """All classes of one set in their order (default: drawn from each seed)."""
    shuffle: bool | None = None
    """Draw the order of several sets from each seed."""
    seeds: Seeds = (0, 1, 2, 3, 4)
    """Each draws an order and all else anew; 0-4 is short for 0,1,2,3,4."""
    test_images: int | None = None
    """Test on at most so many images of each task (default: all)."""


class Memory(Making, panel="What is kept"):
    memories: Annotated[Sequence[str], Flag("A,B", arguments.words, choices=everything)] = (
        "random",
        "herding",
        "dm",
    )
    """Methods and selections that make memories, and ring: the last images of each class. Some of ring, {};
    LABEL=NAME for a second setting of one."""
    ipc: int = 10
    """Images per class that are kept of each task."""
    budget: str = "images"
    """images keeps learned images in single precision, bytes as 8-bit pixels. With bytes all memories are as large."""


class Learning(Options, panel="How it is learned"):
    learners: Words = ("gdumb",)
    """Some of eeil, eeil-no-kd (without distillation), gdumb and er."""
    learning: Annotated[
        Mapping[str, Any], Flag("NAME=VALUE", arguments.settings, list[str], names=("--learning",))
    ] = field(default_factory=dict)
    """A setting of learners, such as eeil.steps=500. Without a learner's name it is for all that have it. Can be
    repeated. eeil has steps=5000 lr=.01 balanced_steps=500 balanced_lr=.001 weight=1 temperature=2 batch_size=256;
    gdumb has epochs=1000; er has passes=1 lr=.03 batch_size=10."""
    network: str = "convnet"
    """Architecture of learners and methods, see condense networks."""
    augmentation: str = "auto"
    """Siamese groups joined by _ for all training, auto or none."""


class Continual(Images, Stream, Memory, Learning, Study):
    """Learn tasks one after the other and keep a few images of each.

    Of each task a few images per class are kept: real ones, or ones condensed
    from that task alone. Accuracies after each step are means over all tasks so
    far. After Ctrl-C the same command goes on behind the last finished step.

    Examples:

      condense continual --data mnist --tasks 5 --memories random,dm --steps 300
      condense continual --data digits,mnist,mnist+invert --scenario domain
          --size 32 --channels 1 --learners eeil,eeil-no-kd,gdumb
      condense continual --data a/,b/ --scenario task --size 32 --learners er
    """

    first = "data size channels scenario tasks memories ipc learners steps network seeds workers dry_run out"

    def work(self) -> int:
        data = arguments.names("--data", self.source)
        from condensery.apps.continual.learn import continual

        out = self.out or Path("continual") / "-".join(map(arguments.data_name, data))
        found = continual(**self.asked(continual, data, out))
        self.show(table(map(_row, found.rows)), SPARE)
        return self.finish(found)


def _row(row: Row) -> dict[str, str]:
    n = len(row.seeds)
    return {
        "learner": row.learner,
        "memory": row.memory,
        **{f">step {t + 1}": _spread(step) for t, step in enumerate(row.accuracies.T)},
        ">forgetting": _spread(row.forgetting),
        ">n": str(n),
        ">images": f"{row.images:,}",
        ">size": readable_bytes(row.bytes),
        ">to make": readable_seconds(sum(row.make_seconds) / n),
        ">to learn": readable_seconds(sum(row.learn_seconds) / n),
    }


def _spread(values: np.ndarray) -> str:
    return accuracy(float(values.mean()), float(values.std()), len(values))
