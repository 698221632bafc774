"""A codebook and a class-conditioned generator in place of images.

David Junhao Zhang, Heng Wang, Chuhui Xue, Rui Yan, Wenqing Zhang, Song Bai and Mike Zheng Shou, "Dataset Condensation
via Generative Model", arXiv 2309.07698, sections 3.2 and 4.2. An image is G(z, c): z is a code, c stands for the class.
Code and class together pass a linear layer, whose output is a few pixels of many channels; then blocks of two layers
(activation, 3x3 convolution, batch norm) and a doubling of the sides; then a convolution to the channels of an image.
What the paper leaves open: LeakyReLU of slope 0.2, nearest-neighbour doubling, no bound on the values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery.budgets import Counts, recorded
from condensery.errors import BadInput
from condensery.records import ImageSpec, SyntheticSet
from condensery.rng import Rng
from condensery.synthetic.learned import Content
from condensery.synthetic.low_resolution import enlarged_tiles, require_factor, tiled
from condensery.synthetic.pixels import class_labels

_SLOPE = 0.2
_START = 4  # pixels along the shorter side that the first block gets, about
_ANEW = ", drawn anew"
_PASS = 64  # images per pass when a file is decoded: always the same, since others round differently


def default_blocks(height: int, width: int) -> int:
    """Blocks for images of this size: 3 for 28 and 32 pixels, 4 for 64 (section 4.2), 1 for 8."""
    return max(1, round(math.log2(min(height, width) / _START)))


def require_blocks(blocks: int, height: int, width: int) -> None:
    """Raise BadInput where so many doublings make more than the image, whatever they begin with."""
    if 2**blocks > min(height, width):
        most = min(height, width).bit_length() - 1
        raise BadInput(
            f"a generator with {blocks} blocks makes {2**blocks} pixels or more along each side, and the images have "
            f"{height}x{width}: use --blocks {most} or fewer"
        )


def first_size(blocks: int, height: int, width: int) -> tuple[int, int]:
    """Sides of what the first block gets; where doubling overshoots the image, its border is cut off."""
    return math.ceil(height / 2**blocks), math.ceil(width / 2**blocks)


class GeneratorNetwork(nn.Module):
    """The generator in training, with batch norm.

    Args:
        code_length: of a code, and of what a class becomes by the projection, "to balance" the two (section 3.2).
        class_length: of what stands for a class.
        width: channels of all layers.
        blocks: doublings of the sides.
        shape: of an image, (C, H, W).
    """

    def __init__(
        self, code_length: int, class_length: int, width: int, blocks: int, shape: tuple[int, int, int]
    ) -> None:
        super().__init__()
        self.shape = shape
        rows, columns = first_size(blocks, *shape[1:])
        self.projection = nn.Linear(class_length, code_length)
        self.input = nn.Linear(2 * code_length, width * rows * columns)
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2 * blocks)]
        )
        self.norms = nn.ModuleList([nn.BatchNorm2d(width) for _ in range(2 * blocks)])
        self.output = nn.Conv2d(width, shape[0], 3, padding=1)

    def forward(self, codes: Tensor, classes: Tensor) -> Tensor:
        """Codes (N, code_length) and what stands for their classes (N, class_length) -> images (N, C, H, W)."""
        rows, columns = first_size(len(self.norms) // 2, *self.shape[1:])
        x = self.input(torch.cat([codes, self.projection(classes)], 1))
        x = x.view(len(x), -1, rows, columns)
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = norm(convolution(F.leaky_relu(x, _SLOPE)))
            if i % 2:
                x = F.interpolate(x, scale_factor=2)
        return _cut(self.output(F.leaky_relu(x, _SLOPE)), self.shape[1:])

    def folded(self) -> dict[str, Tensor]:
        """Weights by name, detached, each batch norm with its running statistics made part of its convolution."""
        weights = {"projection": self.projection, "input": self.input, "output": self.output}
        found = {
            f"{name}.{key}": t for name, layer in weights.items() for key, t in layer.state_dict().items()
        }
        for i, (convolution, layer) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            norm = cast(nn.BatchNorm2d, layer)
            mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
            scale = norm.weight / (variance + norm.eps).sqrt()  # (width,)
            found[f"layers.{i}.weight"] = cast(nn.Conv2d, convolution).weight * scale.view(-1, 1, 1, 1)
            found[f"layers.{i}.bias"] = norm.bias - mean * scale
        return {name: tensor.detach().clone() for name, tensor in found.items()}


def generate(weights: Mapping[str, Tensor], codes: Tensor, classes: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (N, C, H, W) of folded weights, differentiable with respect to all of them.

    Args:
        codes: (N, code_length).
        classes: (N, code_length), after the projection.
        size: (H, W).
    """
    depth = _depth(weights)
    rows, columns = first_size(depth // 2, *size)
    x = F.linear(torch.cat([codes, classes], 1), weights["input.weight"], weights["input.bias"])
    x = x.view(len(x), -1, rows, columns)
    for i in range(depth):
        x = F.leaky_relu(x, _SLOPE)
        x = F.conv2d(x, weights[f"layers.{i}.weight"], weights[f"layers.{i}.bias"], padding=1)
        if i % 2:
            x = F.interpolate(x, scale_factor=2)
    x = F.leaky_relu(x, _SLOPE)
    return _cut(F.conv2d(x, weights["output.weight"], weights["output.bias"], padding=1), size)


def _depth(weights: Mapping[str, Tensor]) -> int:
    return sum(name.startswith("layers.") and name.endswith(".weight") for name in weights)


def _cut(x: Tensor, size: tuple[int, int]) -> Tensor:
    """The middle of `x` (N, C, h, w) in `size`."""
    top, left = (x.shape[2] - size[0]) // 2, (x.shape[3] - size[1]) // 2
    return x[:, :, top : top + size[0], left : left + size[1]]


@dataclass(frozen=True)
class Generated:
    """Images made by a generator from codes and classes.

    Attributes:
        codes: float32 (S, code_length): as many as a class has images where classes share them, else one per image.
        weights: of the generator, see `GeneratorNetwork.folded`.
        embeddings: holds what stands for the classes, (classes, class_length); nothing steps it.
        counts: images that are generated for each class.
        size: (H, W).
        learned: names of leaves: "codes", and those of the weights.
        factor: beyond 1, an image is made of factor x factor tiles, which are enlarged: so many images to train on.
    """

    codes: Tensor
    weights: dict[str, Tensor]
    embeddings: nn.Embedding
    counts: Counts
    size: tuple[int, int]
    learned: frozenset[str]
    factor: int = 1

    @property
    def images(self) -> Tensor:
        labels = class_labels(self.counts, self.codes.device)
        return self.of_codes(own_codes(self.codes, self.counts), labels)

    @property
    def labels(self) -> Tensor:
        return class_labels(tiled(self.counts, self.factor), self.codes.device)

    def of_class(self, c: int) -> Tensor:
        before = sum(self.counts[:c])
        codes = own_codes(self.codes, self.counts)[before : before + self.counts[c]]
        return self.of_codes(codes, torch.full((len(codes),), c, device=codes.device))

    def of_codes(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Images (N * factor^2, C, H, W) of codes (N, code_length) and their classes (N,)."""
        images = generate(self.weights, codes, self.projected()[labels], self.size)
        return enlarged_tiles(images, self.factor)

    def projected(self) -> Tensor:
        """What the generator gets for each class, (classes, code_length)."""
        return F.linear(
            self.embeddings.weight, self.weights["projection.weight"], self.weights["projection.bias"]
        )

    def leaves(self) -> dict[str, Tensor]:
        named = {"codes": self.codes} | self.weights
        return {name: tensor for name, tensor in named.items() if name in self.learned}

    def tensors(self) -> dict[str, Tensor]:
        """What a file stores, by name, on the CPU."""
        with torch.no_grad():
            tensors = {"codes": self.codes, "classes": self.projected(), "counts": torch.tensor(self.counts)}
        tensors |= {name: t for name, t in self.weights.items() if not name.startswith("projection.")}
        tensors |= {"factor": torch.tensor(self.factor)} if self.factor > 1 else {}
        return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}

    def content(self) -> Content:
        tensors = self.tensors()
        images = _images(tensors, self.size)
        stored = {f"generator.{name}": tensor for name, tensor in tensors.items()}
        return Content(images, self.labels.cpu(), stored=stored)


def own_codes(codes: Tensor, counts: Counts) -> Tensor:
    """The code of each image, (sum of counts, code_length), where classes share codes or have their own."""
    if len(codes) == sum(counts):
        return codes
    return torch.cat([codes[:count] for count in counts])


def drawn_anew(synthetic: SyntheticSet, ipc: int | None, seed: int) -> SyntheticSet:
    """Another set of the same generator: `ipc` images are generated of each class, from fresh standard normal codes.

    None for as many as the set has of each. The record says so: it is no result of the method, whose images are those
    of the file, and what is known of those (accuracies, labels, loss) is left out.

    Raises:
        BadInput: the set stores no generator.
    """
    if "generator.codes" not in synthetic.stored:
        raise BadInput("the set stores its images themselves: only a generator can be drawn from anew")
    counts = synthetic.stored_counts if ipc is None else (ipc,) * synthetic.spec.num_classes
    length = synthetic.stored["generator.codes"].shape[1]
    codes = torch.randn(sum(counts), length, generator=Rng(seed).fork("drawn anew").torch())
    stored = {**synthetic.stored, "generator.codes": codes, "generator.counts": torch.tensor(counts)}
    images = decode_generator({name.partition(".")[2]: t for name, t in stored.items()}, synthetic.spec)
    was, per_class = synthetic.record, recorded(counts)
    record = {name: was[name] for name in ("fields", "network", "data") if name in was}
    record |= {
        "method": f"{was.get('method', 'set').removesuffix(_ANEW)}{_ANEW}",
        "ipc": per_class,
        "seed": seed,
    }
    record["drawn"] = {"ipc": per_class, "seed": seed}
    factor = int(stored.get("generator.factor", torch.tensor(1)))
    labels = class_labels(tiled(counts, factor), images.device)
    return SyntheticSet(images, labels, synthetic.spec, record, stored=stored)


def decode_generator(tensors: Mapping[str, Tensor], spec: ImageSpec) -> Tensor:
    """The images of a stored generator, float32 (M, C, H, W) in normalised space.

    Args:
        tensors: `codes`, `classes` (the projected ones), `counts`, folded weights, and `factor` where there are tiles.

    Raises:
        BadInput: a shape or type that does not fit the others or `spec`.
        KeyError: a tensor is missing.
    """
    shapes = _shapes(tensors, spec)
    _require_counts(tensors["counts"], len(tensors["codes"]), spec)
    for name, shape in shapes.items():
        if name not in tensors:
            raise KeyError(name)
        found = tensors[name]
        if found.dtype != torch.float32 or tuple(found.shape) != shape:
            raise BadInput(
                f"the generator's {name} must be float32 {shape}, not {found.dtype} {tuple(found.shape)}"
            )
    if unknown := sorted(set(tensors) - set(shapes) - {"counts", "factor"}):
        raise BadInput(f"the generator has the unknown tensor {unknown[0]!r:.40}")
    factor = tensors.get("factor", torch.tensor(1))
    if factor.dtype != torch.int64 or factor.ndim:
        raise BadInput("the generator's factor must be a single int64")
    require_factor(int(factor), spec.height, spec.width)
    return _images(tensors, (spec.height, spec.width))


def _require_counts(counts: Tensor, codes: int, spec: ImageSpec) -> None:
    if counts.dtype != torch.int64 or tuple(counts.shape) != (spec.num_classes,):
        raise BadInput(
            f"the generator's counts must be int64 ({spec.num_classes},), one for each class, not {counts.dtype} "
            f"{tuple(counts.shape)}"
        )
    images = [int(count) for count in counts]
    if min(images) < 0 or codes not in (max(images), sum(images)):
        raise BadInput(
            f"the generator's {codes} codes fit neither one class nor all of the counts {images}"[:200]
        )


def stored_shapes(
    spec: ImageSpec, *, codes: int, length: int, width: int, blocks: int
) -> dict[str, tuple[int, ...]]:
    """Shapes of the float32 tensors that stand in a file for `codes` codes of `length` and a generator, by name."""
    rows, columns = first_size(blocks, spec.height, spec.width)
    shapes: dict[str, tuple[int, ...]] = {
        "codes": (codes, length),
        "classes": (spec.num_classes, length),
        "input.weight": (width * rows * columns, 2 * length),
        "input.bias": (width * rows * columns,),
        "output.weight": (spec.channels, width, 3, 3),
        "output.bias": (spec.channels,),
    }
    for i in range(2 * blocks):
        shapes |= {f"layers.{i}.weight": (width, width, 3, 3), f"layers.{i}.bias": (width,)}
    return shapes


def _shapes(tensors: Mapping[str, Tensor], spec: ImageSpec) -> dict[str, tuple[int, ...]]:
    """What shapes the tensors must have, judging by codes and the output layer."""
    codes, output, depth = tensors["codes"], tensors["output.weight"], _depth(tensors)
    if codes.ndim != 2 or output.ndim != 4 or not depth or depth % 2:
        raise BadInput(
            "the generator's codes have two dimensions, its output layer has four, and its layers come in pairs, not "
            f"{codes.ndim}, {output.ndim} and {depth}"
        )
    require_blocks(depth // 2, spec.height, spec.width)
    count, length = codes.shape
    return stored_shapes(spec, codes=count, length=length, width=output.shape[1], blocks=depth // 2)


@torch.no_grad()
def _images(tensors: Mapping[str, Tensor], size: tuple[int, int]) -> Tensor:
    """The images of stored tensors, in passes of the same size wherever they are made."""
    counts = tuple(tensors["counts"].tolist())
    codes, classes = (
        own_codes(tensors["codes"], counts),
        tensors["classes"][class_labels(counts, tensors["codes"].device)],
    )
    parts = zip(codes.split(_PASS), classes.split(_PASS), strict=True)
    factor = int(tensors.get("factor", torch.tensor(1)))
    return torch.cat([enlarged_tiles(generate(tensors, part, of, size), factor) for part, of in parts])
