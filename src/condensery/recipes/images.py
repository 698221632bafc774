"""Where the images of a recipe are; which are missing, and how to give them."""

from __future__ import annotations

import os
from pathlib import Path

from condensery.data import KNOWN_SETS
from condensery.data.sources import at_hand
from condensery.errors import BadInput

_FINE_GRAINED = "imagenet32-"


def find_images(name: str, given: str | None) -> str:
    """What `condensery.load_images` reads for the set called `name`.

    Args:
        name: of a known set, or of one of the fine-grained subsets of ImageNet in the DCC paper.
        given: what the user gave: any source, or a folder that holds sets by name; None for what is at hand.

    Raises:
        BadInput: it is not at hand; names it, where it comes from and how to give it.
    """
    if given is not None:
        folder = Path(given).expanduser()
        if (folder / name).is_dir():
            return str(folder / name)
        others = sorted(known for known in KNOWN_SETS if (folder / known).is_dir())
        if others:
            raise BadInput(
                f"{given} holds {', '.join(others)} but no folder {name}: put the images there ({where_from(name)}), "
                "or give their own folder with --data"
            )
        return given
    here = Path(os.environ.get("CONDENSERY_DATA") or "/nowhere").expanduser() / name
    if name in KNOWN_SETS and at_hand(name):
        return name
    if name not in KNOWN_SETS and here.is_dir():
        return str(here)
    raise BadInput(
        f"the images of {name} are not here ({where_from(name)}): set CONDENSERY_DATA to a folder that holds {name}/, "
        f"or give --data {_example(name)}"
    )


def is_here(name: str) -> bool:
    """Whether the set called `name` is at hand."""
    try:
        find_images(name, None)
    except BadInput:
        return False
    return True


def where_from(name: str) -> str:
    """Where a set can be had."""
    if name in KNOWN_SETS:
        return f"{KNOWN_SETS[name].hub_id} on the Hugging Face Hub" if KNOWN_SETS[name].hub_id else "bundled"
    subset = name.removeprefix(_FINE_GRAINED)
    return f"the classes of {subset!r} in Table 6 of the DCC paper, from ImageNet at 32x32 on image-net.org"


def _example(name: str) -> str:
    return f"PATH, or --data {name} to fetch it from the Hub" if name in KNOWN_SETS else "PATH"
