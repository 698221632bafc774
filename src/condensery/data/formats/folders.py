"""Image sets as folders: one sub-folder per class, with or without parts, or flat parts with a list of labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from condensery.data.files import File, Tree, summary
from condensery.data.formats.layout import Layout, Node, nodes
from condensery.data.formats.lists import SUFFIXES as LISTS
from condensery.data.formats.lists import Labelled, find_list
from condensery.data.listing import Item, Part, Reading
from condensery.data.options import Options
from condensery.data.parts import TRAIN, role
from condensery.errors import BadFile, BadInput, one_line

NOT_READ = {
    ".heic", ".heif", ".jxl", ".raw", ".cr2", ".nef", ".dng", ".arw", ".svg", ".mp4", ".avi", ".mov", ".npy", ".mat",
}  # fmt: skip
"""Endings of pictures that are not read: a class folder that holds nothing else is not left out."""
FEW_FILES = 20
"""Files of a folder without images, up to which each may be a list of labels."""


def read_folder(tree: Tree, options: Options) -> Reading:
    """A folder of images, `tree` being all that lies in it. BadInput for anything that does not fit."""
    options.require_no_columns(tree.root, label=True)
    root = nodes(tree)
    if not root.is_filled:
        raise BadInput(
            f"{tree.root} holds no class folders; expected one sub-folder with images for each class"
            f"{_endings(tree.files)}"
        )
    lists = _Lists(tree, options)
    layout = Layout(tree.root, options, lambda node: lists.of(node) is not None)
    found = layout.parts(root)
    found.sort(key=lambda named: (named[0] not in layout.asked_train, role(named[0]) != TRAIN))
    reader = _Reader(tree, lists)
    parts = [reader.part(name, node) for name, node in found]
    if options.label_column is not None and not reader.used_lists:
        options.require_no_columns(tree.root)
    taken = {file.name for _, node in found for file in node.files() if file.is_image}
    taken |= {file.name for file in reader.used_lists}
    beside = [node for node in layout.aside if node.is_filled]
    taken |= {file.name for node in beside for file in node.files()}
    rest = [file for file in tree.files if file.name not in taken]
    unused = [f"{node.prefix} ({sum(1 for _ in node.images()):,} images)" for node in beside]
    unused += [said] if (said := summary(rest)) else []
    unused += [
        f"the link {name.rstrip('/')}, which leads back to a folder it lies in" for name in tree.circles
    ]
    return Reading(
        "images with a list of labels" if reader.used_lists and not reader.has_folders else "class folders",
        tuple(parts),
        tuple(reader.used),
        notes=(*layout.notes, *reader.notes),
        unused=tuple(unused),
    )


@dataclass
class _Reader:
    """Turns folders into parts; the first one says which classes there are."""

    tree: Tree
    lists: _Lists
    classes: tuple[str, ...] = ()
    has_folders: bool = False
    used: list[File] = field(default_factory=list)
    used_lists: list[File] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def part(self, name: str, node: Node) -> Part:
        listed = self.lists.of(node, frozenset(self.classes))
        if listed is not None:
            return self._listed(name, node, listed)
        is_first = not self.classes
        alone = next(iter(node.filled), "") if node.is_flat else ""
        if not is_first and (node.has_images or (node.is_flat and alone not in self.classes)):
            images = list(node.images())
            return Part(name, None, len(images), partial(_items, images))
        if node.has_images:
            image = next(file for file in node.entries.values() if isinstance(file, File) and file.is_image)
            raise BadInput(
                f"the image {image.path} lies outside a class folder; expected {self.tree.root / node.prefix}/<class>/"
                f"{image.base}, or a CSV or text file that names each image and its class"
            )
        return self._class_folders(name, node, is_first)

    def _listed(self, name: str, node: Node, listed: Labelled) -> Part:
        images = list(node.images())
        self.used += images
        self.used_lists.append(listed.file)
        self.notes.append(f"classes of {name or 'the images'} stand in {listed.file.name}")
        labels = np.array(listed.labels, dtype=np.str_)
        self.classes = self.classes or tuple(np.unique(labels).tolist())
        return Part(name, labels, len(images), partial(_items, images))

    def _class_folders(self, name: str, node: Node, is_first: bool) -> Part:
        members = {}
        for title, below in node.below.items():
            members[title] = list(below.images())
            files = [file for file in below.files() if not file.name.endswith("/")]
            unread = any(file.suffix in NOT_READ for file in files)
            if not members[title] and is_first and (unread or not files):
                raise BadInput(
                    f"the class folder {title!r} of {self.tree.root} holds no image{_endings(files)}; fill or remove it"
                )
        order = self._order({title for title, images in members.items() if images})
        images = [file for title in order for file in members[title]]
        labels = np.repeat(np.arange(len(order)), [len(members[title]) for title in order]).astype(np.int64)
        self.classes = self.classes or order
        self.has_folders = True
        self.used += images
        return Part(name, labels, len(images), partial(_items, images), order)

    def _order(self, names: set[str]) -> tuple[str, ...]:
        """Names of classes as TinyImageNet's wnids.txt orders them, otherwise sorted."""
        for file in self.tree.files:
            if file.base == "wnids.txt" and file.size < 1 << 20:
                try:
                    listed = tuple(dict.fromkeys(file.path.read_text("utf-8", "replace").split()))
                except OSError as error:
                    raise BadFile(f"cannot read {file.path}: {one_line(error)}") from error
                if set(listed) == names and file not in self.used_lists:
                    self.used_lists.append(file)
                    self.notes.append(f"the order of the classes is that of {file.name}")
                if set(listed) == names:
                    return listed
        return tuple(sorted(names))


class _Lists:
    """Finds the list that names the images of a folder without class folders."""

    def __init__(self, tree: Tree, options: Options) -> None:
        self.column = options.label_column
        files = Counter(file.folder for file in tree.files)
        pictured = {file.folder for file in tree.files if file.is_image}
        self.files = [file for file in tree.files if file.suffix in LISTS]
        self.apart = {
            folder for folder, count in files.items() if folder not in pictured and count <= FEW_FILES
        }

    def of(self, node: Node, classes: frozenset[str] = frozenset()) -> Labelled | None:
        """The labels of the images in `node`; None if there are class folders, or no list names the images."""
        if not node.is_flat:
            return None
        images = list(node.images())
        where = images[0].folder
        near = [file for file in self.files if where.startswith(file.folder) or file.folder in self.apart]
        return find_list(images, near, self.column, classes)


def _items(images: Iterable[File]) -> Iterator[Item]:
    return (Item(str(file.path), file.path) for file in images)


def _endings(files: Sequence[File]) -> str:
    """ " (12 .heic)": what there is instead of images."""
    said = summary(file for file in files if file.name)
    return f", but {said}" if said else ""
