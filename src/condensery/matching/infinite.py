"""Kernels of infinitely wide fully connected networks with ReLU, in closed form.

NNGP is the covariance of the outputs of random networks, NTK the inner product of their gradients by all parameters.
Networks have weights of variance 2 / inputs and biases of variance 0.01, in the NTK parameterisation.

Source: Cho & Saul, "Kernel Methods for Deep Learning", NeurIPS 2009 (arc-cosine kernels of degree 0 and 1); Lee et al.,
ICLR 2018 (NNGP); Jacot et al., NeurIPS 2018 (NTK); constants as in Nguyen et al., KIP, ICLR 2021.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

KERNELS = ("ntk", "nngp")
WEIGHT, BIAS = 2.0, 0.01  # variances
_LEAST_SINE = (
    1e-6  # below it two images count as parallel: the angle has no derivative there, and none is needed
)


def fully_connected_kernel(one: Tensor, other: Tensor, kernel: str = "ntk", depth: int = 1) -> Tensor:
    """The kernel between images, once differentiable.

    Args:
        one: (n, D), flattened images.
        other: (m, D).
        kernel: one of `KERNELS`.
        depth: hidden layers, 1 or more.

    Returns:
        (n, m), in the precision of the images.
    """
    between = WEIGHT * one @ other.T / one.shape[1] + BIAS
    squares = [
        WEIGHT * x.square().mean(1) + BIAS for x in (one, other)
    ]  # the kernel of each image with itself
    tangent = between
    for _ in range(depth):
        lengths = squares[0].sqrt()[:, None] * squares[1].sqrt()[None, :]
        cosine = (between / lengths).clamp(-1, 1)
        between = WEIGHT * lengths * _Degree1.apply(cosine) / 2 + BIAS
        tangent = between + WEIGHT * tangent * _Degree0.apply(cosine) / 2
        squares = [WEIGHT * square / 2 + BIAS for square in squares]
    return tangent if kernel == "ntk" else between


class _Degree0(torch.autograd.Function):
    """1 - angle / pi: twice the probability that both of two Gaussian variables with this correlation are positive."""

    @staticmethod
    def forward(ctx: Any, cosine: Tensor) -> Tensor:
        ctx.save_for_backward(cosine)
        return 1 - cosine.arccos() / math.pi

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> Tensor:
        (cosine,) = ctx.saved_tensors
        sine = (1 - cosine.square()).clamp(min=0).sqrt()
        return torch.where(sine > _LEAST_SINE, outputs[0] / (math.pi * sine.clamp(min=_LEAST_SINE)), 0.0)


class _Degree1(torch.autograd.Function):
    """(sin + (pi - angle) cos) / pi: twice the mean product of their positive parts; its derivative is degree 0."""

    @staticmethod
    def forward(ctx: Any, cosine: Tensor) -> Tensor:
        angle = cosine.arccos()
        ctx.save_for_backward(angle)
        return (angle.sin() + (math.pi - angle) * cosine) / math.pi

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> Tensor:
        (angle,) = ctx.saved_tensors
        return outputs[0] * (1 - angle / math.pi)
