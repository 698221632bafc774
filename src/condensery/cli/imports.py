"""`condense import`: a set that another program saved, as one like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from condensery.cli import arguments
from condensery.cli.flags import Flag, Options
from condensery.cli.options import Images, Resize
from condensery.cli.output import Output, facts
from condensery.text import readable_bytes


class Reading(Options, panel="How it is read"):
    normalisation: Annotated[str, Flag("auto|data|unit|bytes")] = "auto"
    """How pixels are written: data, normalised with the mean and std of the images; unit, from 0 to 1; bytes, from
    0 to 255; auto decides by the values, and says so."""


class Place(Options, panel="Run"):
    out: Path | None = None
    """Folder for the result (default: runs/DATA-FILE). Several sets go to OUT/0, OUT/1, ..."""


class Import(Images, Resize, Reading, Place, Output):
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

    files: Annotated[list[Path], Flag("FILE", positional=True)]
    """What the program saved; images and labels may be two files, or a folder of class folders."""

    def work(self) -> None:
        data = self.source
        from condensery.importing import folders, import_sets

        out = self.out or Path("runs") / f"{arguments.data_name(data)}-{self.files[0].stem or 'imported'}"
        sets = import_sets(**self.of(import_sets, data=data, out=out, announce=self.say))
        if len(sets) == 1:
            return self.tell_set(out, sets[0], "images", ("Labels", sets[0].label_kind))
        made = dict(zip(folders(out, len(sets)), sets, strict=True))
        rows = [
            (f"Result {i}", f"{at / 'set.safetensors'}  ({len(one)} images, {readable_bytes(one.bytes)})")
            for i, (at, one) in enumerate(made.items())
        ]
        self.show(facts([*rows, ("Next", f"condense evaluate {' '.join(map(str, made))}")]))
        self.result([{"out": str(at), "images": len(one), "record": one.record} for at, one in made.items()])
