"""`condense select`: choose a few real images per class."""

from __future__ import annotations

from typing import Annotated

from condensery.cli import arguments
from condensery.cli.declared import selectors
from condensery.cli.flags import Flag, Options
from condensery.cli.options import Draws, Images, Made, Resize
from condensery.cli.output import Output
from condensery.cli.progress import Progress
from condensery.text import readable_seconds


class Choosing(Options, panel="Run"):
    method: Annotated[str, Flag(choices=selectors)] = "herding"
    """One of {}; see condense methods."""
    ipc: int = 1
    """Images per class to select."""
    network: str = "convnet"
    """Architecture whose features or scores are used: a name with options, such as convnet+depth=4, or your own
    as package.module:factory. See condense networks."""


class Select(Images, Resize, Choosing, Draws, Made, Output, package="coresets"):
    """Select a few real images per class: what condensing has to beat.

    The result is a folder with set.safetensors (the images, how they were chosen,
    and their indices in the training set) and set.png (the same as a picture).
    Evaluate, show and export it as a condensed set.

    Examples:

      condense select --data digits --method herding --epochs 5
      condense select --data mnist --method k-center --ipc 10 --weights random
      condense select --data photos/ --size 32 --ipc 5 --method random
    """

    def work(self) -> None:
        data, fields = self.source, self.fields_of(self.method)
        from condensery.selection import select

        out = self.out or arguments.default_out(data, self.method, self.ipc, self.seed)
        with Progress(self) as progress:
            options = self.of(select, data=data, out=out, callback=progress.selecting, announce=progress.say)
            chosen = select(**options, **fields)
        self.tell_set(out, chosen, "real images", ("Time", readable_seconds(chosen.record["seconds"])))
