"""The precision in which networks compute: float32, or bfloat16, which some processors multiply faster.

Compiled float32 is float32 that rounds elsewhere: what goes through a network without gradients does so through code
that torch makes of it, in which norm, activation and pooling are one pass over memory.

bfloat16 has the range of float32 and 8 bits of precision. A network that computes in it keeps its weights in float32,
takes images and gives outputs in float32, and convolves and multiplies in between as `torch.autocast` does. So losses,
distances, kernels, gradients of weights and optimisers are in float32 whatever a network computes in.
"""

from __future__ import annotations

import os
import shutil
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from condensery.errors import BadInput

FLOAT32, BFLOAT16, COMPILED = "float32", "bfloat16", "float32-compiled"
PRECISIONS = (FLOAT32, BFLOAT16)
WAYS = (*PRECISIONS, COMPILED)


def require_precision(name: str) -> None:
    """Raises BadInput for a precision that there is not."""
    if name not in WAYS:
        raise BadInput(f"unknown precision {name!r}; choose {', '.join(WAYS[:-1])} or {WAYS[-1]}")


def computing_in(network: nn.Module, precision: str) -> nn.Module:
    """`network` itself, whose `forward` and, if it has one, `embed` compute in `precision` from now on.

    Raises:
        BadInput: there is no compiler for compiled code.
    """
    if precision == BFLOAT16:
        network.__class__ = _in_bfloat16(type(network))
    if precision == COMPILED:
        _require_compiler()
        network.__class__ = _compiled(type(network))
    return network


def precision_of(network: nn.Module) -> str:
    """What `computing_in` has set, float32 where it was not asked."""
    if isinstance(network, _InBfloat16):
        return BFLOAT16
    return COMPILED if isinstance(network, _Compiled) else FLOAT32


def slow_note(precision: str, device: torch.device) -> str | None:
    """A line for people where this precision is not faster than float32; None where it is."""
    if precision != BFLOAT16 or _has_instructions(device):
        return None
    what = "this processor" if device.type == "cpu" else torch.cuda.get_device_name(device)
    return f"{what} has no instructions for {precision}: it works, and is slower than {FLOAT32}"


class _InBfloat16:
    """Of the classes of networks that compute in bfloat16."""


class _Compiled:
    """Of the classes of networks whose passes without gradients are compiled."""


def _require_compiler() -> None:
    if not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
        raise BadInput(
            f"--precision {COMPILED} needs a C++ compiler, g++ or clang++: install one, or leave that out"
        )


@cache
def _compiled(kind: type[nn.Module]) -> type[nn.Module]:
    """The class of networks that are `kind` but for passes without gradients, one piece of code for all of them."""
    found: Any = kind
    names = [name for name in ("forward", "embed") if callable(getattr(kind, name, None))]
    fast = {name: torch.compile(getattr(kind, name)) for name in names}

    def asked(name: str) -> Any:
        def ask(self: nn.Module, images: Tensor) -> Tensor:
            plain = torch.is_grad_enabled() or torch.compiler.is_compiling()
            return (getattr(found, name) if plain else fast[name])(self, images)

        return ask

    return type(kind.__name__, (found, _Compiled), {name: asked(name) for name in names})


@cache
def _in_bfloat16(kind: type[nn.Module]) -> type[nn.Module]:
    """The class of networks that are `kind` but for the precision of what they compute."""
    found: Any = kind

    class Lowered(found, _InBfloat16):
        def forward(self, images: Tensor) -> Tensor:
            return _lowered(super().forward, images)

    if callable(getattr(kind, "embed", None)):
        Lowered.embed = lambda self, images: _lowered(super(Lowered, self).embed, images)
    Lowered.__name__ = Lowered.__qualname__ = kind.__name__
    return Lowered


def _lowered(compute: Any, images: Tensor) -> Tensor:
    """What `compute` makes of `images` in bfloat16, as float32.

    Casts of weights are not cached: a cached one would belong to the graph of a pass before.
    """
    with torch.autocast(images.device.type, torch.bfloat16, cache_enabled=False):
        return compute(_channels_first(images)).float()


def _channels_first(images: Tensor) -> Tensor:
    """`images` (N, C, H, W) with strides that say so, also of one channel, where others are as contiguous.

    oneDNN takes a layout from the strides, and channels last in bfloat16 takes twice the time.
    """
    return images.contiguous().flatten(1).view(images.shape)


def _has_instructions(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
