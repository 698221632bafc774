"""`condense import`: a set that another program saved, as one like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from condensery.cli import arguments
from condensery.cli.flags import Flag, OptionGroup
from condensery.cli.options import Images, Resize
from condensery.cli.output import Output, facts_table
from condensery.text import readable_bytes


class Reading(OptionGroup, panel="How it is read"):
    normalisation: Annotated[str, Flag("auto|data|unit|bytes")] = "auto"
    """How pixels are written: data, normalised with the mean and std of the images; unit, from 0 to 1; bytes, from
    0 to 255; auto decides by the values, and says so."""


class Place(OptionGroup, panel="Run"):
    out: Path | None = None
    """Folder for the result (default: runs/DATA-FILE). Several sets go to OUT/0, OUT/1, ..."""


def import_(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="What the program saved; images and labels may be two files, or a folder of class folders.",
            show_default=False,
        ),
    ],
    images: Images,
    resize: Resize,
    reading: Reading,
    place: Place,
    output: Output,
) -> None:
    """Read a set that another program saved.

    A .pt file with a dict that holds data, or with a list of images and
    labels; two files, images_best.pt and labels_best.pt; .npz or .safetensors
    with images and labels; a folder of class folders. Nothing in a file is run.
    --data names the real images that it stands for: they give its classes, mean
    and standard deviation. The result is a set like any other.

    Examples:

      condense import res_DM_CIFAR10_ConvNet_10ipc.pt --data cifar10
      condense import images_best.pt labels_best.pt --data cifar10 --out runs/mtt
      condense import kernel.npz --data mnist --normalisation unit
    """
    source = images.source
    from condensery.data import load
    from condensery.importing import folders, import_sets

    out = place.out or Path("runs") / f"{arguments.data_name(source)}-{files[0].stem or 'imported'}"
    options = {name: value for name, value in resize.values.items() if value is not None}
    data = load(source, announce=output.say, **options, **images.data_options)
    sets = import_sets(files, data, normalisation=reading.normalisation, out=out, announce=output.say)
    places = folders(out, len(sets))
    if len(sets) == 1:
        output.tell_set(out, sets[0], "images", ("Labels", sets[0].label_kind))
        return
    rows = [
        (f"Result {i}", f"{at / 'set.safetensors'}  ({len(one)} images, {readable_bytes(one.bytes)})")
        for i, (at, one) in enumerate(zip(places, sets, strict=True))
    ]
    output.show(facts_table([*rows, ("Next", f"condense evaluate {' '.join(map(str, places))}")]))
    output.result(
        [
            {"out": str(at), "images": len(one), "record": one.record}
            for at, one in zip(places, sets, strict=True)
        ]
    )


import_.__name__ = "import"  # a word that Python keeps for itself
