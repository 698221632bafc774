"""Draw docs/images/condensed.png from the sets in results/sets: python results/draw_picture.py

One block for each data set, one row for each method, one column for each class.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import condensery
from condensery.export.picture import eight_bit

HERE = Path(__file__).parent
TARGET = HERE.parent / "docs/images/condensed.png"
TILE, GAP, MARGIN = 56, 4, 48
METHODS = ("dm", "dc", "dsa")


def block(data: str) -> Image.Image:
    """The sets of one data set: (3 rows, 10 columns) with method names on the left and classes on top."""
    font = ImageFont.load_default(size=13)
    sheet = Image.new("RGB", (MARGIN + 10 * (TILE + GAP), 20 + len(METHODS) * (TILE + GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    for r, method in enumerate(METHODS):
        synthetic = condensery.load(HERE / f"sets/{data}-{method}-ipc1.safetensors")
        top = 20 + r * (TILE + GAP)
        draw.text((MARGIN - 8, top + TILE // 2), method.upper(), fill="black", font=font, anchor="rm")
        for c, image in enumerate(eight_bit(synthetic)):
            left = MARGIN + c * (TILE + GAP)
            tile = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).convert("RGB")
            sheet.paste(tile.resize((TILE, TILE), Image.Resampling.NEAREST), (left, top))
            if r == 0:
                name = synthetic.spec.class_names[c][:8]
                draw.text((left + TILE // 2, 10), name, fill="black", font=font, anchor="mm")
    return sheet


def main() -> None:
    blocks = [block(data) for data in ("mnist", "cifar10")]
    sheet = Image.new("RGB", (blocks[0].width, sum(b.height for b in blocks) + 12), "white")
    top = 0
    for one in blocks:
        sheet.paste(one, (0, top))
        top += one.height + 12
    sheet.save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
