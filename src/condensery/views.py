"""Views of images with a label for each: what a set stores so that any program can train on the same views.

A view is a crop that is enlarged to the whole size, perhaps mirrored, perhaps with a patch of another image (CutMix).
Its parameters take a few bytes and no random generator, and its label is what a teacher said of exactly these pixels.

Source: labels stored for each view, Shen & Xing, "A Fast Knowledge Distillation Framework for Visual Recognition" (FKD,
ECCV 2022, arXiv 2112.01528); for condensed sets, Sun et al., RDED, CVPR 2024 (arXiv 2312.03526); patches of another
image, Yun et al., CutMix, ICCV 2019. The bytes are ours; docs/file-format.md has them for other programs.
A level rounds the logarithm of a probability by 0.1 / temperature at most in one byte; logits more than 25.5 below the
largest are stored as 25.5 below.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from condensery.errors import BadInput

FULL = 255
"""Boxes are in 255ths of the side of an image, so that a whole side fits a byte."""
WIDEST_RANGE = 25.5
"""Logits further below the largest than this (nats) are stored as this far: a probability of 1e-11 of the largest."""
_LEVELS = {torch.uint8: 2**8 - 1, torch.uint16: 2**16 - 1}
_INDICES = (torch.uint8, torch.uint16, torch.int32)


class Quantised(NamedTuple):
    """Logits in one or two bytes each; see `quantise`."""

    levels: Tensor
    step: float
    classes: Tensor | None


def quantise(logits: Tensor, bits: int = 8, largest: int | None = None) -> Quantised:
    """Logits as whole numbers of steps, so that `softmax(step * levels / temperature)` gives the probabilities back.

    One step serves all of them: the widest distance from a largest logit, at most `WIDEST_RANGE`, is divided into 255
    or 65,535 steps. Within that range no logarithm of a probability is off by more than one step / temperature.

    Args:
        logits: float (..., classes).
        bits: 8 or 16.
        largest: keep only the logits of so many classes, and one for each of the others, which have their mean
            probability at temperature 1; None keeps all.

    Returns:
        levels uint8 or uint16 (..., classes), or (..., largest + 1), the level of each other class being the last; the
        step in nats; the classes that were kept, the most probable first, (..., largest), or None for all.

    Raises:
        BadInput: `bits` or `largest` is out of range, or a logit is not finite.
    """
    if bits not in (8, 16):
        raise BadInput(f"labels are stored with 8 or 16 bits a class, not {bits}")
    num_classes = logits.shape[-1]
    if largest is not None and not 1 <= largest <= num_classes:
        raise BadInput(f"of {num_classes} classes, 1 to {num_classes} largest can be kept, not {largest}")
    if not bool(torch.isfinite(logits).all()):
        raise BadInput("the teacher's outputs are not finite: train it with a smaller learning rate")
    values, classes = logits.detach().double(), None
    if largest is not None and largest < num_classes:
        order = values.argsort(dim=-1, descending=True, stable=True)
        values = values.gather(-1, order)
        others = values[..., largest:].logsumexp(-1, keepdim=True) - math.log(num_classes - largest)
        values, classes = torch.cat([values[..., :largest], others], -1), order[..., :largest]
        classes = classes.to(index_dtype(num_classes))
    below = values - values.amax(-1, keepdim=True)  # nats, 0 or less
    dtype = torch.uint8 if bits == 8 else torch.uint16
    span = min(WIDEST_RANGE, -float(below.min())) or 1.0
    step = float(torch.tensor(span / _LEVELS[dtype], dtype=torch.float32))
    levels = (_LEVELS[dtype] + below / step).round().clamp(0, _LEVELS[dtype])
    return Quantised(levels.to(torch.int32).to(dtype), step, classes)


def index_dtype(count: int) -> torch.dtype:
    """The smallest kind of number for indices below `count`."""
    return torch.uint8 if count <= 2**8 else torch.uint16 if count <= 2**16 else torch.int32


@dataclass(frozen=True)
class Views:
    """V views of each of M images, and what a teacher says of each.

    Attributes:
        boxes: uint8 (M, V, 4): top, left, height, width of the crop, in 255ths of the image's sides.
        levels: uint8 or uint16 (M, V, classes), logits in steps; with `classes` (M, V, K + 1), see `quantise`.
        step: nats from one level to the next.
        temperature: the labels are softmax(step * levels / temperature).
        num_classes: length of a label.
        flips: uint8 (M, V), 1 where the crop is mirrored; None for nowhere.
        partners: (M, V), the image that a patch comes from; None where there are no patches.
        patches: uint8 (M, V, 4): the box, in 255ths of the sides, in which the view shows the view of the same number
            of its partner, as that is before it gets a patch of its own; a height of 0 is no patch.
        classes: (M, V, K), which classes the first K levels are of; None for all in order.

    Raises:
        BadInput: parts that do not fit each other, a box outside the image, a partner that does not exist.
    """

    boxes: Tensor
    levels: Tensor
    step: float
    temperature: float
    num_classes: int
    flips: Tensor | None = None
    partners: Tensor | None = None
    patches: Tensor | None = None
    classes: Tensor | None = None

    def __post_init__(self) -> None:
        count = tuple(self.boxes.shape[:2])
        if self.boxes.ndim != 3 or 0 in count:
            raise BadInput(f"boxes of views must be (images, views, 4), not {tuple(self.boxes.shape)}")
        _require("boxes", self.boxes, (*count, 4), (torch.uint8,))
        _require_inside("boxes", self.boxes, 1)
        if self.flips is not None:
            _require("flips", self.flips, count, (torch.uint8,))
            if int(self.flips.max()) > 1:
                raise BadInput(f"flips of views must be 0 or 1, not {int(self.flips.max())}")
        self._check_patches(count)
        self._check_labels(count)

    def _check_patches(self, count: tuple[int, ...]) -> None:
        if (self.partners is None) != (self.patches is None):
            raise BadInput("views need partners with their patches")
        if self.partners is None or self.patches is None:
            return
        _require("partners", self.partners, count, _INDICES)
        _require("patches", self.patches, (*count, 4), (torch.uint8,))
        _require_inside("patches", self.patches, 0)
        partners = self.partners.to(torch.int64)
        if int(partners.min()) < 0 or int(partners.max()) >= count[0]:
            raise BadInput(
                f"views have patches of images {int(partners.min())} to {int(partners.max())}, but there are {count[0]}"
            )

    def _check_labels(self, count: tuple[int, ...]) -> None:
        wanted = self.num_classes
        if self.classes is not None:
            kept = self.classes.shape[-1] if self.classes.ndim == 3 else 0
            if not 1 <= kept < self.num_classes:
                raise BadInput(f"labels of views name {kept} of {self.num_classes} classes")
            _require("classes", self.classes, (*count, kept), _INDICES)
            named = self.classes.to(torch.int64).sort(-1).values
            if int(named.min()) < 0 or int(named.max()) >= self.num_classes:
                raise BadInput(f"labels of views name class {int(named.max())} of {self.num_classes} classes")
            if bool((named[..., 1:] == named[..., :-1]).any()):
                raise BadInput("a label of a view names a class twice")
            wanted = kept + 1
        _require("levels", self.levels, (*count, wanted), tuple(_LEVELS))
        for name in ("step", "temperature"):
            value = getattr(self, name)
            if not (isinstance(value, float | int) and math.isfinite(value) and value > 0):
                raise BadInput(f"the {name} of labels of views must be a positive number, not {value!r:.40}")

    def __len__(self) -> int:
        """Views of all images."""
        return self.boxes.shape[0] * self.boxes.shape[1]

    @property
    def per_image(self) -> int:
        """V"""
        return self.boxes.shape[1]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What there is, by name."""
        named = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: value for name, value in named if isinstance(value, Tensor)}

    @property
    def nbytes(self) -> int:
        """Bytes of parameters and labels."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def to(self, device: torch.device) -> Views:
        return replace(self, **{name: tensor.to(device) for name, tensor in self.tensors.items()})

    def probabilities(
        self, indices: Tensor, numbers: Tensor | int, temperature: float | None = None
    ) -> Tensor:
        """Labels float32 (n, classes) of the views `numbers` of the images `indices`.

        Args:
            indices: int64 (n,), which images.
            numbers: which view of each, int64 (n,), or one number for all.
            temperature: other than the labels' own; they are softmax(step * levels / temperature).
        """
        logits = self.levels[indices, numbers].to(torch.float32) * self.step  # (n, classes)
        if self.classes is not None:
            named = self.classes[indices, numbers].to(torch.int64)
            logits = logits[:, -1:].expand(-1, self.num_classes).scatter(1, named, logits[:, :-1])
        return (logits / (temperature or self.temperature)).softmax(1)

    def of(self, images: Tensor, indices: Tensor, numbers: Tensor | int) -> Tensor:
        """The views `numbers` of the images `indices`, (n, C, H, W), differentiable in `images`.

        Args:
            images: all images float (M, C, H, W).
            indices, numbers: as for `probabilities`.
        """
        views = self._crops(images, indices, numbers)
        if self.partners is None or self.patches is None:
            return views
        partners = self.partners[indices, numbers].to(torch.int64)
        inside = box_mask(self.patches[indices, numbers], *images.shape[-2:])
        return torch.where(inside[:, None], self._crops(images, partners, numbers), views)

    def batches(self, images: Tensor, number: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """(views (n, C, H, W), probabilities (n, classes)) of view `number` of all images, in order, `size` at a time.

        Raises:
            BadInput: there is no such view.
        """
        if not 0 <= number < self.per_image:
            raise BadInput(f"there is no view {number}: each image has {self.per_image}, counted from 0")
        for indices in torch.arange(len(images), device=images.device).split(size):
            yield self.of(images, indices, number), self.probabilities(indices, number)

    def _crops(self, images: Tensor, indices: Tensor, numbers: Tensor | int) -> Tensor:
        flips = None if self.flips is None else self.flips[indices, numbers]
        return crop_and_enlarge(images[indices], self.boxes[indices, numbers], flips)


def crop_and_enlarge(images: Tensor, boxes: Tensor, flips: Tensor | None = None) -> Tensor:
    """The box of each image, enlarged to the image's size by bilinear interpolation, then mirrored where `flips` is 1.

    Row i of the result shows the image at y = H * top / 255 + (i + 0.5) * height / 255 - 0.5, no less than 0 and no
    more than H - 1, between the rows below and above in proportion; columns likewise. It is
    `torch.nn.functional.grid_sample` with a border and without aligned corners, so a whole image as a box is the image
    to about 1e-5. Differentiable in `images`.

    Args:
        images: float (n, C, H, W).
        boxes: uint8 (n, 4), top, left, height, width in 255ths of the sides.
        flips: uint8 (n,); None mirrors nothing.
    """
    height, width = images.shape[-2:]
    box = boxes.to(images.dtype) / FULL
    rows = _places(box[:, 0], box[:, 2], height)  # (n, H)
    columns = _places(box[:, 1], box[:, 3], width)  # (n, W)
    if flips is not None:
        columns = torch.where(flips.bool()[:, None], columns.flip(1), columns)
    shape = (len(images), height, width)
    grid = torch.stack([columns[:, None, :].expand(shape), rows[:, :, None].expand(shape)], 3)  # (n, H, W, 2)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _places(start: Tensor, length: Tensor, side: int) -> Tensor:
    """(n, side): where each pixel of an enlarged part of a line lies in the line, whose ends are -1 and 1."""
    centres = (torch.arange(side, device=start.device, dtype=start.dtype) + 0.5) / side
    return 2 * (start[:, None] + centres * length[:, None]) - 1


def box_mask(boxes: Tensor, height: int, width: int) -> Tensor:
    """bool (n, height, width): pixels inside boxes uint8 (n, 4), whose borders are rounded to whole pixels.

    Rows from (top * height + 127) // 255 up to, but without, ((top + height of the box) * height + 127) // 255.
    """
    box = boxes.to(torch.int64)
    rows = _inside(box[:, 0], box[:, 2], height)
    return rows[:, :, None] & _inside(box[:, 1], box[:, 3], width)[:, None, :]


def _inside(start: Tensor, length: Tensor, side: int) -> Tensor:
    at = torch.arange(side, device=start.device)
    first, end = (_pixel(start, side), _pixel(start + length, side))
    return (at >= first[:, None]) & (at < end[:, None])


def _pixel(place: Tensor, side: int) -> Tensor:
    return torch.div(place * side + FULL // 2, FULL, rounding_mode="floor")


def _require(name: str, tensor: Tensor, shape: tuple[int, ...], dtypes: tuple[torch.dtype, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise BadInput(f"{name} of views must be {shape}, not {tuple(tensor.shape)}")
    if tensor.dtype not in dtypes:
        kinds = " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        raise BadInput(f"{name} of views must be {kinds}, not {tensor.dtype}")


def _require_inside(name: str, boxes: Tensor, smallest: int) -> None:
    """Every box (M, V, 4) has sides of at least `smallest` and lies in the image."""
    box = boxes.to(torch.int64)
    beyond = (box[..., :2] + box[..., 2:] > FULL).any(-1) | (box[..., 2:] < smallest).any(-1)
    if bool(beyond.any()):
        i, v = (int(n) for n in beyond.nonzero()[0])
        top, left, height, width = box[i, v].tolist()
        raise BadInput(
            f"{name} of views: view {v} of image {i} lies outside the image or is empty (top {top}, left {left}, "
            f"height {height}, width {width}, in 255ths of the sides)"
        )
