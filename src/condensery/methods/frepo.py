"""FRePo: neural feature regression with a pool of networks.

Yongchao Zhou, Ehsan Nezhadarya and Jimmy Ba, "Dataset Distillation using Neural Feature Regression", NeurIPS 2022,
arXiv 2206.00719; constants that the paper leaves out are those of the authors' code (yongchaoz/FRePo, 43e028a).

The loss is 1/(2B) sum_i |psi(X_i) F' (F F' + lambda tr(F F')/n I)^-1 Y - y_i|^2 and `missing_margin`. F are the
features psi of the n synthetic images with labels Y, X are B real images with y of 1 - 1/C at the class, -1/C beside.
The images move by LAMB: a step of Adam (0.9, 0.999, epsilon 1e-6), scaled for each tensor to the rate times the
tensor's length. The rate falls to a tenth in half a cosine wave over all steps. The networks of the pool have ages 0,
10, ..., 90 at first.

Fields: the authors' README gives iterations and mirror (`auto` gives their settings: CIFAR-10 always, CIFAR-100 and
TinyImageNet at 1 per class, MNIST never); their code all others, of which network_init `lecun` is flax's. Ours: factor
(the tiles of IDC).

Differences from the paper and from the authors' code:

1. Whitening. They whiten colour images (ZCA). So does --whitening zca, which the preset `paper` sets for CIFAR. Their
   whitening of 128-pixel images in blocks is not offered.
2. Network. Theirs has 128, 256, 512 filters and batch norm at the beginning of the second and third block;
   convnet+growth=2+norm=batch has their filters, with batch norm after each convolution.
3. No norm in evaluation. They evaluate without any norm: --networks convnet+norm=none.
4. Initial weights in evaluation. Theirs are LeCun-normal, ours torch's.
5. Augmentation in evaluation. Theirs: jitter 0.25, holes of a quarter of the side, zoom 0.8 to 1.25. Ours is that of
   DSA. Expected: stronger, which costs accuracy at few steps.
6. Which accuracy. They keep running means of weights and the checkpoint of best test accuracy, we the last.
7. Real batches. They go through shuffled data; we draw 1,024 anew for each step.
8. Mirroring. They switch it by hand. `auto` mirrors Fashion-MNIST, which they do not.
9. Margin. They add -min(greatest - second, 1 / classes) of a label: the same gradient.
10. Fixed labels are centred classes, not divided by the root of classes / 10.
11. Precision. They compute in single precision.
12. First network. They begin with the first of the pool, we with a random one.
13. Optimiser. Adam, their alternative to LAMB, is not offered.
14. Steps of the evaluation. 1,000 for 10 images in all, 2,000 for 100, 20,000 for 200, 5,000 for 400 and 500, 10,000
   for 1,000, 40,000 for 2,000 and 5,000, as theirs. Other numbers take the nearest by ratio.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from condensery.augment.siamese import default_strategy
from condensery.errors import BadInput
from condensery.matching.kernels import IllConditioned, centred, ridge_predictions
from condensery.matching.moments import Embedding
from condensery.method import State, Task
from condensery.models.batch_norm import batch_norms
from condensery.models.custom import trainable
from condensery.optimizers import Adam, Lamb
from condensery.rng import Rng
from condensery.training import train_step
from condensery.training_recipe import Recipe, squared_error

FLOOR = 0.1  # the last learning rate of the images, as a share of the first
MIRRORED = 500  # prototypes up to which "auto" mirrors: so all published settings come out
BATCH_NORM_MOMENTUM = 0.9  # share of the newest batch in the statistics, in torch's sense

EVALUATION_STEPS = {
    10: 1000,
    100: 2000,
    200: 20_000,
    400: 5000,
    500: 5000,
    1000: 10_000,
    2000: 40_000,
    5000: 40_000,
}
"""prototypes -> optimiser steps of a network that is trained on them"""
EVALUATION_BATCH, EVALUATION_WARMUP = 500, 500  # prototypes; steps


@dataclass(frozen=True)
class FRePo:
    """Learn images and labels on which a linear model of a network's features predicts real images."""

    name: ClassVar[str] = "frepo"
    summary: ClassVar[str] = "neural feature regression with a pool of networks (Zhou et al., 2022)"
    scheduled: ClassVar[bool] = True
    splits: ClassVar[str] = "passes"

    iterations: int = 500_000
    """updates of the images and their labels"""
    real_batch: int = 1024
    """real images per step, of all classes together"""
    image_lr: float = 3e-4
    """LAMB's learning rate of images and labels at first; it falls to a tenth by the last step"""
    init: str = "real"
    """start from "real" images, those nearest to means of "clusters", "noise", or another set, by its file"""
    factor: int = 1
    """tiles along each side of a stored image, enlarged before use: 2 trains on four images for the bytes of one"""
    labels: str = "learned"
    """"learned" with the images, or "fixed": the classes"""
    mirror: str = "auto"
    """mirrored images beside the images: "yes", "no", or "auto" (yes up to 500 images; not for digits)"""
    ridge: float = 1e-6
    """of the regression, as a share of the mean diagonal of the kernel"""
    pool_size: int = 10
    """networks in training at the same time, at staggered ages"""
    network_updates: int = 100
    """updates after which a network of the pool is drawn anew"""
    network_lr: float = 3e-4
    """learning rate of Adam, which trains the networks"""
    network_batch: int = 1000
    """synthetic images per update of a network"""
    network_init: str = "lecun"
    """initial weights of the networks: "lecun" (normal, the paper's) or "default" (torch's)"""

    def steps(self, ipc: int) -> int:
        return self.iterations

    def check(self, task: Task) -> list[str]:
        notes = task.start_notes(self.init, self.factor, learns_labels=self.labels == "learned")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise BadInput(f"unknown {name} {getattr(self, name)!r}; choose one of {', '.join(choices)}")
        if not task.network.has_embedding(task.spec):
            raise BadInput(
                f"frepo regresses on embeddings and {task.network.name} has none: "
                "choose a network with embed(), such as convnet"
            )
        beside = "mirrored images beside the images" if self._mirrors(task) else "no mirrored images"
        notes += [
            f"labels {self.labels}; {beside}",
            f"the learning rate falls from {self.image_lr:g} to {FLOOR * self.image_lr:g} over the "
            f"{self._total(task):,} steps of this run",
        ]
        # A step of LAMB has the length of its rate, whose mean is (1 + FLOOR) / 2 of the first one.
        reach = (1 + FLOOR) / 2 * self.image_lr * self._total(task)
        if reach < 1:
            notes.append(
                f"in so few steps images and labels move by about {100 * reach:.2g} % of their length at most: "
                "a higher --image-lr lets them move further"
            )
        return notes

    def start(self, task: Task, rng: Rng) -> State:
        synthetic = task.start_images(self.init, self.factor, rng.fork("images"))
        classes, training = synthetic.labels, own_training(len(synthetic.labels), task.spec.flip)
        targets = None
        if self.labels == "learned":
            scale = math.sqrt(task.spec.num_classes / 10)
            targets = centred(classes, task.spec.num_classes, torch.float32) / scale
            if task.start and task.start.targets is not None:
                targets = task.start.targets.to(task.device).clone()
            targets.requires_grad_()
        synthetic = replace(synthetic, targets=targets, training=training)
        networks = {str(i): self._new_network(task, rng.fork("network", i)) for i in range(self.pool_size)}
        ages = torch.arange(self.pool_size) * (self.network_updates // self.pool_size)
        return State(
            synthetic,
            {"synthetic": Lamb(synthetic.leaves().values(), self.image_lr)}
            | {name: self._new_optimizer(network) for name, network in networks.items()},
            networks,
            {"ages": ages, "current": self._drawn(rng)},
        )

    def terms(self, task: Task, state: State, rng: Rng) -> Iterator[Tensor]:
        for group in state.optimizers["synthetic"].param_groups:
            group["lr"] = self._rate(state.step, self._total(task))
        network = state.networks[_current(state)].eval().requires_grad_(False)
        embed = cast(Embedding, network.embed)
        real, labels = task.real_batch(self.real_batch, rng)
        with torch.no_grad():
            real_features = task.team.features(embed, task.forward_only(real), task.chunk)  # (B, D)
        images, targets = state.synthetic.images, _targets(state, task)
        if self._mirrors(task):
            images, targets = torch.cat([images, images.flip(3)]), torch.cat([targets, targets])
        features = task.team.features(embed, images, task.chunk)  # (n, D)
        try:
            predicted = ridge_predictions(features, targets, real_features, self.ridge)
        except IllConditioned as error:
            raise IllConditioned(
                f"step {state.step}: {error}; use more than --ridge {self.ridge:g} or less than --image-lr "
                f"{self.image_lr:g}"
            ) from error
        yield squared_error(predicted, labels) / len(labels) + missing_margin(_targets(state, task))

    def advance(self, task: Task, state: State, rng: Rng) -> State:
        name, ages = _current(state), state.memory["ages"].clone()
        networks, optimizers = dict(state.networks), dict(state.optimizers)
        if ages[int(name)] > self.network_updates:
            networks[name] = self._new_network(task, rng.fork("network"))
            optimizers[name] = self._new_optimizer(networks[name])
            ages[int(name)] = 0
        else:
            self._train(task, state, networks[name], optimizers[name], rng)
            ages[int(name)] += 1
        memory = {"ages": ages, "current": self._drawn(rng)}
        return replace(state.next(memory=memory), networks=networks, optimizers=optimizers)

    def _train(
        self, task: Task, state: State, network: nn.Module, optimizer: torch.optim.Optimizer, rng: Rng
    ) -> None:
        """One update of a network on the synthetic set."""
        images, targets = state.synthetic.images.detach(), _targets(state, task).detach()
        order = torch.randperm(len(images), generator=rng.fork("synthetic batch").torch())
        batch = order[: self.network_batch].to(task.device)
        network.train().requires_grad_(True)
        train_step(network, optimizer, images[batch], targets[batch], task.chunk, squared_error)

    def _new_network(self, task: Task, rng: Rng) -> nn.Module:
        network = task.new_network(rng)
        if self.network_init == "lecun":
            lecun_normal(network, rng.fork("weights"))
        for layer in batch_norms(network):
            layer.momentum = BATCH_NORM_MOMENTUM  # type: ignore[assignment]
        return network

    def _new_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        return Adam(trainable(network), self.network_lr)

    def _drawn(self, rng: Rng) -> Tensor:
        """Number of the network of the next step, int64 ()."""
        return torch.randint(self.pool_size, (), generator=rng.fork("which network").torch())

    def _mirrors(self, task: Task) -> bool:
        prototypes = sum(task.counts) * self.factor**2
        return self.mirror == "yes" or (self.mirror == "auto" and task.spec.flip and prototypes <= MIRRORED)

    def _total(self, task: Task) -> int:
        return task.steps or self.steps(task.ipc)

    def _rate(self, step: int, steps: int) -> float:
        """The learning rate of the images: half a wave from `image_lr` down to a tenth of it."""
        return Recipe(1, self.image_lr, schedule="cosine", floor=FLOOR).rate(min(step, steps), steps)


_CHOICES = {
    "labels": ("learned", "fixed"),
    "mirror": ("auto", "yes", "no"),
    "network_init": ("lecun", "default"),
}


def missing_margin(targets: Tensor) -> Tensor:
    """By how much the greatest value of a label exceeds the second by less than 1 / classes: the mean over labels.

    The authors' term is -min(greatest - second, 1 / classes), which is this less 1 / classes.

    Args:
        targets: (n, classes).
    """
    first, second = targets.topk(2, dim=1).values.unbind(1)
    return (1 / targets.shape[1] - (first - second)).clamp(min=0).mean()


def lecun_normal(network: nn.Module, rng: Rng) -> None:
    """Weights of variance 1 / inputs from a normal distribution cut off at two standard deviations, biases 0, in place.

    Source: the default initialisation of flax. Norm layers stay as they are.
    """
    generator = rng.torch()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
                # The cut takes variance away: the normal distribution is made wider by as much.
                wide = 1 / math.sqrt(layer.weight[0].numel()) / 0.87962566103423978
                weights = torch.empty(layer.weight.shape)  # drawn on the CPU, whatever the device
                nn.init.trunc_normal_(weights, std=wide, a=-2 * wide, b=2 * wide, generator=generator)
                layer.weight.copy_(weights)
                if layer.bias is not None:
                    layer.bias.zero_()


def own_training(prototypes: int, flip: bool) -> dict[str, Any]:
    """How the authors train a network on so many images (script/eval.py), for `Content.training`."""
    nearest = min(EVALUATION_STEPS, key=lambda known: abs(math.log(known / prototypes)))
    steps, batch = EVALUATION_STEPS[nearest], min(prototypes, EVALUATION_BATCH)
    recipe = Recipe(
        epochs=math.ceil(steps / math.ceil(prototypes / batch)),
        lr=3e-4,
        weight_decay=0.0,
        batch_size=batch,
        loss="mse",
        optimizer="adam",
        schedule="cosine",
        warmup=EVALUATION_WARMUP / steps,
        floor=0.01,
    )
    return {**recipe.to_json(), "augmentation": default_strategy(flip)}


def _current(state: State) -> str:
    """The name of this step's network."""
    return str(int(state.memory["current"]))


def _targets(state: State, task: Task) -> Tensor:
    """The labels of the synthetic images, float32 (M, classes): learned, or their classes centred."""
    learned = state.synthetic.leaves().get("targets")
    return (
        centred(state.synthetic.labels, task.spec.num_classes, torch.float32) if learned is None else learned
    )
