"""The exchangeable parts of the networks: norms, activations, poolings, and how sizes are derived."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, assert_never

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from condensery.errors import BadInput

Norm = Literal["none", "batch", "layer", "instance", "group"]
Activation = Literal["sigmoid", "relu", "leakyrelu", "swish"]
Pooling = Literal["none", "max", "avg"]

_WORTHWHILE = 2**15  # numbers to pool; with fewer, calling oneDNN takes longer than pooling
GROUPS = 4  # of the "group" norm, as in the DC authors' networks


class LinearHead(nn.Module):
    """A network whose features go through one linear layer. Its kinds set both."""

    features: nn.Module
    head: nn.Linear

    def embed(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> flattened features (N, D), the input of the head."""
        return self.features(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, num_classes)."""
        return self.head(self.embed(x))


def make_norm(kind: Norm, shape: tuple[int, int, int]) -> list[nn.Module]:
    """The norm layer for features of `shape` (channels, height, width), with affine weights; [] for "none".

    "instance" is a GroupNorm of one channel per group (the same in training and evaluation),
    "group" has 4 groups, "layer" normalises and weighs every (channel, row, column).
    """
    channels = shape[0]
    match kind:
        case "none":
            return []
        case "batch":
            return [nn.BatchNorm2d(channels)]
        case "layer":
            return [nn.LayerNorm(list(shape))]
        case "instance":
            return [nn.GroupNorm(channels, channels)]
        case "group":
            if channels % GROUPS:
                raise BadInput(f"norm=group needs a width divisible by {GROUPS}, not {channels}")
            return [nn.GroupNorm(GROUPS, channels)]
        case _:
            assert_never(kind)


def make_activation(kind: Activation) -> nn.Module:
    """The activation called `kind`; "swish" is x * sigmoid(x), "leakyrelu" has slope 0.01."""
    match kind:
        case "sigmoid":
            return nn.Sigmoid()
        case "relu":
            return nn.ReLU()
        case "leakyrelu":
            return nn.LeakyReLU(0.01)
        case "swish":
            return nn.SiLU()
        case _:
            assert_never(kind)


def make_pooling(kind: Pooling) -> list[nn.Module]:
    """2x2 pooling with stride 2; [] for "none"."""
    match kind:
        case "none":
            return []
        case "max":
            return [nn.MaxPool2d(2)]
        case "avg":
            return [AveragePool(2)]
        case _:
            assert_never(kind)


class AveragePool(nn.AvgPool2d):
    """Average pooling without overlap; the same numbers as torch's, in half the time on a CPU.

    There it is a convolution of each channel by itself: oneDNN's kernels for that use the processor's vectors,
    torch's for pooling do not. Measured for 2x2 in float32 and bfloat16, forward and backward; channels last gains
    nothing.
    """

    def __init__(self, side: int) -> None:
        super().__init__(side)
        self.side = side

    def forward(self, input: Tensor) -> Tensor:  # torch's own name for it
        vectors = input.device.type == "cpu" and input.is_contiguous() and input.numel() >= _WORTHWHILE
        exact = input.dtype == torch.float32 or (
            input.dtype == torch.bfloat16 and self.side == 2
        )  # weights of 1/4
        if not (vectors and exact and torch.backends.mkldnn.is_available()):
            return super().forward(input)
        return _Pooled.apply(input, self.side)


class _Pooled(torch.autograd.Function):
    """Averages of squares of pixels by oneDNN; for second derivatives with torch's gradient, which is faster there."""

    generate_vmap_rule = True

    @staticmethod
    def forward(images: Tensor, side: int) -> Tensor:
        return F.conv2d(images, _averages(images, side), stride=side, groups=images.shape[1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        images, ctx.side = inputs
        ctx.save_for_backward(images)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (images,), sides = ctx.saved_tensors, [ctx.side] * 2
        if torch.is_grad_enabled():
            how = (sides, sides, [0, 0], False, True, None)
            return torch.ops.aten.avg_pool2d_backward(gradient, images, *how), None
        if gradient.dtype == torch.bfloat16:
            return _spread(gradient / ctx.side**2, ctx.side, images.shape[-2:]), None
        how = (None, sides, [0, 0], [1, 1], False, [0, 0], images.shape[1], [True, False, False])
        weight = _averages(images, ctx.side)
        return torch.ops.aten.convolution_backward(gradient, images, weight, *how)[0], None


def _spread(values: Tensor, side: int, size: Sequence[int]) -> Tensor:
    """(N, C, h, w) -> (N, C, *size), each value in a square and 0 beyond; in bfloat16 faster than a convolution."""
    n, channels, height, width = values.shape
    squares = values.new_empty(n, channels, height, side, width, side)
    first = squares[:, :, :, 0]
    for column in range(side):
        first[..., column] = values
    squares[:, :, :, 1:] = first[:, :, :, None]
    down, right = size[0] - height * side, size[1] - width * side
    spread = squares.view(n, channels, height * side, width * side)
    return F.pad(spread, (0, right, 0, down)) if down or right else spread


def _averages(images: Tensor, side: int) -> Tensor:
    """The weights of a convolution of each channel by itself that averages."""
    return images.new_full((1, 1, 1, 1), 1 / side**2).expand(images.shape[1], 1, side, side)


def extra_padding(image_size: tuple[int, int], at_least: int, extra: int = 0) -> tuple[int, int]:
    """Padding per side and axis, at least `extra`, that brings an image to `at_least` pixels or more."""
    height, width = image_size
    return max(extra, -((height - at_least) // 2)), max(extra, -((width - at_least) // 2))


def count_features(features: nn.Module, channels: int, image_size: tuple[int, int]) -> int:
    """How many numbers `features` makes of one image, without computing them."""
    tensors = {**dict(features.named_parameters()), **dict(features.named_buffers())}
    shapes_only = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    image = torch.empty(1, channels, *image_size, device="meta")
    return functional_call(features, shapes_only, (image,)).numel()


def stack(*parts: nn.Module | Sequence[nn.Module]) -> nn.Sequential:
    """One Sequential of modules and lists of modules."""
    flat: list[nn.Module] = []
    for part in parts:
        flat.extend([part] if isinstance(part, nn.Module) else part)
    return nn.Sequential(*flat)
