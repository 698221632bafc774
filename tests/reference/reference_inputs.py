"""Images and weights that anyone can make again: no generator involved."""

from __future__ import annotations

import math
from itertools import count

import torch
from torch import Tensor, nn


def double_wave(*shape: int, phase: float = 0.0) -> Tensor:
    """Values in -1..1 without a pattern that a network could see, in double precision."""
    k = torch.arange(math.prod(shape), dtype=torch.float64)
    return torch.sin((k * k % 997) * 0.37 + phase).view(shape)


def wave(*shape: int, phase: float = 0.0) -> Tensor:
    """The same in single precision."""
    return double_wave(*shape, phase=phase).float()


def double_filled(network: nn.Module, number: int = 0, about: float = 1.0) -> nn.Module:
    """The network with this number of those drawn: biases and norms about a value, weights scaled by their inputs."""
    network = network.double()
    with torch.no_grad():
        for i, parameter in enumerate(network.parameters()):
            values = double_wave(*parameter.shape, phase=1.0 + i + 10 * number)
            flat = parameter.ndim == 1
            parameter.copy_(about + 0.2 * values if flat else values / math.sqrt(parameter[0].numel()))
    return network


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
