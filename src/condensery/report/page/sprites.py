"""Galleries as one PNG each, pixel for pixel, and what is left out so that a page stays small."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from PIL import Image

from condensery.report.contents import Gallery
from condensery.text import count

BUDGET = 6_500_000  # bytes of all pictures in base64; the rest of a page must fit beside them in 10 MB
_MOST_IMAGES = 12_000  # elements that a browser draws without trouble
_PER_CLASS = (10**9, 50, 30, 20, 10, 5, 3, 2, 1)
_CLASSES = (10**9, 200, 100, 50, 20, 10)
_SHOWN_SIZE = 64  # an image is enlarged by a whole factor to about so many pixels, fewer if there are many


@dataclass(frozen=True)
class Sprite:
    """One gallery, ready for a page.

    Attributes:
        gallery: what is left of it.
        counts: images of each class that are shown.
        final, initial: PNG (base64): a row per class, images one pixel apart; initial "" where unknown.
    """

    gallery: Gallery
    counts: tuple[int, ...]
    final: str
    initial: str

    @property
    def size(self) -> int:
        return len(self.final) + len(self.initial)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of an image."""
        return self.gallery.final.shape[1:3]

    @property
    def zoom(self) -> float:
        """A whole factor that makes images about as large as they are shown; a fraction for very large ones."""
        size = max(self.shape)
        target = _SHOWN_SIZE if max(self.counts) <= 10 else _SHOWN_SIZE / 2
        return max(1, target // size) if size <= target * 2 else target * 2 / size


def sprites(galleries: Sequence[Gallery], limit: int = BUDGET) -> tuple[list[Sprite], list[str]]:
    """As much of the galleries as fits into `limit` bytes, and lines that say what was left out."""
    tries = [(len(galleries), *most) for most in product(_CLASSES, _PER_CLASS)]
    tries += [(kept, _CLASSES[-1], _PER_CLASS[-1]) for kept in range(len(galleries) - 1, 0, -1)]
    for kept, classes, per_class in tries:
        thin = [_thinned(gallery, per_class, classes) for gallery in galleries[:kept]]
        few = sum(len(g.labels) for g in thin) <= _MOST_IMAGES
        if few and (made := _within(thin, limit)) is not None:
            return made, _left_out(galleries, kept, classes, per_class)
    return [], ["No gallery is shown: its images are too large for a page"]


def _within(galleries: Sequence[Gallery], limit: int) -> list[Sprite] | None:
    """The galleries as sprites, or None as soon as they are larger than `limit`."""
    made = []
    for gallery in galleries:
        counts = tuple(np.bincount(gallery.labels, minlength=len(gallery.class_names)).tolist())
        initial = "" if gallery.initial is None else _png(gallery.initial, gallery.labels, counts)
        made.append(Sprite(gallery, counts, _png(gallery.final, gallery.labels, counts), initial))
        if sum(sprite.size for sprite in made) > limit:
            return None
    return made


def _thinned(gallery: Gallery, per_class: int, classes: int) -> Gallery:
    """The first images of the first classes."""
    shown = range(min(classes, len(gallery.class_names)))
    keep = np.sort(np.concatenate([np.flatnonzero(gallery.labels == c)[:per_class] for c in shown]))
    names, initial = gallery.class_names[:classes], None if gallery.initial is None else gallery.initial[keep]
    images = {"labels": gallery.labels[keep], "final": gallery.final[keep], "initial": initial}
    return replace(gallery, class_names=names, **images)


def _left_out(galleries: Sequence[Gallery], kept: int, classes: int, per_class: int) -> list[str]:
    if kept < len(galleries):
        return [f"Only the first {kept} of {len(galleries)} galleries are shown, one image of each class"]
    lines = []
    if (all_classes := max((len(g.class_names) for g in galleries), default=0)) > classes:
        lines.append(f"Only the first {classes} of {all_classes} classes are shown")
    if any(np.bincount(g.labels).max() > per_class for g in galleries):
        few = f"At most {count(per_class, 'image')} of each class are shown"
        lines.append(f"{few}, so that the page stays small")
    return lines


def _png(images: np.ndarray, labels: np.ndarray, counts: Sequence[int]) -> str:
    """uint8 (M, H, W, C) as a sheet, a row for each class, in base64."""
    _, height, width, channels = images.shape
    sheet = np.zeros((len(counts) * (height + 1), max(counts) * (width + 1), channels), np.uint8)
    for c in range(len(counts)):
        for k, image in enumerate(images[labels == c]):
            sheet[c * (height + 1) :, k * (width + 1) :][:height, :width] = image
    buffer = io.BytesIO()
    Image.fromarray(sheet[..., 0] if channels == 1 else sheet).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
