"""Bytes of the file of a generator beside those of pixels, as classes, sides and images grow.

    python benchmarks/generator_bytes.py
    python benchmarks/generator_bytes.py --classes 10,100 --sides 28,32 --channels 1 --width 32

Files of generators are written and measured, with the labels of the images but without training: bytes do not depend on
that. Pixels are counted, as 4 bytes (learned images) or 1 (rounded ones), with labels too. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from condensery import Rng
from condensery.synthetic import Generated, GeneratorNetwork, default_blocks

IPC = (1, 10, 50)
_LABEL = 8  # bytes


def generator_bytes(classes: int, shape: tuple[int, int, int], ipc: int, width: int, length: int) -> int:
    """Of a file with the default generator for such images, `ipc` codes, and labels."""
    with Rng(0).seeded():
        blocks = default_blocks(*shape[1:])
        weights = GeneratorNetwork(length, length, width, blocks, shape).folded()
    embeddings = nn.Embedding(classes, length)
    made = Generated(
        torch.zeros(ipc, length), weights, embeddings, (ipc,) * classes, shape[1:], frozenset(weights)
    )
    tensors = {f"stored.generator.{name}": tensor for name, tensor in made.tensors().items()}
    tensors["labels"] = torch.arange(classes).repeat_interleave(ipc)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "set.safetensors"
        save_file(tensors, file)
        return file.stat().st_size


def pixel_bytes(classes: int, shape: tuple[int, int, int], ipc: int, each: int) -> int:
    """Of images with `each` bytes for a value, and labels."""
    return classes * ipc * (each * shape[0] * shape[1] * shape[2] + _LABEL)


def break_even(classes: int, shape: tuple[int, int, int], width: int, length: int, each: int) -> int:
    """Images per class from which on the file of a generator is smaller than their pixels."""
    ipc = 1
    while generator_bytes(classes, shape, ipc, width, length) >= pixel_bytes(classes, shape, ipc, each):
        ipc += 1
    return ipc


def _row(classes: int, shape: tuple[int, int, int], width: int, length: int) -> list[str]:
    sizes = []
    for ipc in IPC:
        sizes.append(f"{generator_bytes(classes, shape, ipc, width, length):,}")
        sizes.append(f"{pixel_bytes(classes, shape, ipc, 4):,}")
    smaller_from = [f"{break_even(classes, shape, width, length, each):,}" for each in (4, 1)]
    return [f"{classes:,}", f"{shape[1]}", *sizes, *smaller_from]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--classes", default="10,100,1000")
    parser.add_argument("--sides", default="32,64,128")
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--length", type=int, default=64)
    asked = parser.parse_args()
    heads = ["classes", "side", *(head for ipc in IPC for head in (f"generator, {ipc} per class", "pixels"))]
    heads += ["smaller than pixels from", "than 8-bit pixels from"]
    print(f"| {' | '.join(heads)} |")
    print("|" + " ---: |" * len(heads))
    for classes in map(int, asked.classes.split(",")):
        for side in map(int, asked.sides.split(",")):
            shape = (asked.channels, side, side)
            print(f"| {' | '.join(_row(classes, shape, asked.width, asked.length))} |")


if __name__ == "__main__":
    main()
