"""DM, DC, DSA and DCC written down plainly, to check condensery against and to measure it against.

Algorithms 1 to 3 of Bo Zhao's thesis (DC: arXiv 2006.05929, DSA: arXiv 2102.08259, DM: arXiv 2110.04181) and equation
10 of Lee et al., "Dataset Condensation with Contrastive Signals" (DCC), ICML 2022, arXiv 2202.02916, as one would type
them in from the page: default torch layers, NCHW, every batch in one pass, the losses of all classes summed before one
backward pass. Nothing is random in here: whatever is drawn comes in as a `Draw`, so that condensery can be given the
same. Nothing of condensery is imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Transform = tuple[str, Mapping[str, Tensor]]
"""A group of operations and its parameters: one value shared by all images, or one per image."""

IDENTITY: Transform = ("none", {})


class PlainConvNet(nn.Module):
    """Blocks of 3x3 convolution, instance norm, ReLU and average pooling; grey images are padded to 4 more."""

    def __init__(self, channels: int, size: int, num_classes: int, width: int = 128, depth: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        side = size + 4 if channels == 1 else size
        for block in range(depth):
            first_padding = 3 if channels == 1 and block == 0 else 1
            layers.append(nn.Conv2d(channels if block == 0 else width, width, 3, padding=first_padding))
            layers += [nn.GroupNorm(width, width), nn.ReLU(), nn.AvgPool2d(2)]
            side //= 2
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(width * side * side, num_classes)

    def embed(self, x: Tensor) -> Tensor:
        return self.features(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x))


@dataclass(frozen=True)
class Draw:
    """Everything that one update of the images draws at random.

    Attributes:
        real: for each class, a batch of real images (B, C, H, W).
        transforms: for each class, what is done to its real and synthetic images alike.
        network: the network of this update, or None to keep the last one.
        training: for each step of network training after the update, the images' indices and the transform.
    """

    real: Sequence[Tensor]
    transforms: Sequence[Transform]
    network: nn.Module | None = None
    training: Sequence[tuple[Tensor, Transform]] = field(default_factory=tuple)


def condense_dm(images: Tensor, draws: Iterable[Draw], lr: float = 1.0, momentum: float = 0.5) -> list[float]:
    """Algorithm 3. Changes `images` (class-major, as many for each class) in place; returns the losses."""
    optimizer = torch.optim.SGD([images], lr, momentum)
    losses = []
    for draw in draws:
        assert draw.network is not None
        losses.append(dm_step(draw.network, images, optimizer, draw))
    return losses


def dm_step(network: nn.Module, images: Tensor, optimizer: torch.optim.Optimizer, draw: Draw) -> float:
    """One update: squared distance of the class means of embeddings, summed over classes."""
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    loss = torch.zeros(())
    for real, synthetic in _pairs(images, draw):
        real_mean = network.embed(real).mean(0)
        synthetic_mean = network.embed(synthetic).mean(0)
        loss = loss + ((real_mean - synthetic_mean) ** 2).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def condense_by_gradients(
    images: Tensor,
    draws: Iterable[Draw],
    lr: float = 0.1,
    momentum: float = 0.5,
    network_lr: float = 0.01,
    contrastive: bool = False,
) -> list[float]:
    """Algorithms 1 and 2, or DCC without its warm-up. Changes `images` in place; returns the losses."""
    update = contrastive_step if contrastive else matching_step
    optimizer = torch.optim.SGD([images], lr, momentum)
    network: nn.Module | None = None
    losses = []
    for draw in draws:
        network = draw.network or network
        assert network is not None
        labels = torch.arange(len(draw.real)).repeat_interleave(len(images) // len(draw.real))
        losses.append(update(network, images, optimizer, draw))
        network_optimizer = torch.optim.SGD(network.parameters(), network_lr)
        for indices, transform in draw.training:
            batch = apply(images.detach()[indices], transform)
            training_step(network, network_optimizer, batch, labels[indices])
    return losses


def matching_step(network: nn.Module, images: Tensor, optimizer: torch.optim.Optimizer, draw: Draw) -> float:
    """One update: distance of the gradients of real and synthetic images of a class, summed over classes."""
    parameters = list(network.parameters())
    loss = torch.zeros(())
    for c, (real, synthetic) in enumerate(_pairs(images, draw)):
        real_loss = F.cross_entropy(network(real), _class(c, real))
        real_gradient = [g.detach() for g in torch.autograd.grad(real_loss, parameters)]
        loss_ = F.cross_entropy(network(synthetic), _class(c, synthetic))
        gradient = torch.autograd.grad(loss_, parameters, create_graph=True)
        loss = loss + fast_distance(gradient, real_gradient)
    optimizer.zero_grad()
    loss.backward(inputs=[images])
    optimizer.step()
    return loss.item()


def contrastive_step(
    network: nn.Module, images: Tensor, optimizer: torch.optim.Optimizer, draw: Draw
) -> float:
    """One update of DCC: distance of the gradients of the mean losses over all classes, which are equally large."""
    parameters = list(network.parameters())
    pairs = list(_pairs(images, draw))
    real_labels = torch.cat([_class(c, real) for c, (real, _) in enumerate(pairs)])
    labels = torch.cat([_class(c, synthetic) for c, (_, synthetic) in enumerate(pairs)])
    real_loss = F.cross_entropy(network(torch.cat([real for real, _ in pairs])), real_labels)
    real_gradient = [g.detach() for g in torch.autograd.grad(real_loss, parameters)]
    loss_ = F.cross_entropy(network(torch.cat([synthetic for _, synthetic in pairs])), labels)
    loss = fast_distance(torch.autograd.grad(loss_, parameters, create_graph=True), real_gradient)
    optimizer.zero_grad()
    loss.backward(inputs=[images])
    optimizer.step()
    return loss.item()


def distance(synthetic: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """1 - cosine of every output node's weights, summed over nodes and layers (equation 3.10)."""
    total = torch.zeros(())
    for s, r in zip(synthetic, real, strict=True):
        if s.dim() == 1:  # biases and affine weights are left out
            continue
        for row_s, row_r in zip(s.reshape(len(s), -1), r.reshape(len(r), -1), strict=True):
            total = total + 1 - (row_s @ row_r) / (row_s.norm() * row_r.norm() + 1e-6)
    return total


def fast_distance(synthetic: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """The same without the loop over rows, as any implementation would write it; used for timing."""
    total = torch.zeros(())
    for s, r in zip(synthetic, real, strict=True):
        if s.dim() > 1:
            s, r = s.reshape(len(s), -1), r.reshape(len(r), -1)
            total = total + (1 - (s * r).sum(1) / (s.norm(dim=1) * r.norm(dim=1) + 1e-6)).sum()
    return total


def training_step(
    network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> None:
    """One step on the mean cross entropy."""
    optimizer.zero_grad()
    F.cross_entropy(network(images), labels).backward()
    optimizer.step()


@torch.no_grad()
def count_correct(network: nn.Module, images: Tensor, labels: Tensor) -> int:
    network.eval()
    return int((network(images).argmax(1) == labels).sum())


def _class(c: int, images: Tensor) -> Tensor:
    return torch.full((len(images),), c, device=images.device)


def _pairs(images: Tensor, draw: Draw) -> Iterable[tuple[Tensor, Tensor]]:
    """For each class, its real and its synthetic images, transformed alike."""
    ipc = len(images) // len(draw.real)
    for c, (real, transform) in enumerate(zip(draw.real, draw.transforms, strict=True)):
        yield apply(real, transform), apply(images[c * ipc : (c + 1) * ipc], transform)


# ---- the six transformations, image by image


def apply(images: Tensor, transform: Transform) -> Tensor:
    """`images` (N, C, H, W) under a transform whose parameters are shared or one per image."""
    group, values = transform
    if group == "none":
        return images
    results = []
    for i, image in enumerate(images):
        own = {name: v[i if len(v) > 1 else 0].item() for name, v in values.items()}
        results.append(_OPERATIONS[group](image, own))
    return torch.stack(results)


def _color(image: Tensor, p: Mapping[str, float]) -> Tensor:
    image = image + p["brightness"]
    if len(image) > 1:
        grey = image.mean(0)
        image = grey + (image - grey) * p["saturation"]
    mean = image.mean()
    return mean + (image - mean) * p["contrast"]


def _crop(image: Tensor, p: Mapping[str, float]) -> Tensor:
    height, width = image.shape[1:]
    wide = F.pad(image, (width, width, height, height))
    top, left = height + int(p["rows"]), width + int(p["columns"])
    return wide[:, top : top + height, left : left + width]


def _cutout(image: Tensor, p: Mapping[str, float]) -> Tensor:
    height, width = image.shape[1:]
    tall, wide = int(height * 0.5 + 0.5), int(width * 0.5 + 0.5)
    top, left = int(p["rows"]) - tall // 2, int(p["columns"]) - wide // 2
    keep = torch.ones_like(image)
    keep[:, max(top, 0) : max(top + tall, 0), max(left, 0) : max(left + wide, 0)] = 0
    return image * keep


def _flip(image: Tensor, p: Mapping[str, float]) -> Tensor:
    return image.flip(2) if p["mirrored"] else image


def _scale(image: Tensor, p: Mapping[str, float]) -> Tensor:
    return _warp(image, [[p["x"], 0.0, 0.0], [0.0, p["y"], 0.0]])


def _rotate(image: Tensor, p: Mapping[str, float]) -> Tensor:
    angle = torch.deg2rad(torch.tensor(p["degrees"]))
    cos, sin = float(angle.cos()), float(angle.sin())
    return _warp(image, [[cos, -sin, 0.0], [sin, cos, 0.0]])


def _warp(image: Tensor, matrix: list[list[float]]) -> Tensor:
    grid = F.affine_grid(torch.tensor([matrix], device=image.device), [1, *image.shape], align_corners=True)
    return F.grid_sample(image[None], grid, align_corners=True)[0]


_OPERATIONS = {
    "color": _color,
    "crop": _crop,
    "cutout": _cutout,
    "flip": _flip,
    "scale": _scale,
    "rotate": _rotate,
}
