"""Optimisers that torch does not have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor

from condensery.errors import BadInput


class Lamb(torch.optim.Optimizer):
    """Adam's step, scaled for each tensor so that its length is `lr` times the length of the tensor.

    With g the gradient, m and v Adam's running means with bias correction and u = m / (sqrt(v) + eps), a tensor x
    becomes x - lr * (|x| / |u|) * u, where the fraction is 1 if either length is 0. No weight decay.

    Source: You et al., "Large Batch Optimization for Deep Learning", ICLR 2020, arXiv 1904.00962; constants and the
    rule for lengths of 0 are those of `optax.lamb`.

    Raises:
        BadInput: a constant out of range.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
    ) -> None:
        if not lr >= 0 or not eps > 0 or not all(0 <= beta < 1 for beta in betas):
            raise BadInput(f"LAMB needs lr >= 0, betas in [0, 1) and eps > 0, not {lr}, {betas} and {eps}")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every tensor that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for tensor in group["params"]:
                if tensor.grad is not None:
                    self._update(tensor, tensor.grad, group)
        return loss

    def _update(self, tensor: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        slots = cast(dict[str, Tensor], self.state[tensor])
        if not slots:
            slots["step"] = torch.zeros(())
            slots["exp_avg"], slots["exp_avg_sq"] = torch.zeros_like(tensor), torch.zeros_like(tensor)
        slots["step"] += 1
        done, (beta1, beta2) = float(slots["step"]), group["betas"]
        mean = slots["exp_avg"].lerp_(gradient, 1 - beta1)
        square = slots["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        root = (square / (1 - beta2**done)).sqrt_().add_(group["eps"])
        update = (mean / (1 - beta1**done)).div_(root)
        lengths = tensor.norm(), update.norm()
        ratio = torch.where((lengths[0] > 0) & (lengths[1] > 0), lengths[0] / lengths[1], 1.0)
        tensor.sub_(group["lr"] * ratio * update)


class AdaBelief(torch.optim.Optimizer):
    """Adam whose second moment is that of the gradient's distance from its running mean.

    With g the gradient, m its running mean and s that of (g - m)^2 + eps, both with bias correction, a tensor x becomes
    x - lr * m / (sqrt(s) + eps). No weight decay, no rectification.

    Source: Zhuang et al., "AdaBelief Optimizer", NeurIPS 2020, arXiv 2010.07468, algorithm 2.

    Raises:
        BadInput: a constant out of range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-16,
    ) -> None:
        if not lr >= 0 or not eps > 0 or not all(0 <= beta < 1 for beta in betas):
            raise BadInput(
                f"AdaBelief needs lr >= 0, betas in [0, 1) and eps > 0, not {lr}, {betas} and {eps}"
            )
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every tensor that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for tensor in group["params"]:
                if tensor.grad is not None:
                    self._update(tensor, tensor.grad, group)
        return loss

    def _update(self, tensor: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        slots = cast(dict[str, Tensor], self.state[tensor])
        if not slots:
            slots["step"] = torch.zeros(())
            slots["exp_avg"], slots["exp_avg_var"] = torch.zeros_like(tensor), torch.zeros_like(tensor)
        slots["step"] += 1
        done, (beta1, beta2) = float(slots["step"]), group["betas"]
        mean = slots["exp_avg"].lerp_(gradient, 1 - beta1)
        apart = gradient - mean
        spread = slots["exp_avg_var"].mul_(beta2).addcmul_(apart, apart, value=1 - beta2).add_(group["eps"])
        root = (spread / (1 - beta2**done)).sqrt_().add_(group["eps"])
        tensor.addcdiv_(mean / (1 - beta1**done), root, value=-group["lr"])
