"""What selectors ask of networks: training on real images, and passes over them without training."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from condensery.coresets.selector import SelectionTask
from condensery.errors import BadInput
from condensery.pretraining import KeptNetwork, kept_network
from condensery.rng import Rng
from condensery.text import count
from condensery.training import FORWARD, Images, OnBatch, fit, forward_layout
from condensery.training_recipe import Recipe

WEIGHTS = ("trained", "random")
_BATCH = 256


def check_weights(task: SelectionTask, weights: str, epochs: int, networks: int = 1) -> str:
    """A line on the networks that are used. Raises BadInput for unknown `weights`."""
    if weights not in WEIGHTS:
        raise BadInput(f"unknown weights {weights!r}; choose one of {', '.join(WEIGHTS)}")
    many = f"{networks} networks {task.network.name}" if networks > 1 else f"one network {task.network.name}"
    if weights == "random":
        return f"{many} with random weights"
    return f"{many} trained for {count(epochs, 'epoch')} on {count(len(task.pool.labels), 'image')}"


def training_work(task: SelectionTask, weights: str, epochs: int, rng: Rng) -> float:
    """Work of `ready_network` but the passes that follow."""
    if weights == "random" or not task.to_train(_kept(task, epochs, rng)):
        return 0
    return epochs * len(task.pool.labels)


def ready_network(task: SelectionTask, weights: str, epochs: int, rng: Rng) -> nn.Module:
    """A network with random weights, or one trained on the whole training set for `epochs`.

    A trained one is kept: selectors of any budget that ask for it with the same `rng` share it.
    """
    network = task.new_network(rng.fork("network"))
    if weights == "random":
        return network
    return _kept(task, epochs, rng).trained(
        network, lambda: _train(task, network, task.images(), Recipe(epochs), rng)
    )


def _kept(task: SelectionTask, epochs: int, rng: Rng) -> KeptNetwork:
    return kept_network(task.pool.fingerprint(), task.network, Recipe(epochs), rng, task.device)


def trained_network(
    task: SelectionTask, images: Images, recipe: Recipe, rng: Rng, on_batch: OnBatch | None = None
) -> nn.Module:
    """A new network trained on `images` by `recipe`, without augmentation. It is not kept."""
    network = task.new_network(rng.fork("network"))
    _train(task, network, images, recipe, rng, on_batch)
    return network


def _train(
    task: SelectionTask,
    network: nn.Module,
    images: Images,
    recipe: Recipe,
    rng: Rng,
    on_batch: OnBatch | None = None,
) -> None:
    def heard(indices: Tensor, logits: Tensor) -> None:
        task.worked("training", len(indices))
        if on_batch is not None:
            on_batch(indices, logits)

    with rng.fork("layers").seeded(task.device):  # for networks with layers that draw, such as dropout
        fit(network, images, recipe, rng.fork("training"), chunk=task.chunk, on_batch=heard)


@torch.no_grad()
def map_images(
    network: nn.Module,
    function: Callable[[Tensor, Tensor], Tensor],
    images: Images,
    *,
    chunk: int | None = None,
    any_layout: bool = False,
    worked: Callable[[int], object] = int,
) -> Tensor:
    """Results of `function` for all of `images` in order, with `network` in evaluation mode.

    Args:
        function: of images (n, C, H, W) and labels (n,), using `network`; gives (n, ...).
        images: where they come from.
        chunk: images per pass, None for 256.
        any_layout: whether the network takes channels-last images (`NetworkFactory.any_layout`).
        worked: told how many images are done since the last time.
    """
    was_training = network.training
    network.eval()
    results = []
    for indices in torch.arange(len(images)).split(_BATCH):
        batch, labels = images.batch(indices)
        batch = forward_layout(batch) if any_layout else batch
        size = chunk or len(batch)
        results += [function(x, y) for x, y in zip(batch.split(size), labels.split(size), strict=True)]
        worked(len(indices))
    network.train(was_training)
    return torch.cat(results)


def map_task(
    task: SelectionTask,
    stage: str,
    network: nn.Module,
    function: Callable[[Tensor, Tensor], Tensor],
    images: Images,
) -> Tensor:
    """`map_images` as `task` has it; `stage` says what is being done."""
    return map_images(
        network,
        function,
        images,
        chunk=task.chunk,
        any_layout=task.network.any_layout,
        worked=lambda count: task.worked(stage, FORWARD * count),
    )
