"""`condense run`: condense labelled images into a few per class."""

from __future__ import annotations

from typing import Annotated

from condensery.cli import arguments
from condensery.cli.declared import methods
from condensery.cli.flags import Flag, MethodFlags, OptionGroup
from condensery.cli.options import Curve, Images, Made, Resize
from condensery.cli.output import Output
from condensery.cli.progress import RunProgress
from condensery.errors import BadInput
from condensery.text import count, readable_seconds

_DECIDING = ("method", "ipc", "network", "seed")  # settings that a resumed run must share


class Making(OptionGroup, panel="Run"):
    method: Annotated[str, Flag(choices=methods)] = "dm"
    """One of {}; see condense methods."""
    ipc: int = 1
    """Images per class to make."""
    network: str = "convnet"
    """Architecture used for matching: a name with options, such as convnet+depth=4, or your own as
    package.module:factory. See condense networks."""
    steps: int | None = None
    """Updates of the images (default: the preset's)."""
    preset: str = "fast"
    """Settings that you do not give: fast (minutes on two cores) or paper (exactly as published; hours on a GPU)."""


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
    from condensery.runner import absolute_source, condense, resume_run
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
        if stopping.resume and RunFolder(out).exists:  # whatever was typed must be what it was started with
            asked = {
                name: value for name, value in {**making.typed, **made.typed}.items() if name in _DECIDING
            }
            if images.data is not None:
                asked["source"] = absolute_source(images.data)
            if "preset" in making.typed:
                progress.say(
                    "--preset is for new runs: this one goes on with the settings that it was started with"
                )
            kept = RunFolder(out).settings()
            asked["options"] = {**kept.options, **images.data_options, **resize.typed}
            asked["fields"] = fields.of(kept.method)
            synthetic = resume_run(out, steps=making.steps, options=options, asked=asked)
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
