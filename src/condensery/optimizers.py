"""Optimisers that torch does not have, and those that it has, which start faster here."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeVar, cast

import torch
from torch import Tensor

from condensery.errors import BadInput

_Group = dict[str, Any]  # of tensors, with their constants
_Kind = TypeVar("_Kind", bound=type[torch.optim.Optimizer])


def _light(kind: _Kind) -> _Kind:
    """`kind`, without what torch wraps around its functions to keep its compiler out of them.

    That imports the compiler, which takes a second of processor time at the start of every command. These compute the
    same, and are not for networks whose training is compiled as a whole.
    """
    wrapped = ("add_param_group", "zero_grad", "state_dict", "load_state_dict", "step")
    plain: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in wrapped}
    plain["step"] = torch.no_grad()(plain["step"])
    return cast(_Kind, type(kind.__name__, (kind,), plain))


SGD, Adam, AdamW = _light(torch.optim.SGD), _light(torch.optim.Adam), _light(torch.optim.AdamW)


class _Moments(_light(torch.optim.Optimizer)):
    """Running means of the gradient and of a square, for each tensor, and a step made of them."""

    title: ClassVar[str]
    second: ClassVar[str]  # name of the second mean in the state
    eps: ClassVar[float]  # where no other is given

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float | None = None,
    ) -> None:
        eps = self.eps if eps is None else eps
        if not lr >= 0 or not eps > 0 or not all(0 <= beta < 1 for beta in betas):
            raise BadInput(
                f"{self.title} needs lr >= 0, betas in [0, 1) and eps > 0, not {lr}, {betas} and {eps}"
            )
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of every tensor that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for tensor in group["params"]:
                if tensor.grad is not None:
                    self._step(tensor, tensor.grad, group)
        return loss

    def _step(self, tensor: Tensor, gradient: Tensor, group: _Group) -> None:
        slots = cast(dict[str, Tensor], self.state[tensor])
        if not slots:
            slots["step"] = torch.zeros(())
            slots["exp_avg"], slots[self.second] = torch.zeros_like(tensor), torch.zeros_like(tensor)
        slots["step"] += 1
        mean = slots["exp_avg"].lerp_(gradient, 1 - group["betas"][0])
        self._update(tensor, gradient, mean, slots[self.second], float(slots["step"]), group)

    @abstractmethod
    def _update(self, x: Tensor, g: Tensor, mean: Tensor, second: Tensor, done: float, group: _Group) -> None:
        """Take the gradient `g` into `second`, in place, and move `x`, after `done` steps with this one."""


class Lamb(_Moments):
    """Adam's step, scaled for each tensor so that its length is `lr` times the length of the tensor.

    With g the gradient, m and v Adam's running means with bias correction and u = m / (sqrt(v) + eps), a tensor x
    becomes x - lr * (|x| / |u|) * u, where the fraction is 1 if either length is 0. No weight decay.

    Source: You et al., "Large Batch Optimization for Deep Learning", ICLR 2020, arXiv 1904.00962; constants and the
    rule for lengths of 0 are those of `optax.lamb`.

    Raises:
        BadInput: a constant out of range.
    """

    title, second, eps = "LAMB", "exp_avg_sq", 1e-6

    def _update(self, x: Tensor, g: Tensor, mean: Tensor, second: Tensor, done: float, group: _Group) -> None:
        beta1, beta2 = group["betas"]
        square = second.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        root = (square / (1 - beta2**done)).sqrt_().add_(group["eps"])
        update = (mean / (1 - beta1**done)).div_(root)
        lengths = x.norm(), update.norm()
        ratio = torch.where((lengths[0] > 0) & (lengths[1] > 0), lengths[0] / lengths[1], 1.0)
        x.sub_(group["lr"] * ratio * update)


class AdaBelief(_Moments):
    """Adam whose second moment is that of the gradient's distance from its running mean.

    With g the gradient, m its running mean and s that of (g - m)^2 + eps, both with bias correction, a tensor x becomes
    x - lr * m / (sqrt(s) + eps). No weight decay, no rectification.

    Source: Zhuang et al., "AdaBelief Optimizer", NeurIPS 2020, arXiv 2010.07468, algorithm 2.

    Raises:
        BadInput: a constant out of range.
    """

    title, second, eps = "AdaBelief", "exp_avg_var", 1e-16

    def _update(self, x: Tensor, g: Tensor, mean: Tensor, second: Tensor, done: float, group: _Group) -> None:
        beta1, beta2 = group["betas"]
        apart = g - mean
        spread = second.mul_(beta2).addcmul_(apart, apart, value=1 - beta2).add_(group["eps"])
        root = (spread / (1 - beta2**done)).sqrt_().add_(group["eps"])
        x.addcdiv_(mean / (1 - beta1**done), root, value=-group["lr"])
