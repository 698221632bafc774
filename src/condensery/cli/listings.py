"""`condense methods`, `condense networks` and `condense datasets`: what there is."""

from __future__ import annotations

import os
import re
import sys
from typing import Annotated, Any

from condensery.cli import declared
from condensery.cli.flags import Flag
from condensery.cli.output import Output, table
from condensery.plugins import configure

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


class Methods(Output):
    """List methods and selections, or the options of one.

    Methods make images, with condense run. Selections take real ones, with
    condense select. Of one, also its source and what differs from it are shown.

    Examples:

      condense methods
      condense methods dm
      condense methods herding
    """

    name: Annotated[str | None, Flag("NAME", positional=True)] = None
    """A method or selection, whose options, source and differences are then shown."""

    def work(self) -> None:
        if self.name is not None:
            return self._one(self.name)
        kinds = {"method": declared.methods(), "selection": declared.selectors()}
        for kind, known in kinds.items():
            self.show(table({kind: one.name, "what it is": one.summary} for one in known.values()))
            self.say()
        self.say("Methods make images, with condense run; a selection holds real ones, by condense select.")
        self.say("Fields of one, and what differs from its paper: condense methods NAME")
        listed = [(kind, one) for kind, known in kinds.items() for one in known.values()]
        self.result([{"name": one.name, "kind": kind, "summary": one.summary} for kind, one in listed])

    def _one(self, name: str) -> None:
        from condensery.coresets import SELECTORS
        from condensery.methods import METHODS

        method = configure("method", {**METHODS, **SELECTORS}, name, {})
        self.say(f"{name}: {method.summary}")
        self.say(" ".join((type(method).__doc__ or "").split()))
        facts: dict[str, Any] = {"name": name, "summary": method.summary}
        if name in METHODS:
            facts["published_steps"] = steps = {ipc: METHODS[name]().steps(ipc) for ipc in _PUBLISHED_IPC}
            told = ", ".join(f"{count:,} at {ipc} per class" for ipc, count in steps.items())
            self.say(f"Published steps: {told}; --steps takes another number.")
        else:
            self.say("Selects real images: condense select.")
        self.say()
        fields = declared.algorithms("methods" if name in METHODS else "coresets")[name].fields
        if fields:
            self.show(
                table({"flag": f.flag, "default": str(f.default), "what it does": f.doc} for f in fields)
            )
        source, differences = _origin(sys.modules[type(method).__module__].__doc__ or "")
        self._show_origin(source, differences)
        facts |= {"source": source, "differences": differences}
        self.result(
            {**facts, "fields": [{**vars(f), "flag": f.flag, "type": f.kind.__name__} for f in fields]}
        )

    def _show_origin(self, source: list[str], differences: list[str]) -> None:
        if source:
            self.say()
            self.show(table({"where it comes from": paragraph} for paragraph in source))
        if differences:
            rows = enumerate(differences, 1)
            self.say()
            self.show(table({">": str(i), "what differs from the publication": told} for i, told in rows))


def _origin(docstring: str) -> tuple[list[str], list[str]]:
    """Of a module's docstring: the paragraphs below its title, and the numbered differences that end it."""
    told, _, counted = docstring.partition("\nDifferences from the paper")
    paragraphs = [" ".join(part.split()) for part in told.split("\n\n")[1:]]
    found = re.split(r"^\d+\. ", counted, flags=re.MULTILINE)[1:]
    return [part for part in paragraphs if part], [" ".join(one.split()) for one in found]


class Networks(Output):
    """List the architectures and their options.

    Options follow the name as +option=value. A network of your own is
    package.module:factory, which is called with channels, image_size (height,
    width) and num_classes as keywords.

    Examples:

      condense run --data digits --network convnet+depth=2+width=64
      condense evaluate runs/mnist --networks convnet,my.module:Net
    """

    def work(self) -> None:
        from condensery.models.registry import list_networks

        infos, options = list_networks(), "options: default (choices)"
        self.show(
            table(
                {
                    "network": info.name,
                    "what it is": info.description,
                    options: [f"{name}: {told}" for name, told in info.options.items()],
                }
                for info in infos
            )
        )
        self.say("With options: convnet+depth=4+norm=batch. Your own: package.module:factory")
        self.result([info._asdict() for info in infos])


class Datasets(Output):
    """List the image sets known by name, and how to give your own.

    Known sets are read from the folder that CONDENSERY_DATA names, or fetched
    from the Hugging Face Hub once.

    Examples:

      condense run --data digits
      CONDENSERY_DATA=~/data condense run --data cifar10
      condense run --data photos/ --size 32
    """

    def work(self) -> None:
        from condensery.data import KNOWN_SETS
        from condensery.data.places import found_under, local_folder

        known = KNOWN_SETS.values()
        self.show(
            table(
                {
                    "name\nHub id": (one.name, one.hub_id or "(bundled)"),
                    ">training\nimages": f"{one.train_count:,}",
                    ">shape\nclasses": (f"{one.channels}x{one.height}x{one.width}", str(one.num_classes)),
                    "mean\nstd": [" ".join(f"{x:.3f}" for x in values) for values in (one.mean, one.std)],
                    "here": "yes" if not one.hub_id or local_folder(one) else "no",
                }
                for one in known
            )
        )
        for line in _OWN_IMAGES.splitlines():
            self.say(line)
        root = os.environ.get("CONDENSERY_DATA")
        for name, kind, place in found_under(root) if root else ():
            self.say(f"Found under CONDENSERY_DATA: {place.name} ({kind}), --data {name}")
        listed = []
        for one in known:
            counts = {"classes": one.num_classes, "training_images": one.train_count}
            facts = {
                name: getattr(one, name) for name in ("name", "channels", "height", "width", "mean", "std")
            }
            folder = local_folder(one)
            listed.append(
                {**facts, **counts, "hub_id": one.hub_id or None, "folder": str(folder) if folder else None}
            )
        self.result(listed)
