"""`condense methods`, `condense networks` and `condense datasets`: what there is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from condensery.cli import declared
from condensery.cli.output import Output, plain_table
from condensery.plugins import configure

if TYPE_CHECKING:
    from condensery.data import KnownSet

_PUBLISHED_IPC = (1, 10, 50)
_OWN_IMAGES = """
Your own images, as --data:
  photos/     a folder with one sub-folder per class, or with train/ and test/
  table/      a folder of Parquet files, or one .parquet file, laid out as on the Hub
  download/   a set as it unpacks: idx, CIFAR archives, SVHN .mat, USPS, TinyImageNet, GTSRB, ...
  set.npz     arrays images and labels, or x_train, y_train, x_test, y_test
  owner/name  a Hugging Face Hub id, or owner/name:config
Known sets are read from the folder that CONDENSERY_DATA names if they lie there by
name (mnist/, cifar10/, ...); otherwise they are fetched from the Hub once."""


def methods(
    output: Output,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="Show the fields of this method or selector.", show_default=False
        ),
    ] = None,
) -> None:
    """List methods and selectors, or the fields of one.

    Examples:

      condense methods
      condense methods dm
      condense methods herding
    """
    if name is not None:
        _one_method(output, name)
        return
    tables = {"method": declared.methods(), "selection": declared.selectors()}
    for title, known in tables.items():
        table = plain_table(title, "what it is")
        for one in known.values():
            table.add_row(one.name, one.summary)
        output.show(table)
        output.say()
    output.say("Methods make images, with condense run; a selection holds real ones, by condense select.")
    output.say("Fields and defaults of one: condense methods NAME")
    output.result(
        [
            {"name": one.name, "kind": kind, "summary": one.summary}
            for kind, known in tables.items()
            for one in known.values()
        ]
    )


def _one_method(output: Output, name: str) -> None:
    from condensery.coresets import SELECTORS
    from condensery.methods import METHODS

    method = configure("method", {**METHODS, **SELECTORS}, name, {})
    output.say(f"{name}: {method.summary}")
    output.say(" ".join((type(method).__doc__ or "").split()))
    facts: dict[str, object] = {"name": name, "summary": method.summary}
    if name in METHODS:
        facts["published_steps"] = steps = {ipc: METHODS[name]().steps(ipc) for ipc in _PUBLISHED_IPC}
        told = ", ".join(f"{count:,} at {ipc} per class" for ipc, count in steps.items())
        output.say(f"Published steps: {told}; --steps takes another number.")
    else:
        output.say("Selects real images: condense select.")
    output.say()
    found = declared.algorithms("methods" if name in METHODS else "coresets")[name].fields
    table = plain_table("flag", "default", "what it does")
    for field in found:
        table.add_row(field.flag, str(field.default), field.doc)
    if found:
        output.show(table)
    fields = [
        {"name": f.name, "flag": f.flag, "type": f.kind.__name__, "default": f.default, "doc": f.doc}
        for f in found
    ]
    output.result({**facts, "fields": fields})


def networks(output: Output) -> None:
    """List the architectures and their options.

    Options follow the name as +option=value. A network of your own is
    package.module:factory, which is called with channels, image_size (height,
    width) and num_classes as keywords.

    Examples:

      condense run --data digits --network convnet+depth=2+width=64
      condense evaluate runs/mnist --networks convnet,my.module:Net
    """
    from condensery.models.registry import list_networks

    table = plain_table("network", "what it is", "options: default (choices)")
    infos = list_networks()
    for info in infos:
        table.add_row(info.name, info.description, [f"{k}: {v}" for k, v in info.options.items()])
    output.show(table)
    output.say("With options: convnet+depth=4+norm=batch. Your own: package.module:factory")
    output.result([info._asdict() for info in infos])


def datasets(output: Output) -> None:
    """List the image sets known by name, and how to give your own.

    Examples:

      condense run --data digits
      CONDENSERY_DATA=~/data condense run --data cifar10
      condense run --data photos/ --size 32
    """
    from condensery.data import KNOWN_SETS
    from condensery.data.places import found_under, local_folder

    table = plain_table("name\nHub id", ">training\nimages", ">shape\nclasses", "mean\nstd", "here")
    for known in KNOWN_SETS.values():
        here = "yes" if not known.hub_id or local_folder(known) else "no"
        table.add_row(
            (known.name, known.hub_id or "(bundled)"),
            f"{known.train_count:,}",
            (f"{known.channels}x{known.height}x{known.width}", str(known.num_classes)),
            [" ".join(f"{x:.3f}" for x in values) for values in (known.mean, known.std)],
            here,
        )
    output.show(table)
    for line in _OWN_IMAGES.splitlines():
        output.say(line)
    folder = os.environ.get("CONDENSERY_DATA")
    for name, kind, place in found_under(folder) if folder else ():
        output.say(f"Found under CONDENSERY_DATA: {place.name} ({kind}), --data {name}")
    output.result([_known_json(known, local_folder(known)) for known in KNOWN_SETS.values()])


def _known_json(known: KnownSet, folder: Path | None) -> dict[str, object]:
    return {
        "name": known.name,
        "channels": known.channels,
        "height": known.height,
        "width": known.width,
        "classes": known.num_classes,
        "training_images": known.train_count,
        "mean": known.mean,
        "std": known.std,
        "hub_id": known.hub_id or None,
        "folder": str(folder) if folder else None,
    }
