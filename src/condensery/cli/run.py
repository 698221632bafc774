"""`condense run`: condense labelled images into a few per class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from condensery import artifact
from condensery.cli import arguments, flags
from condensery.cli.method_flags import given_fields, with_fields
from condensery.cli.output import Output, facts_table
from condensery.cli.progress import RunProgress
from condensery.errors import BadInput
from condensery.evaluation import PROTOCOLS
from condensery.methods import METHODS
from condensery.records import SyntheticSet
from condensery.run_folder import RunFolder
from condensery.runner import absolute_source, condense, resume_run
from condensery.session import Options
from condensery.words import count, readable_bytes, readable_seconds

_RUN, _LIMITS, _CHECKS = "Run", "Stopping and resuming", "Evaluation on the way"
_DECIDING = ("method", "ipc", "network", "seed")  # settings that a resumed run must share


@dataclass(frozen=True)
class Call:
    """The command line of `condense run`: every flag's value, and which flags were typed."""

    values: dict[str, Any]
    typed: frozenset[str]

    def typed_values(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The values of those of `names` that were typed."""
        return {name: self.values[name] for name in names if name in self.typed}


@with_fields(METHODS)
def run(
    ctx: typer.Context,
    data: flags.Data = None,
    size: flags.Size = None,
    channels: flags.Channels = None,
    classes: flags.Classes = None,
    test_fraction: flags.TestFraction = None,
    image_column: flags.ImageColumn = None,
    label_column: flags.LabelColumn = None,
    method: Annotated[
        str,
        typer.Option(
            help=f"One of {', '.join(sorted(METHODS))}; see condense methods.", rich_help_panel=_RUN
        ),
    ] = "dm",
    ipc: Annotated[int, typer.Option(help="Images per class to make.", rich_help_panel=_RUN)] = 1,
    network: Annotated[
        str,
        typer.Option(
            help="Architecture used for matching: a name with options, such as convnet+depth=4, or your own "
            "as package.module:factory. See condense networks.",
            rich_help_panel=_RUN,
        ),
    ] = "convnet",
    steps: Annotated[
        int | None,
        typer.Option(help="Updates of the images (default: as many as published).", rich_help_panel=_RUN),
    ] = None,
    seed: flags.Seed = 0,
    device: flags.Device = "auto",
    out: flags.Out = None,
    as_json: flags.Json = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in --out, to the same bits as if it had never stopped.",
            rich_help_panel=_LIMITS,
        ),
    ] = False,
    checkpoint_every: Annotated[
        str,
        typer.Option(metavar="SECONDS", help="Time between checkpoints.", rich_help_panel=_LIMITS),
    ] = "60",
    time_limit: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Stop cleanly after so long, with a usable result: 90s, 10m, 2h.",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    evaluate_at: Annotated[
        str | None,
        typer.Option(
            metavar="STEPS",
            help="Steps after which to train networks on the set so far and test them, such as 0,100,200.",
            rich_help_panel=_CHECKS,
        ),
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(help=f"How: {', '.join(PROTOCOLS)}.", rich_help_panel=_CHECKS),
    ] = "quick",
    **fields: Any,
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
    values = {**ctx.params, "classes": arguments.names("--classes", classes)}
    call = Call(values, frozenset(_typed(ctx)))
    output = Output(as_json)
    with RunProgress(output) as progress:
        options = Options(
            device=device,
            checkpoint_every=arguments.seconds("--checkpoint-every", checkpoint_every),
            time_limit=None if time_limit is None else arguments.seconds("--time-limit", time_limit),
            evaluate_at=arguments.whole_numbers("--evaluate-at", evaluate_at),
            protocol=protocol,
            callback=progress.step,
            announce=progress.say,
        )
        out = out or _default_out(call)
        if resume and RunFolder(out).exists:
            synthetic = _go_on(out, call, fields, options)
        else:
            synthetic = _begin(out, call, fields, options)
    _report(output, out, synthetic)


def _typed(ctx: typer.Context) -> list[str]:
    """Flags that stand on the command line, as opposed to defaults."""
    sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
    return [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]


def _default_out(call: Call) -> Path:
    if call.values["data"] is None:
        raise BadInput(arguments.MISSING_DATA)
    return arguments.default_out(*(call.values[name] for name in ("data", "method", "ipc", "seed")))


def _missing_data(out: Path | None) -> str:
    if out is not None:
        return f"{out} holds no run to resume: to start one there, name the images with --data"
    return arguments.MISSING_DATA


def _begin(out: Path, call: Call, fields: dict[str, Any], options: Options) -> SyntheticSet:
    values = call.values
    if values["data"] is None:
        raise BadInput(_missing_data(out if values["resume"] else None))
    return condense(
        values["data"],
        values["method"],
        **{name: values[name] for name in ("ipc", "network", "steps", "seed", "size", "channels")},
        out=out,
        **vars(options),
        data_options={name: values[name] for name in flags.OF_DATA[2:]},
        **given_fields(values["method"], fields),
    )


def _go_on(out: Path, call: Call, fields: dict[str, Any], options: Options) -> SyntheticSet:
    """Resume; whatever was typed must be what the run was started with."""
    settings = RunFolder(out).settings()
    asked = call.typed_values(_DECIDING)
    if "data" in call.typed:
        asked["source"] = absolute_source(call.values["data"])
    asked["options"] = {**settings.options, **call.typed_values(flags.OF_DATA)}
    asked["fields"] = given_fields(settings.method, fields)
    return resume_run(out, steps=call.values["steps"], options=options, asked=asked)


def _report(output: Output, out: Path, synthetic: SyntheticSet) -> None:
    record = synthetic.record
    files = {"set": str(artifact.set_path(out)), "picture": str(out / "set.png")}
    loss = "-" if record["loss"] is None else f"{record['loss']:.4g}"
    size = readable_bytes(synthetic.bytes)
    output.show(
        facts_table(
            [
                ("Result", f"{files['set']}  ({len(synthetic)} images, {size})"),
                ("Picture", files["picture"]),
                (
                    "Loss",
                    f"{loss} after {count(record['step'], 'step')}, {readable_seconds(record['seconds'])}",
                ),
                ("Next", f"condense evaluate {out}"),
            ]
        )
    )
    output.result(
        {"out": str(out), **files, "images": len(synthetic), "bytes": synthetic.bytes, "record": record}
    )
