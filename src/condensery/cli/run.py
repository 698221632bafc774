"""`condense run`: condense labelled images into a few per class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from condensery.cli import arguments
from condensery.cli.declared import methods
from condensery.cli.flags import Flag, MethodFlags, OptionGroup
from condensery.cli.options import Curve, Images, Made, Resize
from condensery.cli.output import Output
from condensery.cli.progress import RunProgress
from condensery.errors import BadInput
from condensery.words import count, readable_seconds

if TYPE_CHECKING:
    from condensery.records import SyntheticSet
    from condensery.session import Options

_DECIDING = ("method", "ipc", "network", "seed")  # settings that a resumed run must share
_OF_DATA = (
    *("size", "channels", "classes", "test_fraction", "image_column", "label_column"),
    *("train_split", "test_split", "value_range", "skip_damaged"),
)


class Making(OptionGroup, panel="Run"):
    method: Annotated[str, Flag(choices=methods)] = "dm"
    """One of {}; see condense methods."""
    ipc: int = 1
    """Images per class to make."""
    network: str = "convnet"
    """Architecture used for matching: a name with options, such as convnet+depth=4, or your own as
    package.module:factory. See condense networks."""
    steps: int | None = None
    """Updates of the images (default: as many as published)."""


class Stopping(OptionGroup, panel="Stopping and resuming"):
    resume: bool = False
    """Go on with the run in --out, to the same bits as if it had never stopped."""
    checkpoint_every: Annotated[float, Flag("SECONDS", arguments.seconds)] = 60
    """Time between checkpoints."""
    time_limit: Annotated[float | None, Flag("TIME", arguments.seconds)] = None
    """Stop cleanly after so long, with a usable result: 90s, 10m, 2h."""


def run(
    images: Images,
    resize: Resize,
    making: Making,
    made: Made,
    stopping: Stopping,
    curve: Curve,
    fields: MethodFlags,
    output: Output,
) -> None:
    """Condense labelled images into a few synthetic images per class.

    The result is a folder with set.safetensors (the images, and how they were
    made) and set.png (the same as a picture). Ctrl-C loses nothing: a checkpoint
    is written, and --resume goes on to the same bits.

    Examples:

      condense run --data digits --steps 200
      condense run --data mnist --method dsa --ipc 10 --out runs/mnist
      condense run --data photos/ --size 32 --ipc 5 --time-limit 30m
      condense run --resume --out runs/mnist
    """
    out = made.out or arguments.default_out(images.source, making.method, making.ipc, made.seed)
    from condensery.run_folder import RunFolder
    from condensery.runner import condense
    from condensery.session import Options

    with RunProgress(output) as progress:
        options = Options(
            device=made.device,
            checkpoint_every=stopping.checkpoint_every,
            time_limit=stopping.time_limit,
            **curve.values,
            callback=progress.step,
            announce=progress.say,
        )
        if stopping.resume and RunFolder(out).exists:
            typed = {**images.typed, **resize.typed, **making.typed, **made.typed}
            synthetic = _go_on(out, typed, fields, options)
        elif stopping.resume and images.data is None:
            raise BadInput(f"{out} holds no run to resume: to start one there, name the images with --data")
        else:
            synthetic = condense(
                images.source,
                **making.values,
                seed=made.seed,
                out=out,
                **vars(options),
                **resize.values,
                data_options=images.data_options,
                **fields.of(making.method),
            )
    record = synthetic.record
    loss = "-" if record["loss"] is None else f"{record['loss']:.4g}"
    took = f"{count(record['step'], 'step')}, {readable_seconds(record['seconds'])}"
    output.tell_set(out, synthetic, "images", ("Loss", f"{loss} after {took}"))


def _go_on(out: Path, typed: dict[str, Any], fields: MethodFlags, options: Options) -> SyntheticSet:
    """Resume; whatever was typed must be what the run was started with."""
    from condensery.run_folder import RunFolder
    from condensery.runner import absolute_source, resume_run

    settings = RunFolder(out).settings()
    asked = {name: typed[name] for name in _DECIDING if name in typed}
    if "data" in typed:
        asked["source"] = absolute_source(typed["data"])
    asked["options"] = {**settings.options, **{name: typed[name] for name in _OF_DATA if name in typed}}
    asked["fields"] = fields.of(settings.method)
    return resume_run(out, steps=typed.get("steps"), options=options, asked=asked)
