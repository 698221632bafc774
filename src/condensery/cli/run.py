"""`condense run`: condense labelled images into a few per class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from condensery.cli import arguments
from condensery.cli.declared import methods
from condensery.cli.flags import Flag, Options
from condensery.cli.options import Curve, Draws, Images, Judge, Made, Resize
from condensery.cli.output import Output
from condensery.cli.progress import Progress
from condensery.errors import BadInput
from condensery.text import count, readable_seconds

if TYPE_CHECKING:
    from condensery.run_folder import RunSettings


class Making(Options, panel="Run"):
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


class Stopping(Options, panel="Stopping and resuming"):
    resume: bool = False
    """Go on with the run in --out, to the same bits as if it had never stopped."""
    checkpoint_every: Annotated[float, Flag("SECONDS", arguments.seconds)] = 60
    """Time between checkpoints."""
    time_limit: Annotated[float | None, Flag("TIME", arguments.seconds)] = None
    """Stop cleanly after so long, with a usable result: 90s, 10m, 2h."""


class Run(Images, Resize, Making, Draws, Made, Stopping, Judge, Curve, Output, package="methods"):
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

    def work(self) -> None:
        out = self.out or arguments.default_out(self.source, self.method, self.ipc, self.seed)
        from condensery.run_folder import RunFolder
        from condensery.runner import condense, resume_run
        from condensery.session import Options as SessionOptions

        with Progress(self) as progress:
            heard = {"callback": progress.condensing, "announce": progress.say}
            if self.resume and RunFolder(out).exists:
                asked = self._asked(RunFolder(out).settings())
                if "preset" in self.typed:
                    progress.say(
                        "--preset is for new runs: this one goes on with the settings that it was started with"
                    )
                options = SessionOptions(**self.of(SessionOptions, **heard))
                made = resume_run(out, steps=self.steps, options=options, asked=asked)
            elif self.resume and self.data is None:
                raise BadInput(
                    f"{out} holds no run to resume: to start one there, name the images with --data"
                )
            else:
                options = self.of(condense, data=self.source, out=out, **heard)
                made = condense(**options, **self.fields_of(self.method))
        loss = "-" if made.record["loss"] is None else f"{made.record['loss']:.4g}"
        took = f"{count(made.record['step'], 'step')}, {readable_seconds(made.record['seconds'])}"
        self.tell_set(out, made, "images", ("Loss", f"{loss} after {took}"))

    def _asked(self, kept: RunSettings) -> dict[str, Any]:
        """Whatever was typed, which must be what the run was started with."""
        from condensery.runner import absolute_source

        asked = {
            name: self.typed[name] for name in ("method", "ipc", "network", "seed") if name in self.typed
        }
        if self.data is not None:
            asked["source"] = absolute_source(self.data)
        options = {**kept.options, **self.data_options, **self.typed_in(Resize)}
        return {**asked, "options": options, "fields": self.fields_of(kept.method)}
