"""Sets as they lie on disk: one small reader for each format, found by what lies there.

A reader has `find(tree)`, which knows a set by the names of its files and reads none of them.
"""

from __future__ import annotations

from dataclasses import replace

from condensery.data.files import Tree, summary
from condensery.data.formats import cifar_binary, cifar_python, idx, libsvm, numbered_npz, svhn
from condensery.data.formats.candidate import Candidate
from condensery.data.formats.folders import read_folder
from condensery.data.formats.tables import read_tables, tables_in
from condensery.data.listing import Reading
from condensery.data.options import Options
from condensery.errors import BadInput

FORMATS = (idx, cifar_python, cifar_binary, svhn, libsvm, numbered_npz)
PACKED = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")


def candidates(tree: Tree) -> list[Candidate]:
    """All sets of a known format below a folder."""
    return [candidate for kind in FORMATS for candidate in kind.find(tree)]


def read_tree(tree: Tree, options: Options) -> Reading:
    """The one set below a folder.

    Raises:
        BadInput: there is none, or several; names them.
    """
    found = candidates(tree)
    tables = tables_in(tree)
    if not found:
        if tables:
            return read_tables(tree.root, tables, options, tree.files)
        if not any(file.is_image for file in tree.files):
            _require_unpacked(tree)
        return read_folder(tree, options)
    mine = {file.name for candidate in found for file in candidate.files}
    rest = [file for file in tree.files if file.name not in mine]
    titles = [candidate.title for candidate in found]
    pictured = {file.folder for file in rest if file.is_image}
    titles += [f"{folder.split('/')[0] or '.'} (images)" for folder in sorted(pictured) if len(pictured) > 1][
        :1
    ]
    titles += [f"{file.name} (table)" for file in tables if file in rest][:1]
    if len(titles) > 1:
        raise BadInput(f"{tree.root} holds several sets: {', '.join(titles)}; name one of these with --data")
    return read_candidate(found[0], tree, options)


def read_candidate(candidate: Candidate, tree: Tree, options: Options) -> Reading:
    """A set of a known format, and what lies beside it."""
    options.require_no_columns(tree.root, label="CIFAR-100" in candidate.kind)
    reading = candidate.read(options)
    mine = {file.name for file in candidate.files}
    rest = summary(file for file in tree.files if file.name not in mine)
    where = f" in {candidate.folder}" if candidate.folder else ""
    return replace(
        reading, kind=f"{candidate.kind}{where}", unused=(*reading.unused, *((rest,) if rest else ()))
    )


def _require_unpacked(tree: Tree) -> None:
    packed = [file for file in tree.files if file.suffix in PACKED]
    if packed:
        raise BadInput(f"{tree.root} holds no images, but {summary(packed)}; unpack it first")
