"""`condense select`: choose a few real images per class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from condensery import artifact
from condensery.cli import arguments, flags
from condensery.cli.method_flags import given_fields, with_fields
from condensery.cli.output import Output, facts_table
from condensery.cli.progress import SelectionProgress
from condensery.coresets import SELECTORS
from condensery.errors import BadInput
from condensery.records import SyntheticSet
from condensery.selection import select as select_images
from condensery.words import readable_bytes, readable_seconds

_RUN = "Run"


@with_fields(SELECTORS)
def select(
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
            help=f"One of {', '.join(sorted(SELECTORS))}; see condense methods.", rich_help_panel=_RUN
        ),
    ] = "herding",
    ipc: Annotated[int, typer.Option(help="Images per class to select.", rich_help_panel=_RUN)] = 1,
    network: Annotated[
        str,
        typer.Option(
            help="Architecture whose features or scores are used: a name with options, such as "
            "convnet+depth=4, or your own as package.module:factory. See condense networks.",
            rich_help_panel=_RUN,
        ),
    ] = "convnet",
    seed: flags.Seed = 0,
    device: flags.Device = "auto",
    out: flags.Out = None,
    as_json: flags.Json = False,
    **fields: Any,
) -> None:
    """Select a few real training images per class, to compare condensed ones with.

    The result is a folder with set.safetensors (the images, how they were chosen,
    and their indices in the training set) and set.png (the same as a picture).
    Evaluate, show and export it as a condensed set.

    Examples:

      condense select --data digits --method herding --epochs 5
      condense select --data mnist --method k-center --ipc 10 --weights random
      condense select --data photos/ --size 32 --ipc 5 --method random
    """
    if data is None:
        raise BadInput(arguments.MISSING_DATA)
    output = Output(as_json)
    out = out or arguments.default_out(data, method, ipc, seed)
    with SelectionProgress(output) as progress:
        chosen = select_images(
            data,
            method,
            ipc=ipc,
            network=network,
            seed=seed,
            device=device,
            out=out,
            callback=progress.worked,
            announce=progress.say,
            size=size,
            channels=channels,
            data_options={
                "test_fraction": test_fraction,
                "image_column": image_column,
                "label_column": label_column,
                "classes": arguments.names("--classes", classes),
            },
            **given_fields(method, fields, SELECTORS),
        )
    _report(output, out, chosen)


def _report(output: Output, out: Path, chosen: SyntheticSet) -> None:
    files = {"set": str(artifact.set_path(out)), "picture": str(out / "set.png")}
    size = readable_bytes(chosen.bytes)
    output.show(
        facts_table(
            [
                ("Result", f"{files['set']}  ({len(chosen)} real images, {size})"),
                ("Picture", files["picture"]),
                ("Time", readable_seconds(chosen.record["seconds"])),
                ("Next", f"condense evaluate {out}"),
            ]
        )
    )
    output.result(
        {"out": str(out), **files, "images": len(chosen), "bytes": chosen.bytes, "record": chosen.record}
    )
