"""Draw docs/images/condensed.png from the sets in results/sets: python results/draw_picture.py

They are the first sets of the table on the front page (benchmarks/minutes.py, seed 0): a row for each data set, a
column for each class, and the tiles of a stored image side by side.
"""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import condensery
from condensery.export.picture import eight_bit

HERE = Path(__file__).parent
TARGET = HERE.parent / "docs/images/condensed.png"
SETS = {"MNIST": "mnist-ipc1-seed0", "CIFAR-10": "cifar10-ipc1-taught-seed0"}
SIDE, GAP, MARGIN, HEAD = 88, 6, 76, 20  # pixels; SIDE is that of a stored image
CELL = SIDE + GAP


def row(name: str) -> Image.Image:
    """The set of one data set, with its classes on top."""
    font = ImageFont.load_default(size=13)
    synthetic = condensery.load(HERE / f"sets/{SETS[name]}.safetensors")
    sheet = Image.new("RGB", (MARGIN + len(synthetic.spec.class_names) * CELL, HEAD + CELL), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN - 8, HEAD + CELL // 2), name, fill="black", font=font, anchor="rm")
    for c, label in enumerate(synthetic.spec.class_names):
        left = MARGIN + c * CELL
        draw.text((left + SIDE // 2, 10), label, fill="black", font=font, anchor="mm")
        images = eight_bit(synthetic)[synthetic.labels.numpy() == c]
        tiles = math.isqrt(len(images))  # in each direction
        side = SIDE // tiles
        for k, image in enumerate(images):
            tile = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).convert("RGB")
            place = (left + k % tiles * side, HEAD + k // tiles * side)
            sheet.paste(tile.resize((side, side), Image.Resampling.BICUBIC), place)
    return sheet


def main() -> None:
    rows = [row(name) for name in SETS]
    sheet = Image.new("RGB", (rows[0].width, sum(one.height for one in rows)), "white")
    for k, one in enumerate(rows):
        sheet.paste(one, (0, k * rows[0].height))
    sheet.save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
