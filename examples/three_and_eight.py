"""What contrastive signals do: the digits 3 and 8, condensed by DC and by DCC from the same noise.

The experiment of section 3.2, Figure 3, of S. Lee, S. Chun, S. Jung, S. Yun and S. Yoon, Dataset Condensation with
Contrastive Signals, ICML 2022. A 3 and an 8 look alike on the right and differ on the left. Matching gradients class by
class (DC) should draw prototypes of both; matching the gradient of both classes together (DCC) should draw what tells
them apart, also where all 3s are mirrored. docs/methods/dcc.md says what came out.

The paper leaves open, and we took: noise at the start; the loops of DC and DCC ("train a CNN on the binary task" could
mean a trained network); no warm-up, as Figure 3 cites equation 10 alone; 60 updates of 10,000 with an image rate of 1,
not 0.1 (100 updates at 0.1 left noise), 10 epochs between them, not 50, 64 real images per class, not 256, 32 channels,
not 128; R (equation 5), where the figure is judged by eye, on pixels in [0, 1]; both parts mirrored with the 3s.

    python examples/three_and_eight.py --out three-and-eight.png
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

import condensery
from condensery import ImageData, LabeledImages, SyntheticSet

INK, FAINT, PAPER = (32, 32, 32), (120, 120, 120), (255, 255, 255)
GAP, HEAD, LABEL = 4, 48, 150  # pixels: between images, above and left of them
FULL = 0.5  # difference of pixels in [0, 1] that gets the full colour


@dataclass(frozen=True)
class Row:
    """One row of the picture and of the table.

    Attributes:
        name: what the images are.
        images: (N, H, W) of each class, pixels in [0, 1]; what was learned is not clipped to that.
        shares: R of every image, first class first.
        left: share of the ink of the second class's mean image that lies in its left half.
        accuracy: fractions, one for each network that was trained on the images; empty for none.
    """

    name: str
    images: tuple[np.ndarray, np.ndarray]
    shares: np.ndarray
    left: float
    accuracy: tuple[float, ...] = ()


def directions(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (P,) of what sets two mean images (P,) apart, and of what they share, at right angles to it."""
    apart = first - second
    apart = apart / np.linalg.norm(apart)
    shared = first + second
    shared = shared - (shared @ apart) * apart
    return apart, shared / np.linalg.norm(shared)


def discriminative_share(images: np.ndarray, apart: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """R of equation 5 for each of `images` (N, P): 1 for what sets the classes apart alone, 0 for none of it."""
    a, b = np.abs(images @ apart), np.abs(images @ shared)
    return a / (a + b)


def left_share(image: np.ndarray) -> float:
    """Share of the ink (values above 0) of an image (H, W) in its left half."""
    ink = image.clip(0)
    return float(ink[:, : ink.shape[1] // 2].sum() / ink.sum())


def pixels_of(data: ImageData, c: int) -> np.ndarray:
    """The training images of class `c`, grey in [0, 1]: (N, H, W)."""
    return data.train.pixels[data.train.labels == c].mean(3) / 255


def mirrored(data: ImageData, c: int) -> ImageData:
    """The same data with the images of class `c` mirrored left to right, in training and test part."""

    def mirror(part: LabeledImages) -> LabeledImages:
        pixels = np.array(part.pixels)
        pixels[part.labels == c] = pixels[part.labels == c][:, :, ::-1]
        return LabeledImages(pixels, part.labels)

    fingerprint = f"{data.fingerprint}, class {c} mirrored"
    return replace(data, train=mirror(data.train), test=mirror(data.test), fingerprint=fingerprint)


def measure(
    name: str, images: tuple[np.ndarray, np.ndarray], data: ImageData, accuracy: tuple[float, ...] = ()
) -> Row:
    """A row for `images`, (N, H, W) of each class, by the directions of `data`."""
    means = [pixels_of(data, c).mean(0).ravel() for c in (0, 1)]
    flat = np.concatenate(images).reshape(-1, means[0].size)
    shares = discriminative_share(flat, *directions(means[0], means[1]))
    return Row(name, images, shares, left_share(images[1].mean(0)), accuracy)


def by_class(synthetic: SyntheticSet) -> tuple[np.ndarray, np.ndarray]:
    """The images of each class, (N, H, W), on the scale on which real ones have pixels in [0, 1]; not clipped."""
    images = synthetic.spec.denormalise(synthetic.images).mean(1).numpy().astype(np.float64)
    first, second = np.split(images, 2)
    return first, second


def condensed(name: str, method: str, data: ImageData, asked: argparse.Namespace) -> tuple[SyntheticSet, Row]:
    """(the set before its first update, what became of it)."""
    fields = {
        "init": "noise",
        "outer_loop": 10,
        "inner_loop": 10,
        "real_batch": 64,
        "image_lr": asked.image_lr,
    }
    if method == "dcc":
        fields["warmup"] = "none"  # otherwise all these steps would be DC's
    with tempfile.TemporaryDirectory() as folder:
        made = condensery.condense(
            data,
            method,
            **{key: getattr(asked, key) for key in ("ipc", "steps", "seed", "network")},
            out=Path(folder) / "run",
            device="cpu",
            **fields,
        )
        start = condensery.load(Path(folder) / "run" / "initial.safetensors")
    protocol = replace(condensery.PROTOCOLS["quick"], epochs=asked.epochs, plain_epochs=asked.epochs)
    judged = condensery.evaluate(
        made, data, protocol=protocol, repeats=asked.repeats, baselines=[], seed=asked.seed, device="cpu"
    )
    row = measure(name, by_class(made), data, judged.scores[0].accuracies[0])
    print(f"{describe(row)}   {made.record['seconds']:.0f} s for {asked.steps} steps", flush=True)
    return start, row


def describe(row: Row) -> str:
    """A row of the table."""
    accuracy = (
        f"   accuracy {100 * np.mean(row.accuracy):.1f} ± {100 * np.std(row.accuracy):.1f} % "
        f"(n = {len(row.accuracy)})"
        if row.accuracy
        else ""
    )
    return (
        f"{row.name:18}   R {row.shares.mean():.2f} ± {row.shares.std():.2f} (n = {len(row.shares)})"
        f"   left {100 * row.left:.0f} %{accuracy}"
    )


def tile(image: np.ndarray, zoom: int) -> Image.Image:
    """Grey (H, W) in [0, 1], clipped, or colours (H, W, 3), enlarged without smoothing."""
    drawn = Image.fromarray((image.clip(0, 1) * 255).round().astype(np.uint8)).convert("RGB")
    return drawn.resize((drawn.width * zoom, drawn.height * zoom), Image.Resampling.NEAREST)


def two_colours(difference: np.ndarray) -> np.ndarray:
    """(H, W) -> (H, W, 3): white at 0, red where the first class has more, blue where the second has."""
    strength = (difference / FULL).clip(-1, 1)[..., None]
    red, blue = np.array([0.79, 0.13, 0.15]), np.array([0.13, 0.36, 0.68])
    return 1 - np.abs(strength) * (1 - np.where(strength > 0, red, blue))


def picture(rows: Sequence[Row], names: Sequence[str], count: int) -> Image.Image:
    """A line for each row: `count` images of each class, the mean of all of them, and how the means differ."""
    height, width = rows[0].images[0].shape[1:]
    zoom = max(1, 56 // height)
    high, wide = height * zoom + GAP, width * zoom + GAP
    lefts = [LABEL, LABEL + count * wide + 4 * GAP, LABEL + 2 * count * wide + 12 * GAP]
    sheet = Image.new("RGB", (lefts[2] + 3 * wide + 2 * GAP, HEAD + len(rows) * (high + 2 * GAP)), PAPER)
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(size=15), ImageFont.load_default(size=12)
    for left, name in zip(lefts, names, strict=False):
        draw.text((left, HEAD - 10), f"images of class {name}", fill=INK, font=large, anchor="ls")
    draw.text((lefts[2], HEAD - 28), "means and difference", fill=INK, font=large, anchor="ls")
    for k, name in enumerate((names[0], names[1], f"{names[0]} minus {names[1]}")):
        middle = lefts[2] + k * wide + wide // 2
        draw.text((middle, HEAD - 10), name, fill=INK, font=small, anchor="ms")
    for r, row in enumerate(rows):
        top = HEAD + r * (high + 2 * GAP)
        draw.text((2 * GAP, top + high // 2 - 2), row.name, fill=INK, font=large, anchor="ls")
        note = f"R = {row.shares.mean():.2f}"
        draw.text((2 * GAP, top + high // 2 + 4), note, fill=FAINT, font=small, anchor="lt")
        for c in (0, 1):
            for k, image in enumerate(row.images[c][:count]):
                sheet.paste(tile(image, zoom), (lefts[c] + k * wide, top))
        means = [images.mean(0) for images in row.images]
        for k, image in enumerate((means[0], means[1], two_colours(means[0] - means[1]))):
            sheet.paste(tile(image, zoom), (lefts[2] + k * wide, top))
    return sheet


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="mnist", help="a source of images with the two classes")
    parser.add_argument("--classes", default="3,8", help="the two classes")
    parser.add_argument("--ipc", type=int, default=10, help="images per class")
    parser.add_argument("--steps", type=int, default=60, help="updates of the images")
    parser.add_argument("--image-lr", type=float, default=1.0, help="learning rate of the images")
    parser.add_argument("--network", default="convnet+width=32", help="for matching and for judging")
    parser.add_argument("--repeats", type=int, default=3, help="networks trained on each set")
    parser.add_argument("--epochs", type=int, default=300, help="that they are trained for")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("three-and-eight.png"), help="the picture")
    asked = parser.parse_args(words)
    if len(asked.classes.split(",")) != 2:
        parser.error(f"--classes takes two names, such as 3,8, not {asked.classes!r}")
    if asked.out.suffix != ".png" or not asked.out.parent.is_dir():
        parser.error(f"--out takes a name that ends in .png in a folder that exists, not {asked.out}")
    return asked


def main(words: Sequence[str] | None = None) -> list[Row]:
    """Run the experiment, print the table, write the picture; returns the rows of both."""
    asked = arguments(words)
    started = time.perf_counter()
    data = condensery.load_images(asked.data, classes=asked.classes.split(","))
    flipped = mirrored(data, 0)
    a, b = data.spec.class_names
    print(f"{len(data.train)} training and {len(data.test)} test images of {a} and {b}, from {data.source}")
    print(
        f"R: share of what sets {a} and {b} apart in an image, 0 to 1, mean ± std over images; left: ink of the mean"
    )
    print(
        f"{b} in its left half; accuracy: test images, mean ± std over networks trained on the set",
        flush=True,
    )
    rows = [measure("real", (pixels_of(data, 0), pixels_of(data, 1)), data)]
    start, dc = condensed("DC", "dc", data, asked)
    same, dcc = condensed("DCC", "dcc", data, asked)
    if not torch.equal(start.images, same.images):
        raise AssertionError("DC and DCC did not start from the same images")
    turned = condensed(f"DCC, {a} mirrored", "dcc", flipped, asked)[1]
    rows += [measure("start of all", by_class(start), data), dc, dcc, turned]
    print("\n".join(describe(row) for row in rows))
    picture(rows, (a, b), asked.ipc).save(asked.out)
    print(f"{asked.out} written, {time.perf_counter() - started:.0f} s in all")
    return rows


if __name__ == "__main__":
    try:
        main()
    except condensery.CondenseryError as error:
        print(f"three_and_eight: error: {error}", file=sys.stderr)
        sys.exit(2)
