"""`condense select`: choose a few real images per class."""

from __future__ import annotations

from typing import Annotated

from condensery.cli import arguments
from condensery.cli.declared import selectors
from condensery.cli.flags import Flag, OptionGroup, SelectorFlags
from condensery.cli.options import Images, Made, Resize
from condensery.cli.output import Output
from condensery.cli.progress import SelectionProgress
from condensery.text import readable_seconds


class Choosing(OptionGroup, panel="Run"):
    method: Annotated[str, Flag(choices=selectors)] = "herding"
    """One of {}; see condense methods."""
    ipc: int = 1
    """Images per class to select."""
    network: str = "convnet"
    """Architecture whose features or scores are used: a name with options, such as convnet+depth=4, or your own
    as package.module:factory. See condense networks."""


def select(
    images: Images, resize: Resize, choosing: Choosing, made: Made, fields: SelectorFlags, output: Output
) -> None:
    """Select a few real images per class: what condensing has to beat.

    The result is a folder with set.safetensors (the images, how they were chosen,
    and their indices in the training set) and set.png (the same as a picture).
    Evaluate, show and export it as a condensed set.

    Examples:

      condense select --data digits --method herding --epochs 5
      condense select --data mnist --method k-center --ipc 10 --weights random
      condense select --data photos/ --size 32 --ipc 5 --method random
    """
    data, settings = images.source, fields.of(choosing.method)
    from condensery.selection import select as select_images

    out = made.out or arguments.default_out(data, choosing.method, choosing.ipc, made.seed)
    with SelectionProgress(output) as progress:
        chosen = select_images(
            data,
            **choosing.values,
            **{**made.values, "out": out},
            callback=progress.worked,
            announce=progress.say,
            **resize.values,
            data_options=images.data_options,
            **settings,
        )
    output.tell_set(out, chosen, "real images", ("Time", readable_seconds(chosen.record["seconds"])))
