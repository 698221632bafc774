"""Several networks of one architecture that are trained at once, as groups of one network.

The joint network has each parameter of the networks, one below the other along the first axis. Its convolutions and
group norms have as many times more groups; linear layers and first convolutions are computed one by one. Losses add,
so every network gets the gradients, and from the optimiser the steps, that it gets alone. ConvNets and LeNet keep
their bits on a CPU with AVX-512; elsewhere sums may round differently.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery.data import PoolImages
from condensery.matching.regression import fitted
from condensery.models.layers import AveragePool
from condensery.models.precision import FLOAT32
from condensery.models.registry import NetworkFactory
from condensery.records import ImageSpec
from condensery.rng import Rng
from condensery.training import Augment, Batch, Images, default_chunk, draws, follow, train, untrained
from condensery.training_recipe import OwnRecipe, Recipe, Regression

MOST = 20
"""Networks at once, as many as the published protocols train."""
CPU_BYTES = 128 << 20
"""What their passes on a CPU may keep for the gradient."""
GPU_SHARE = 0.25
"""The same on a GPU, as a share of its memory."""
FASTER_ON_CPU = ("convnet", "lenet")  # measured: benchmarks/README.md
# Channels. Groups of other numbers, and groups on one image, oneDNN convolves in another way, with other roundings.
_BLOCK = 16
_CHANGED = (nn.Conv2d, nn.GroupNorm, nn.Linear)
_SAME = (nn.ReLU, nn.LeakyReLU, nn.Sigmoid, nn.SiLU, nn.MaxPool2d, nn.AvgPool2d, AveragePool)


@dataclass(frozen=True)
class Job:
    """One classifier to make: of which images, how, and with which draws."""

    images: Images
    recipe: OwnRecipe
    rng: Rng


def train_all(
    factory: NetworkFactory,
    spec: ImageSpec,
    jobs: Sequence[Job],
    *,
    augment: Augment | None,
    device: torch.device,
    on_epoch: Callable[[int, int], None] | None = None,
) -> Iterator[nn.Module]:
    """A classifier for each job, in their order: solved, or trained as by `train_network`, as many at once as pays.

    Args:
        on_epoch: called after every epoch with how many networks are trained at once, and its number, from 0.
    """
    for (recipe, count), group in groupby(jobs, lambda job: (job.recipe, len(job.images))):
        alike = list(group)
        if isinstance(recipe, Regression):
            yield from (fitted(recipe, factory, spec, job.images, job.rng, device) for job in alike)
            continue
        whole = isinstance(alike[0].images, PoolImages)  # whose many steps were not measured at once
        single = whole or len(alike) == 1
        most = 1 if single else at_once(factory, spec, min(count, recipe.batch_size), device)
        for start in range(0, len(alike), most):
            part = alike[start : start + most]
            networks = [untrained(factory, spec, recipe, job.rng, device) for job in part]
            heard = None if on_epoch is None else partial(on_epoch, len(part))
            train_together(networks, part, recipe, augment=augment, device=device, on_epoch=heard)
            yield from networks


def at_once(factory: NetworkFactory, spec: ImageSpec, batch: int, device: torch.device) -> int:
    """How many networks are trained at once on batches of so many images; 1 where that does not work or pay."""
    on_cpu = device.type == "cpu"
    own = ":" in factory.kind  # of whose forward pass nothing is known
    if own or factory.precision != FLOAT32 or (on_cpu and factory.kind not in FASTER_ON_CPU):
        return 1
    network = factory.build(spec, Rng(0))
    if not all(isinstance(layer, _CHANGED + _SAME) for layer in network.modules() if _computes(layer)):
        return 1
    room = CPU_BYTES if on_cpu else GPU_SHARE * torch.cuda.get_device_properties(device).total_memory
    images = min(batch, default_chunk(device) or batch)
    return max(1, min(MOST, int(room / (images * _kept_bytes(network, spec)))))


def _computes(layer: nn.Module) -> bool:
    """Whether it does more than call its parts."""
    return not isinstance(layer, nn.Sequential) and next(layer.children(), None) is None


def _kept_bytes(network: nn.Module, spec: ImageSpec) -> int:
    """Bytes that the pass of one image keeps for the gradient, beside the parameters."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(torch.zeros(1, *spec.shape))
    own = {parameter.data_ptr() for parameter in network.parameters()}
    return sum(size for address, size in kept.items() if address not in own)


def train_together(
    networks: Sequence[nn.Module],
    jobs: Sequence[Job],
    recipe: Recipe,
    *,
    augment: Augment | None,
    device: torch.device,
    on_epoch: Callable[[int], None] | None = None,
) -> None:
    """`train` for several networks on `device` by the recipe of their jobs, which have as many images."""
    if len(jobs) == 1:
        images, rng = jobs[0].images, jobs[0].rng
        train(networks[0], images, recipe, rng, augment=augment, device=device, on_epoch=on_epoch)
        return
    joint = SideBySide(networks)
    of_each = [draws(job.images, recipe, job.rng.fork("training"), augment) for job in jobs]

    def of_all(epoch: int) -> Iterator[Batch]:
        for batches in zip(*(one(epoch) for one in of_each), strict=True):
            indices, images, labels = zip(*batches, strict=True)
            yield torch.stack(indices, 1), torch.stack(images, 1), torch.stack(labels, 1)

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return recipe.loss_function(logits.flatten(0, 1), labels.flatten(0, 1))

    follow(joint, recipe, len(jobs[0].images), of_all, loss, chunk=default_chunk(device), on_epoch=on_epoch)
    joint.hand_back()


class SideBySide(nn.Module):
    """R networks of one architecture as one: images (N, R, C, H, W), each network's own -> logits (N, R, classes)."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = list(networks)  # a list's modules are no parts of this one
        self.joint = copy.deepcopy(networks[0])
        for name, parameter in self.joint.named_parameters():
            parameter.data = torch.cat([network.get_parameter(name).detach() for network in networks])
        for layer in self.joint.modules():
            _widen(layer, len(networks))

    def forward(self, images: Tensor) -> Tensor:
        return self.joint(images.flatten(1, 2)).unflatten(1, (len(self.networks), -1))

    @torch.no_grad()
    def hand_back(self) -> None:
        """Give each network its parameters."""
        for name, parameter in self.joint.named_parameters():
            for network, part in zip(self.networks, parameter.chunk(len(self.networks)), strict=True):
                network.get_parameter(name).copy_(part)


def _widen(layer: Any, networks: int) -> None:
    """Let `layer`, whose parameters are those of so many networks, compute for all; none of ours has groups in it."""
    if isinstance(layer, nn.Conv2d):
        layer.__class__, layer.groups = _Convolutions, networks
    elif isinstance(layer, nn.GroupNorm):
        layer.num_groups *= networks
    elif isinstance(layer, nn.Linear):
        layer.__class__ = _Linears


class _Convolutions(nn.Conv2d):
    """(N, R * inputs, H, W) -> (N, R * outputs, h, w): in groups where that gives the bits of one by one on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        if len(input) > 1 and not (self.in_channels % _BLOCK or self.out_channels % _BLOCK):
            return super().forward(input)
        how: Any = self.stride, self.padding, self.dilation
        parts = _parts(self, input, self.groups)
        return torch.cat([F.conv2d(images, weight, bias, *how) for images, weight, bias in parts], 1)


class _Linears(nn.Linear):
    """(N, R * inputs) -> (N, R * outputs), network by network."""

    def forward(self, input: Tensor) -> Tensor:
        networks = input.shape[1] // self.in_features
        return torch.cat([F.linear(*part) for part in _parts(self, input, networks)], 1)


def _parts(
    layer: nn.Conv2d | nn.Linear, images: Tensor, networks: int
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """Images, weight and bias of each network."""
    bias = [None] * networks if layer.bias is None else layer.bias.chunk(networks)
    each = (part.contiguous() for part in images.chunk(networks, 1))
    return zip(each, layer.weight.chunk(networks), bias, strict=True)
