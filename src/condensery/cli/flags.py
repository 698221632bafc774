"""Flags that several commands share, with the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_IMAGES, _RUN = "Images", "Run"

OF_DATA = ("size", "channels", "test_fraction", "image_column", "label_column", "classes")
"""Flags that are options of `condensery.load_images`."""

Data = Annotated[
    str | None,
    typer.Option(
        help="The images: a known name (digits, mnist, cifar10, ...), a folder with one sub-folder per "
        "class, a Parquet folder or file, a .npz file, or a Hugging Face Hub id. See condense datasets.",
        rich_help_panel=_IMAGES,
    ),
]
Size = Annotated[
    int | None,
    typer.Option(help="Resize the short side to SIZE pixels and crop the centre.", rich_help_panel=_IMAGES),
]
Channels = Annotated[
    int | None, typer.Option(help="1 makes all images grey, 3 colour.", rich_help_panel=_IMAGES)
]
Classes = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="Names of the classes to take, at least two, such as 3,8 (default: all).",
        rich_help_panel=_IMAGES,
    ),
]
TestFraction = Annotated[
    float | None,
    typer.Option(
        help="Share of each class kept for testing where the set has no test part (default: 0.2).",
        rich_help_panel=_IMAGES,
    ),
]
ImageColumn = Annotated[
    str | None, typer.Option(help="Column of a table that holds the images.", rich_help_panel=_IMAGES)
]
LabelColumn = Annotated[
    str | None, typer.Option(help="Column of a table that holds the labels.", rich_help_panel=_IMAGES)
]
Seed = Annotated[int, typer.Option(help="Decides every random draw.", rich_help_panel=_RUN)]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=_RUN)]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder for the result (default: runs/DATA-METHOD-ipcN-seedN).", rich_help_panel=_RUN),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one JSON document; lines for people go to stderr.", rich_help_panel=_RUN
    ),
]
