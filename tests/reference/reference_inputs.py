"""Images and weights that anyone can make again: no generator involved."""

from __future__ import annotations

import math
from itertools import count

import torch
from torch import Tensor, nn


def wave(*shape: int, phase: float = 0.0) -> Tensor:
    """Values in -1..1 without a pattern that a network could see."""
    k = torch.arange(math.prod(shape), dtype=torch.float64)
    return torch.sin((k * k % 997) * 0.37 + phase).view(shape).float()


def fill(network: nn.Module) -> nn.Module:
    """Set every parameter, in order, to waves of its own phase, scaled as initialisers would."""
    with torch.no_grad():
        for parameter, phase in zip(network.parameters(), count(1)):
            if parameter.ndim == 1:
                parameter.copy_(1 + 0.2 * wave(len(parameter), phase=phase))
            else:
                fan_in = parameter[0].numel()
                parameter.copy_(wave(*parameter.shape, phase=phase) / math.sqrt(fan_in))
    return network


CHANNELS, SIZE, CLASSES, WIDTH, DEPTH = 3, 8, 3, 4, 2
IPC, REAL = 2, 5

NORMS = {"instance": "instancenorm", "layer": "layernorm", "group": "groupnorm", "none": "none"}
"""Our name of a norm and the authors'."""


def real_images(c: int) -> Tensor:
    return wave(REAL, CHANNELS, SIZE, SIZE, phase=10.0 + c) + 0.3 * c


def synthetic_images(c: int) -> Tensor:
    return wave(IPC, CHANNELS, SIZE, SIZE, phase=20.0 + c)
