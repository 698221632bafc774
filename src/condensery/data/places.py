"""Where a source lies and what kind it is: known names, files and folders here, the Hugging Face Hub."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from condensery.data.files import Tree, identity, single, walk
from condensery.data.formats import candidates, read_candidate, read_tree
from condensery.data.formats.arrays import read_npz
from condensery.data.formats.digits import digits_origin
from condensery.data.formats.tables import SUFFIXES, read_tables, tables_in
from condensery.data.hub import hub_origin
from condensery.data.listing import Origin
from condensery.data.options import Options
from condensery.data.specs import KNOWN_SETS, KnownSet
from condensery.errors import BadInput

ACCEPTED = (
    f"a source is a known name ({', '.join(KNOWN_SETS)}), a folder with one sub-folder per class, "
    "a folder of Parquet files, a .parquet or .npz file, or a Hugging Face Hub id"
)
_MADE = "a set that condensery made, not images to make one of: evaluate, label or show it, or start from it (--init)"

ENOUGH = 5000
"""Files by which it is seen what kind of set a folder holds; all of them are looked at when it is read."""


def path_of(source: str | Path) -> Path | None:
    """The file or folder that a source names; None for a known name or a Hub id.

    A folder here goes before a known set of its name if it holds anything that can be read.
    """
    path = Path(source).expanduser().absolute()
    if source not in KNOWN_SETS:
        try:
            return path if path.exists() else None
        except (OSError, ValueError):  # no file can be called so, such as by more than 255 bytes
            return None
    if not path.is_dir():
        return None
    tree = walk(path, ENOUGH)
    return path if any(f.is_image for f in tree.files) or tables_in(tree) or candidates(tree) else None


def local_folder(known: KnownSet) -> Path | None:
    """Where a known set lies below the folder that `CONDENSERY_DATA` names, if it does."""
    root = os.environ.get("CONDENSERY_DATA")
    places = (
        [Path(root).expanduser().absolute() / name for name in (known.name, *known.folders)] if root else []
    )
    return next((place for place in places if place.is_dir()), None)


def found_under(folder: str | Path) -> list[tuple[str, str, Path]]:
    """Sets that lie in a folder of sets, such as the one that `CONDENSERY_DATA` names.

    Returns:
        (name for `--data`, what lies there, its folder), sorted; the name is that of a known set where one lies under
        a name of its own, otherwise the path. Nothing is read; folders that cannot be are left out.
    """
    root = Path(folder).expanduser().absolute()
    names = {name: known.name for known in KNOWN_SETS.values() for name in (known.name, *known.folders)}
    found = []
    for place in sorted(root.iterdir()) if root.is_dir() else ():
        if place.name.startswith(".") or not place.is_dir():
            continue
        try:
            tree = walk(place, ENOUGH)
        except BadInput:
            continue
        kinds = [candidate.kind for candidate in candidates(tree)]
        kinds = kinds or (["table"] if tables_in(tree) else [])
        kinds = kinds or (["images"] if any(file.is_image for file in tree.files) else [])
        found += [(names.get(place.name, str(place)), kind, place) for kind in kinds]
    return found


def find(
    source: str | Path, options: Options, announce: Callable[[str], None]
) -> tuple[KnownSet | None, Origin]:
    """Decide what kind of source this is. BadInput if there is no such thing."""
    text = str(source)
    if not text.strip() or "\0" in text:
        raise BadInput(f"the source {text!r} is empty; {ACCEPTED}")
    known = KNOWN_SETS.get(source) if isinstance(source, str) else None
    path = path_of(source)
    if known is not None and path is not None:
        if path != local_folder(known):
            announce(f"{text} is the folder {path}, not the known set of that name")
            known = None
        return known, _local(path, options)
    if known is not None:
        return known, _known_origin(known, options, announce)
    if path is not None:
        return None, _local(path, options)
    hub = re.fullmatch(r"([\w-][\w.-]*(?:/[\w-][\w.-]*)?)(?::([\w.-]+))?", text, re.ASCII)
    if (
        isinstance(source, Path)
        or hub is None
        or Path(text).suffix.lower() in (".npz", ".npy", ".parquet", ".zip")
    ):
        raise BadInput(f"there is no file or folder {text!r}; {ACCEPTED}")
    return None, hub_origin(hub[1], hub[2], options, None, announce)


def _known_origin(known: KnownSet, options: Options, announce: Callable[[str], None]) -> Origin:
    if not known.hub_id:
        options.require_no_columns(known.name)
        options.require_no_splits(known.name)
        if options.value_range is not None:
            raise BadInput(f"the values of {known.name} are known, so leave --value-range out")
        return digits_origin()
    local = local_folder(known)
    if local is not None:
        return _local(local, options)
    return hub_origin(known.hub_id, known.config, options, known.label_column, announce)


def _local(path: Path, options: Options) -> Origin:
    """An existing file or folder."""
    if path.is_dir():
        if (path / "set.safetensors").exists():
            raise BadInput(f"{path} holds {_MADE}")
        tree = walk(path)
        return Origin((str(path), identity(tree.files)), lambda: read_tree(tree, options))
    file = single(path)
    tree = walk(path.parent) if path.suffix.lower() not in (".npz", *SUFFIXES) else Tree(path.parent, (file,))
    mine = [found for found in candidates(tree) if any(one.path == path for one in found.files)]
    if mine:
        return Origin(
            (str(path), identity(tree.files)),
            lambda: read_candidate(mine[0], Tree(tree.root, mine[0].files), options),
        )
    if path.suffix.lower() == ".npz":
        options.require_no_columns(path)
        return Origin((str(path), identity([file])), lambda: read_npz(file, options))
    if path.suffix.lower() in SUFFIXES:
        return Origin((str(path), identity([file])), lambda: read_tables(path, [file], options))
    if path.suffix.lower() == ".safetensors":
        raise BadInput(f"{path} holds {_MADE}, or tensors of another program, for condense import")
    if path.suffix.lower() in (".pt", ".pth"):
        raise BadInput(
            f"{path} holds tensors, not images with labels to condense: if another program saved a set in it, "
            f"condense import {path} --data X takes it, with the images X that it stands for"
        )
    raise BadInput(f"cannot read {path}: unknown kind of file {path.suffix or '(no ending)'!r}; {ACCEPTED}")
