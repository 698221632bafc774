"""A set of images as one picture: a row per class with its name, enlarged without smoothing."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from condensery.disk import write_bytes
from condensery.errors import BadInput
from condensery.records import SyntheticSet

_GAP = 4  # pixels between images
_TARGET = 64  # an image is enlarged by a whole factor to about this many pixels
_AT_ONCE = 1024  # images whose copies in float32 are held
_INK, _PAPER = (32, 32, 32), (255, 255, 255)


def eight_bit(synthetic: SyntheticSet) -> np.ndarray:
    """The images as uint8 (M, H, W, C): denormalised, clipped to [0, 1], rounded to the nearest of 256 values."""
    parts = []
    for images in synthetic.images.detach().split(_AT_ONCE):
        values = synthetic.spec.denormalise(images.cpu()).clamp(0, 1)
        parts.append((values * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy())
    return np.concatenate(parts)


def picture(synthetic: SyntheticSet, per_class: int | None = None, classes: int | None = None) -> Image.Image:
    """The images as 8-bit RGB, denormalised and clipped to [0, 1].

    Args:
        synthetic: the set to draw.
        per_class: draw at most so many images of a class (None: all).
        classes: draw at most so many classes (None: all).
    """
    spec = synthetic.spec
    pixels = eight_bit(synthetic)
    rows = [pixels[synthetic.labels.cpu().numpy() == c][:per_class] for c in range(spec.num_classes)][
        :classes
    ]
    zoom = max(1, _TARGET // max(spec.height, spec.width))
    height, width = spec.height * zoom, spec.width * zoom
    font = ImageFont.load_default(size=min(14, max(10, height // 3)))
    margin = max(int(font.getlength(name)) for name in spec.class_names[: len(rows)]) + 4 * _GAP
    columns = max(len(row) for row in rows)
    size = (margin + columns * (width + _GAP), len(rows) * (height + _GAP) + _GAP)
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for r, (name, row) in enumerate(zip(spec.class_names, rows, strict=False)):
        top = _GAP + r * (height + _GAP)
        draw.text((2 * _GAP, top + height // 2), name, fill=_INK, font=font, anchor="lm")
        for k, image in enumerate(row):
            tile = Image.fromarray(image.squeeze(-1) if spec.channels == 1 else image).convert("RGB")
            sheet.paste(
                tile.resize((width, height), Image.Resampling.NEAREST), (margin + k * (width + _GAP), top)
            )
    return sheet


def save_picture(synthetic: SyntheticSet, path: str | Path, per_class: int | None = None) -> None:
    """Write `picture(synthetic, per_class)` as PNG, atomically.

    Raises:
        BadInput: the path does not end in .png, or cannot be written.
    """
    if Path(path).suffix.lower() != ".png":
        raise BadInput(f"a picture is written as PNG: choose a name that ends in .png, not {path}")
    buffer = io.BytesIO()
    picture(synthetic, per_class).save(buffer, "PNG")
    write_bytes(path, buffer.getvalue())


def value_range(synthetic: SyntheticSet) -> tuple[float, float, float]:
    """Lowest and highest value in [0, 1]-scaled space, and the share of values that a picture has to clip."""
    values = synthetic.spec.denormalise(synthetic.images).numpy()
    return float(values.min()), float(values.max()), float(np.mean((values < 0) | (values > 1)))
