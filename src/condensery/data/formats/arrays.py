"""Image sets as arrays in one .npz file."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import partial

import numpy as np

from condensery.data.files import File
from condensery.data.formats.npz import Member, members
from condensery.data.listing import Item, Part, Reading
from condensery.data.options import Options
from condensery.data.parts import TRAIN, role
from condensery.data.values import Extent, Range, choose_range, scaled
from condensery.errors import BadInput

IMAGES = ("images", "x", "data", "image", "imgs")
LABELS = ("labels", "y", "targets", "label", "target")


def read_npz(file: File, options: Options) -> Reading:
    """A .npz file with images and labels, in one part or several ("x_train", "val_images", ...)."""
    path = file.path
    options.require_no_columns(path)
    arrays = {name.lower(): member for name, member in members(path).items()}
    pairs = _pairs(arrays)
    if not pairs:
        raise BadInput(
            f"{path} holds no images with labels; expected the keys images and labels, or x_train and "
            f"y_train (also x_test, y_test), found: {', '.join(arrays) or 'nothing'}"
        )
    used = {key for pair in pairs.values() for key in pair} | {"class_names"}
    labels, notes = {}, []
    for part, (x, y) in pairs.items():
        labels[part], note = _labels(arrays[y], part, path)
        notes += [note] if note else []
        if arrays[x].shape[:1] != labels[part].shape:
            raise BadInput(
                f"{path} has {(arrays[x].shape or (0,))[0]} {part} images but {len(labels[part])} labels"
            )
    views = {part: _Images(arrays[x], part, options) for part, (x, _) in pairs.items()}
    ranges = _ranges(views, options, path)
    notes += [note for view in views.values() if (note := view.note)]
    names = {part: _names(arrays.get("class_names"), labels[part], path) for part in pairs}
    unused = [f"the array {key!r}" for key in arrays if key not in used]
    values = {str(range_) for range_ in ranges.values() if not range_.is_plain}
    parts = (
        Part(
            _NAMES.get(part, part),
            labels[part],
            len(labels[part]),
            partial(views[part].items, ranges[part]),
            names[part],
        )
        for part in pairs
    )
    return Reading(
        ".npz file", tuple(parts), (file,), values=" and ".join(sorted(values)),
        notes=tuple(dict.fromkeys(notes)), unused=tuple(unused),
    )  # fmt: skip


_NAMES = {"training": "train"}


def _pairs(arrays: dict[str, Member]) -> dict[str, tuple[str, str]]:
    """Part -> keys of its images and its labels; the part of plain "images" and "labels" is "training"."""
    found: dict[str, dict[str, str]] = {}
    for key in arrays:
        words = re.split(r"[^a-z0-9]+|(?<=^x)(?=train|test|val)|(?<=^y)(?=train|test|val)", key)
        kinds = [word for word in words if word in (*IMAGES, *LABELS)]
        rest = "_".join(word for word in words if word and word not in kinds[:1])
        if kinds and (not rest or role(rest)):
            part = "training" if not rest or role(rest) == TRAIN else rest
            found.setdefault(part, {})[kinds[0]] = key
    pairs = {}
    for part in sorted(found, key=lambda part: part != "training"):
        keys = found[part]
        x = next((keys[kind] for kind in IMAGES if kind in keys), None)
        y = next((keys[kind] for kind in LABELS if kind in keys), None)
        if x is not None and y is not None:
            pairs[part] = (x, y)
    return pairs if "training" in pairs else {}


def _labels(member: Member, part: str, path: object) -> tuple[np.ndarray, str]:
    """Labels -> (N,) of whole numbers or text, and a note if they were written otherwise."""
    labels = member.array()
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and labels.dtype.kind in "biuf" and bool(np.isin(labels, (0, 1)).all()):
        if not bool((labels.sum(axis=1) == 1).all()):
            raise BadInput(
                f"{part} labels of {path} are multi-label: image {int(np.argmax(labels.sum(axis=1) != 1))} has "
                f"{int(labels.sum(axis=1)[np.argmax(labels.sum(axis=1) != 1)])} classes; give each image one class"
            )
        return labels.argmax(axis=1).astype(np.int64), "labels are one-hot"
    if labels.ndim != 1:
        raise BadInput(
            f"{part} labels of {path} have shape {labels.shape}; expected one number or text per image"
        )
    if labels.dtype.kind == "U":
        return labels, ""
    if labels.dtype.kind == "S":
        return np.char.decode(labels, "utf-8", "replace"), ""
    if labels.dtype.kind == "f" and bool((np.isfinite(labels) & (labels == np.round(labels))).all()):
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iub":
        raise BadInput(f"{part} labels of {path} are {labels.dtype}; expected whole numbers or text")
    if labels.dtype.kind == "u" and labels.size and int(labels.max()) > np.iinfo(np.int64).max:
        raise BadInput(f"{part} labels of {path} reach up to {int(labels.max())}; expected smaller numbers")
    labels = labels.astype(np.int64)
    if len(labels) and labels.min() < 0:
        first = int(np.argmax(labels < 0))
        raise BadInput(f"{part} image {first} of {path} has the negative label {labels[first]}")
    return labels, ""


def _names(member: Member | None, labels: np.ndarray, path: object) -> tuple[str, ...] | None:
    """The class names if the file has them; then labels are indices into them."""
    if member is None or labels.dtype.kind == "U":
        return None
    names = member.array()
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise BadInput(f"class_names of {path} must be a list of texts, not {names.dtype} {names.shape}")
    if names.dtype.kind == "S":
        names = np.char.decode(names, "utf-8", "replace")
    return tuple(str(name) for name in names)


class _Images:
    """The images of one part: where the channels are, how far the values reach.

    Attributes:
        extent: of all values that are used.
        note: what was chosen of the channels.
    """

    def __init__(self, member: Member, part: str, options: Options) -> None:
        self.member, self.part, self.options = member, part, options
        self.where = f"{part} images of {member.path}"
        if member.dtype.kind not in "biuf":
            raise BadInput(f"{self.where} are {member.dtype}; expected numbers")
        self.first = _channels_first(member.shape, self.where)
        if math.prod(member.shape) == 0:
            raise BadInput(f"{member.path} holds no {part} image: the array has shape {member.shape}")
        self.note = ""
        self.channels = self._kept_channels()
        self.extent = self._extent()

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """(N, H, W) or (N, H, W, C) with 1 to 3 channels, as stored otherwise."""
        for start, block in self.member.blocks():
            block = block.astype(np.uint8) if block.dtype.kind == "b" else block
            block = block.transpose(0, 2, 3, 1) if self.first else block
            block = block[..., : self.channels] if self.channels else block
            yield start, block[:, :, :, 0] if block.ndim == 4 and block.shape[3] == 1 else block

    def items(self, range_: Range) -> Iterator[Item]:
        for start, block in self.blocks():
            for i, image in enumerate(scaled(block, range_), start):
                yield Item(f"{self.part} image {i} of {self.member.path}", np.ascontiguousarray(image))

    def _kept_channels(self) -> int:
        """3 if there is a fourth channel that says nothing, or the user takes three; 0 to keep all."""
        shape = self.member.shape
        if len(shape) != 4 or shape[1 if self.first else 3] != 4:
            return 0
        if self.options.channels is not None:
            self.note = "of four channels the first three are taken"
            return 3
        opaque = {255} if self.member.dtype.kind in "iu" else {255, 1}
        for _, block in self.member.blocks():
            fourth = set(np.unique(block[:, 3] if self.first else block[..., 3]).tolist())
            if len(fourth) > 1 or not fourth <= opaque:
                raise BadInput(
                    f"{self.where} have 4 channels, and the fourth is no alpha channel that is opaque everywhere; "
                    "--channels 3 takes the first three"
                )
        self.note = "the fourth channel is opaque everywhere and left out"
        return 3

    def _extent(self) -> Extent:
        integer = self.member.dtype.kind in "iub"
        together = None
        for start, block in self.blocks():
            if not integer and not np.isfinite(block).all():
                bad = start + int(np.argmin(np.isfinite(block).reshape(len(block), -1).all(axis=1)))
                raise BadInput(
                    f"{self.part} image {bad} of {self.member.path} holds values that are not finite (NaN or infinity)"
                )
            whole = integer or bool((block == np.round(block)).all())
            one = Extent(float(block.min()), float(block.max()), whole, integer)
            together = one if together is None else together | one
        assert together is not None
        return together


def _channels_first(shape: tuple[int, ...], where: str) -> bool:
    """Whether axis 1 of (N, ...) is that of the channels. Sides are 8 or more, so it is clear which one is."""
    if len(shape) == 3:
        return False
    first = len(shape) == 4 and shape[1] in (1, 3, 4) and shape[1] < min(8, *shape[2:])
    if not first and (len(shape) != 4 or shape[3] not in (1, 3, 4)):
        raise BadInput(f"{where} have shape {shape}; expected (N, H, W), (N, H, W, C) or (N, C, H, W)")
    return first


def _ranges(views: dict[str, _Images], options: Options, path: object) -> dict[str, Range]:
    """How the values of each part are read: alike, unless one holds whole numbers and another fractions."""
    kinds: dict[bool, Extent] = {}
    for view in views.values():
        kind = view.extent.integer
        kinds[kind] = kinds[kind] | view.extent if kind in kinds else view.extent
    ranges = {}
    for part, view in views.items():
        alone = choose_range(view.extent, options.range, view.where)
        together = choose_range(kinds[view.extent.integer], options.range, f"images of {path}")
        if not view.extent.integer and alone != together:
            raise BadInput(
                f"training images of {path} are scaled otherwise than its test images: one part is read as {alone}, "
                f"all as {together}; say how with --value-range"
            )
        ranges[part] = together
    return ranges
