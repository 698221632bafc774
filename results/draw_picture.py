"""Draw docs/images/condensed.png from the sets in results/sets: python results/draw_picture.py

They are the first sets of the table on the front page (benchmarks/minutes.py, seed 0): a row for each data set, a
column for each class, and the four tiles of a stored image side by side.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import condensery
from condensery.export.picture import eight_bit

HERE = Path(__file__).parent
TARGET = HERE.parent / "docs/images/condensed.png"
NAMES = {"mnist": "MNIST", "cifar10": "CIFAR-10"}
SIDE, TILES, GAP, MARGIN, HEAD = 44, 2, 6, 76, 20  # pixels; TILES in each direction
CELL = TILES * SIDE + GAP


def row(data: str) -> Image.Image:
    """The set of one data set, with its classes on top."""
    font = ImageFont.load_default(size=13)
    synthetic = condensery.load(HERE / f"sets/{data}-ipc1-seed0.safetensors")
    sheet = Image.new("RGB", (MARGIN + len(synthetic.spec.class_names) * CELL, HEAD + CELL), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN - 8, HEAD + CELL // 2), NAMES[data], fill="black", font=font, anchor="rm")
    for c, name in enumerate(synthetic.spec.class_names):
        left = MARGIN + c * CELL
        draw.text((left + TILES * SIDE // 2, 10), name, fill="black", font=font, anchor="mm")
        images = eight_bit(synthetic)[synthetic.labels.numpy() == c]
        for k, image in enumerate(images):
            tile = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).convert("RGB")
            place = (left + k % TILES * SIDE, HEAD + k // TILES * SIDE)
            sheet.paste(tile.resize((SIDE, SIDE), Image.Resampling.BICUBIC), place)
    return sheet


def main() -> None:
    rows = [row(data) for data in NAMES]
    sheet = Image.new("RGB", (rows[0].width, sum(one.height for one in rows)), "white")
    for k, one in enumerate(rows):
        sheet.paste(one, (0, k * rows[0].height))
    sheet.save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
