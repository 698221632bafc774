"""Which folders of a tree are parts of a set, which are classes, and which lie beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from condensery.data.files import File, Tree
from condensery.data.options import Options
from condensery.data.parts import TEST, TRAIN, VALIDATION, WHOLE, plain_role, role, split_names
from condensery.errors import BadInput

ASIDE = {
    "example", "examples", "sample", "samples", "doc", "docs", "figure", "figures", "fig", "figs", "assets",
    "screenshots", "demo", "demos", "media", "logo", "logos", "results", "output", "outputs", "readme_images",
}  # fmt: skip
"""Folders of pictures about a set, in lower case."""


@dataclass(eq=False)
class Node:
    """A folder.

    Attributes:
        prefix: its path below the source, "" or "a/b/".
        entries: files and folders in it, by name, in order.
    """

    prefix: str
    entries: dict[str, File | Node] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.prefix.rstrip("/").rpartition("/")[2]

    @cached_property
    def below(self) -> dict[str, Node]:
        """Folders in it."""
        return {name: entry for name, entry in self.entries.items() if isinstance(entry, Node)}

    @cached_property
    def filled(self) -> dict[str, Node]:
        """Folders in it that hold images, at any depth."""
        return {name: node for name, node in self.below.items() if node.is_filled}

    @cached_property
    def has_images(self) -> bool:
        """Whether images lie directly in it."""
        return any(isinstance(entry, File) and entry.is_image for entry in self.entries.values())

    @cached_property
    def is_filled(self) -> bool:
        return self.has_images or bool(self.filled)

    @cached_property
    def is_flat(self) -> bool:
        """Whether all images lie in one folder: this one, or the only one in it that has any."""
        inner = list(self.filled.values())
        return not inner if self.has_images else len(inner) == 1 and inner[0].is_flat

    @property
    def is_group(self) -> bool:
        """Whether it holds several folders with images, and no image beside them."""
        inner = self.unwrapped
        return not inner.has_images and len(inner.filled) >= 2

    @property
    def unwrapped(self) -> Node:
        """Itself, or what it wraps: a folder that holds nothing else and is not flat, as zip programs make them."""
        inner = list(self.filled.values())
        if not self.has_images and len(inner) == 1 and not inner[0].has_images and not inner[0].is_flat:
            return inner[0].unwrapped
        return self

    def files(self) -> Iterator[File]:
        """All files in it, in order."""
        for entry in self.entries.values():
            if isinstance(entry, Node):
                yield from entry.files()
            else:
                yield entry

    def images(self) -> Iterator[File]:
        """All images in it, in order."""
        return (file for file in self.files() if file.is_image)


def nodes(tree: Tree) -> Node:
    """The folders of a tree."""
    root = Node("")
    for file in tree.files:
        node = root
        *folders, base = file.name.split("/")
        for name in folders:
            inner = node.entries.setdefault(name, Node(f"{node.prefix}{name}/"))
            assert isinstance(inner, Node)
            node = inner
        if base:
            node.entries[base] = file
    return root


Named = tuple[str, Node]


class Layout:
    """The parts of a tree of folders.

    Attributes:
        notes: what was chosen.
        aside: folders with images that are no part.
        asked_train: the names of `--train-split`.
    """

    def __init__(self, root: Path, options: Options, has_list: Callable[[Node], bool]) -> None:
        """`has_list` says whether a list of labels names the images of a folder."""
        self.root, self.has_list = root, has_list
        self.asked_train, self.asked_test = split_names(options.train_split), split_names(options.test_split)
        self.notes: list[str] = []
        self.aside: list[Node] = []

    def parts(self, root: Node) -> list[Named]:
        """Names and folders of all parts; "" for a set without parts.

        Raises:
            BadInput: folders may be classes or parts; or there is no training part.
        """
        node = root.unwrapped
        asked = (*self.asked_train, *self.asked_test)
        if asked:
            return self._asked(root, node, asked)
        if node is not root and role(node.name) in (TEST, VALIDATION):
            raise BadInput(
                f"{self.root} has no training part, only {node.prefix}; "
                f"--train-split {node.prefix.rstrip('/')} takes it"
            )
        if node is not root and role(node.name) != TRAIN:
            self.notes.append(f"the set lies in {node.prefix}")
        kids = list(node.filled.values())
        if node is not root and role(node.name) == TRAIN and not all(role(kid.name) for kid in kids):
            return [(node.name, node)]  # a class may be called test, as others are called something else
        if node.is_flat and not node.has_images and role(kids[0].name) and not kids[0].has_images:
            return [(kids[0].name, kids[0])]
        if node.has_images or node.is_flat:
            return [("", node)]
        train = [kid for kid in kids if role(kid.name) == TRAIN and (kid.filled or self.has_list(kid))]
        if train:
            return self._beside(node, train)
        if all(role(kid.name) for kid in kids):
            there = ", ".join(f"{kid.name}/" for kid in kids)
            if any(role(kid.name) == TRAIN for kid in kids):
                raise BadInput(
                    f"{self._path(node)} has the parts {there} but the training images have no labels: expected a "
                    "sub-folder for each class, or a CSV or text file that names each image and its class"
                )
            raise BadInput(
                f"{self._path(node)} has no training part, only {there}; name one with --train-split"
            )
        return self._unnamed(node, kids)

    def _beside(self, node: Node, train: Sequence[Node]) -> list[Named]:
        """Folders called training, test, validation. BadInput if folders beside them may be classes."""
        kids = node.filled.values()
        others = [kid for kid in kids if role(kid.name) is None]
        doubtful = [kid for kid in others if kid.name.lower() not in ASIDE]
        classes = {name for kid in train for name in kid.unwrapped.filled}
        tests = [kid.unwrapped for kid in kids if role(kid.name) in (TEST, VALIDATION)]
        if doubtful and not any(classes & set(kid.filled) or self.has_list(kid) for kid in tests):
            raise BadInput(
                f"{self._path(train[0])} lies beside {_some([kid.name for kid in doubtful])}, so it is a part of the "
                f"set or a class of it; --train-split {train[0].name} takes it alone, --train-split {WHOLE} takes all "
                "folders as classes"
            )
        self.aside += others
        return [(kid.name, kid.unwrapped) for kid in kids if role(kid.name)]

    def _unnamed(self, node: Node, kids: Sequence[Node]) -> list[Named]:
        """No folder is called training: all are classes, or all but one lie beside the set."""
        tests = self._tests_among_classes(kids)
        if tests:
            kept = {name: entry for name, entry in node.entries.items() if entry not in tests}
            return [(WHOLE, Node(node.prefix, kept)), *((kid.name, kid.unwrapped) for kid in tests)]
        groups = [kid for kid in kids if kid.is_group]
        leaves = [kid for kid in kids if not kid.is_group]
        if not groups:
            return [("", node)]
        if len(groups) == 1 and all(kid.name.lower() in ASIDE for kid in leaves):
            self.aside += leaves
            self.notes.append(f"the set lies in {groups[0].prefix}")
            return self.parts(groups[0])
        if not leaves and (inside := _inside(groups)):
            self.notes.append("each class folder holds its own parts")
            return inside
        raise self._unclear(node, groups, leaves)

    def _tests_among_classes(self, kids: Sequence[Node]) -> list[Node]:
        """Folders beside class folders that are called test or validation and nothing else.

        They are flat, with a list of labels or without labels, or hold folders of the same names as the classes.
        """
        tests = [kid for kid in kids if plain_role(kid.name) in (TEST, VALIDATION)]
        classes = {kid.name for kid in kids if kid not in tests}
        inner = [kid.unwrapped for kid in tests]
        fit = all(kid.is_flat or classes.issuperset(kid.filled) for kid in inner)
        return (
            tests
            if fit and len(classes) >= 2 and not any(kid.is_group for kid in kids if kid not in tests)
            else []
        )

    def _unclear(self, node: Node, groups: Sequence[Node], leaves: Sequence[Node]) -> BadInput:
        names = [kid.name for kid in (*groups, *leaves)]
        inner = [set(kid.unwrapped.filled) for kid in groups]
        shared, together = set.intersection(*inner), set.union(*inner)
        whole = f"--train-split {WHOLE} takes {_some(names)} as classes"
        if len(groups) > 1 and not leaves and 2 * len(shared) >= len(together):
            return BadInput(
                f"{self._path(node)}: {_some(names)} hold the same sub-folders ({_some(sorted(shared))}), so they are "
                f"parts or folds; name them, such as --train-split {names[0]} --test-split {names[1]}; {whole}"
            )
        hold = "holds" if len(groups) == 1 else "hold"
        inside = _some(sorted(together))
        return BadInput(
            f"{self._path(node)}: {_some([kid.name for kid in groups])} {hold} sub-folders ({inside}), "
            f"so the classes are these or those above; give --data {self._path(groups[0])}, or {whole}"
        )

    def _asked(self, root: Node, node: Node, asked: Sequence[str]) -> list[Named]:
        """The parts that options name, and folders beside them that are called parts."""
        found: list[Named] = []
        for name in asked:
            if name == WHOLE:
                kept = {n: entry for n, entry in node.entries.items() if n not in asked}
                found.append((WHOLE, Node(node.prefix, kept)))
                continue
            alike = [[inner] if (inner := _at(start, name)) else [] for start in (node, root)] + [
                [kid for kid in node.filled.values() if kid.name.lower() == name.lower()],
                [kid for kid in node.filled.values() if role(kid.name) == role(name) is not None],
            ]
            chosen = next((kids for kids in alike if kids), [])
            if len(chosen) != 1:
                there = ", ".join([WHOLE, *node.filled])
                raise BadInput(
                    f"{self.root} has {'more than one' if chosen else 'no'} part {name!r} with images; it has: {there}"
                )
            found.append((name, chosen[0].unwrapped))
        taken = [inner.prefix for _, inner in found]
        for kid in node.filled.values():
            if not any(prefix.startswith(kid.prefix) or prefix == node.prefix for prefix in taken):
                if role(kid.name):
                    found.append((kid.name, kid.unwrapped))
                else:
                    self.aside.append(kid)
        return found

    def _path(self, node: Node) -> Path:
        return self.root / node.prefix


def _inside(groups: Sequence[Node]) -> list[Named]:
    """cat/train, cat/test, dog/train, ...: parts of these names, each with all classes; none if not named so."""
    names = dict.fromkeys(name for kid in groups for name in kid.filled)
    if not all(role(name) for name in names) or not all(
        any(role(n) == TRAIN for n in kid.filled) for kid in groups
    ):
        return []
    return [
        (name, Node(f"*/{name}/", {kid.name: kid.filled[name] for kid in groups if name in kid.filled}))
        for name in names
    ]


def _at(node: Node, path: str) -> Node | None:
    """The folder of this path below `node` if there are images in it."""
    for name in path.split("/"):
        if name not in node.filled:
            return None
        node = node.filled[name]
    return node


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
