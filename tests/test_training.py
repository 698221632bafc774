"""The one training loop and the one accuracy."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensery import BadInput, Rng
from condensery.training import (
    TensorImages,
    ViewImages,
    accuracy,
    chunk_for,
    default_chunk,
    fit,
    train_epoch,
    train_network,
    train_step,
)
from condensery.training_recipe import LOSSES, Recipe, cross_entropy, kl_divergence, own_recipe, squared_error
from condensery.views import Views

RNG = Rng(0)
BATCH_NORM = "convnet+width=8+depth=2+norm=batch"


def batch(task, n: int = 10) -> tuple[Tensor, Tensor]:
    images = torch.cat([task.pool.sample(c, n, RNG.fork(c)) for c in task.classes])[:n]
    return images, torch.arange(n) % 3


def stepped(task, chunk: int | None, steps: int = 1) -> dict[str, Tensor]:
    network = task.new_network(RNG)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9, weight_decay=5e-4)
    for _ in range(steps):
        train_step(network, optimizer, *batch(task), chunk)
    return network.state_dict()


@pytest.mark.parametrize("chunk", [None, 3])
def test_a_step_on_classes_gives_the_bits_of_a_plain_one(chunk: int | None, make_task) -> None:
    """Labels may be probabilities; where they are classes nothing but this is computed."""
    task = make_task()
    network, (images, labels) = task.new_network(RNG), batch(task)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9, weight_decay=5e-4)
    for _ in range(3):
        optimizer.zero_grad()
        for part in torch.arange(10).split(chunk or 10):
            (F.cross_entropy(network(images[part]), labels[part], reduction="sum") / 10).backward()
        optimizer.step()
    ours = stepped(task, chunk, 3)
    assert all(torch.equal(tensor, ours[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("chunk", [None, 3])
def test_a_step_on_probabilities_by_hand(chunk: int | None, make_task) -> None:
    """The loss is - sum p log q, averaged over the batch; all on one class is the step on that class."""
    task = make_task()
    network, (images, labels) = task.new_network(RNG), batch(task)
    soft = torch.softmax(torch.randn(10, 3, generator=RNG.torch()), 1)
    weight = network.head.weight.detach().clone()
    loss = -(soft * network(images).log_softmax(1)).sum(1).mean()
    (gradient,) = torch.autograd.grad(loss, network.head.weight)
    train_step(network, torch.optim.SGD(network.parameters(), 0.1), images, soft, chunk)
    torch.testing.assert_close(network.head.weight, weight - 0.1 * gradient, rtol=1e-4, atol=1e-6)
    sure = task.new_network(RNG)
    optimizer = torch.optim.SGD(sure.parameters(), 0.1, 0.9, weight_decay=5e-4)
    train_step(sure, optimizer, images, F.one_hot(labels, 3).float(), chunk)
    torch.testing.assert_close(sure.head.weight, stepped(task, chunk)["head.weight"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("chunk", [1, 3, 5, 64])
def test_chunked_step_equals_the_whole_one(chunk: int, make_task) -> None:
    task = make_task()
    whole, chunked = stepped(task, None, 3), stepped(task, chunk, 3)
    for name, tensor in whole.items():
        torch.testing.assert_close(chunked[name], tensor, rtol=1e-4, atol=1e-6)


def test_one_step_by_hand(make_task) -> None:
    """w - lr * (gradient + weight decay * w)"""
    task = make_task()
    network = task.new_network(RNG)
    weight = network.head.weight.detach().clone()
    images, labels = batch(task)
    (gradient,) = torch.autograd.grad(F.cross_entropy(network(images), labels), network.head.weight)
    torch.testing.assert_close(
        stepped(task, None)["head.weight"], weight - 0.1 * (gradient + 5e-4 * weight), rtol=1e-4, atol=1e-6
    )


def test_batch_norm_is_never_split(make_task) -> None:
    task = make_task(BATCH_NORM)
    network = task.new_network(RNG)
    assert chunk_for(network, 4) is None
    assert chunk_for(network.eval(), 4) == 4
    seen = []
    network.features[0].register_forward_hook(lambda m, inputs, output: seen.append(len(inputs[0])))
    images, labels = batch(task)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    train_epoch(network, optimizer, TensorImages(images, labels), 256, RNG, chunk=4)
    assert seen == [10]
    assert all(
        torch.equal(a, b)
        for a, b in zip(stepped(task, 4).values(), stepped(task, None).values(), strict=True)
    )


def test_chunks_reach_the_network(make_task) -> None:
    task = make_task()
    network = task.new_network(RNG)
    seen = []
    network.features[0].register_forward_hook(lambda m, inputs, output: seen.append(len(inputs[0])))
    train_step(network, torch.optim.SGD(network.parameters(), 0.1), *batch(task), 4)
    assert seen == [4, 4, 2]


def test_default_chunk_is_for_a_cpu_only() -> None:
    assert default_chunk(torch.device("cpu")) == 16
    assert default_chunk(torch.device("cuda")) is None


class Spy(nn.Module):
    """Remembers which images it was trained on; the label of image i is i."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(10))
        self.batches: list[list[int]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.batches.append(x.flatten().int().tolist())
        return x.flatten(1).sum(1, keepdim=True) * self.weight


def numbered(n: int) -> TensorImages:
    return TensorImages(torch.arange(float(n)).view(n, 1, 1, 1), torch.arange(n))


def test_an_epoch_sees_every_image_once_with_the_last_partial_batch() -> None:
    network = Spy()
    recipe = Recipe(epochs=2, batch_size=4)
    fit(network, numbered(10), recipe, RNG)
    assert [len(b) for b in network.batches] == [4, 4, 2, 4, 4, 2]
    epochs = [[i for batch in part for i in batch] for part in (network.batches[:3], network.batches[3:])]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))
    assert epochs[0] != epochs[1] != list(range(10))


def test_augmentation_is_drawn_for_every_batch_and_never_twice() -> None:
    drawn: list[Rng] = []

    def augment(images: Tensor, rng: Rng) -> Tensor:
        drawn.append(rng)
        return images

    fit(Spy(), numbered(10), Recipe(epochs=3, batch_size=4), RNG, augment=augment)
    assert len(drawn) == len(set(drawn)) == 9


def test_training_is_reproducible_and_learns(make_task) -> None:
    task = make_task()
    images = TensorImages(
        torch.cat([task.pool.sample(c, 12, RNG) for c in task.classes]), torch.arange(3).repeat_interleave(12)
    )
    networks = [task.new_network(RNG) for _ in range(2)]
    for network in networks:
        fit(network, images, Recipe(epochs=60, lr=0.05), RNG, chunk=4)
    states = [network.state_dict() for network in networks]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert accuracy(networks[0], [images.batch(torch.arange(36))], chunk=5) == 1.0


def test_on_epoch_hears_of_every_epoch() -> None:
    heard: list[int] = []
    fit(Spy(), numbered(3), Recipe(epochs=4), RNG, on_epoch=heard.append)
    assert heard == [0, 1, 2, 3]


class First(nn.Module):
    """Says the class that the first pixel names; records whether it was in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.modes: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        self.modes.append(self.training)
        return F.one_hot(x[:, 0, 0, 0].long(), 10).float()


@pytest.mark.parametrize("chunk", [None, 1, 3])
def test_accuracy_is_a_fraction_over_all_batches(chunk: int | None) -> None:
    """5 of 6 right in a batch of 6, none of 2 in a batch of 2: 5 / 8, not the mean of the two."""
    first = torch.arange(6.0).view(6, 1, 1, 1), torch.tensor([0, 1, 2, 3, 4, 9])
    second = torch.zeros(2, 1, 1, 1), torch.tensor([1, 1])
    network = First()
    assert accuracy(network, [first, second], chunk) == 5 / 8
    assert not any(network.modes)


LOGITS = torch.tensor([[0.0, math.log(3.0)], [math.log(4.0), 0.0]])  # probabilities 1/4, 3/4 and 4/5, 1/5


def test_losses_by_hand() -> None:
    halves, classes = torch.full((2, 2), 0.5), torch.tensor([1, 0])
    expected = -0.5 * math.log(1 / 4 * 3 / 4) - 0.5 * math.log(4 / 5 * 1 / 5)
    assert float(cross_entropy(LOGITS, halves)) == pytest.approx(expected)
    assert float(cross_entropy(LOGITS, classes)) == pytest.approx(-math.log(3 / 4) - math.log(4 / 5))
    assert float(kl_divergence(LOGITS, halves)) == pytest.approx(expected + 2 * math.log(0.5))
    # at temperature 2 the odds are their square roots: 1 to sqrt 3, and 2 to 1
    root = 3**0.5
    warm = -0.5 * math.log(root / (1 + root) ** 2) - 0.5 * math.log(2 / 9) + 2 * math.log(0.5)
    assert float(kl_divergence(LOGITS, halves, 2.0)) == pytest.approx(warm)
    assert float(kl_divergence(LOGITS, classes)) == pytest.approx(float(cross_entropy(LOGITS, classes)))
    values = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    assert float(squared_error(torch.zeros(2, 2), values)) == pytest.approx(0.5 * (1 + 4 + 9 + 1))
    # classes are +1/2 and -1/2 of two
    assert float(squared_error(torch.zeros(2, 2), classes)) == pytest.approx(0.5 * 4 * 0.25)


@pytest.mark.parametrize("name", LOSSES)
def test_any_loss_in_chunks_equals_the_whole(name: str, make_task) -> None:
    task, targets = make_task(), torch.softmax(torch.randn(10, 3, generator=RNG.torch()), 1)
    weights = []
    for chunk in (None, 3):
        network = task.new_network(RNG)
        recipe = Recipe(1, loss=name, temperature=3.0)
        optimizer = recipe.make_optimizer(network, 0.1)
        for _ in range(3):
            train_step(network, optimizer, batch(task)[0], targets, chunk, recipe.loss_function)
        weights.append(network.head.weight)
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-4, atol=1e-6)


def test_rates_by_hand() -> None:
    cosine = Recipe(1, lr=2.0, schedule="cosine")
    assert [cosine.rate(k, 4) for k in range(4)] == pytest.approx(
        [2, 1 + math.cos(math.pi / 4), 1, 1 - math.cos(math.pi / 4)]
    )
    cycle = Recipe(1, lr=2.0, schedule="one-cycle", warmup=0.5)
    assert [cycle.rate(k, 8) for k in range(8)] == pytest.approx([0.5, 1, 1.5, 2, 2, 1.5, 1, 0.5])
    low = Recipe(1, lr=2.0, schedule="cosine", floor=0.1)
    assert low.rate(10**9, 10**9) == pytest.approx(0.2) and low.rate(0, 10) == 2.0


def test_the_rate_of_every_step_reaches_the_optimizer() -> None:
    rates: list[float] = []

    class Watched(Recipe):
        def make_optimizer(self, network: nn.Module, lr: float) -> torch.optim.Optimizer:
            made = super().make_optimizer(network, lr)
            made.register_step_pre_hook(lambda o, a, k: rates.append(o.param_groups[0]["lr"]))
            return made

    recipe = Watched(epochs=2, batch_size=4, lr=1.0, schedule="one-cycle", warmup=1 / 3, optimizer="adamw")
    fit(Spy(), numbered(10), recipe, RNG)
    assert rates == pytest.approx([0.5, 1, 1, 0.75, 0.5, 0.25])


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_optimizers_by_name(name: str, kind: type) -> None:
    made = Recipe(1, optimizer=name, weight_decay=0.3).make_optimizer(nn.Linear(2, 2), 0.7)
    assert (
        type(made).__bases__ == (kind,)  # see `condensery.optimizers`
        and made.param_groups[0]["lr"] == 0.7
        and made.param_groups[0]["weight_decay"] == 0.3
    )


def test_a_recipe_survives_json_and_the_published_one_says_what_it_always_said() -> None:
    """Cached networks are found by these words."""
    assert json.dumps(Recipe(3, decay_after=(2,)).to_json()) == (
        '{"epochs": 3, "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005, "batch_size": 256, "decay_after": [2]}'
    )
    recipe = Recipe(
        5, lr=1e-3, loss="kl", temperature=20.0, optimizer="adamw", schedule="cosine", warmup=0.1, floor=0.5
    )
    training = json.loads(json.dumps({**recipe.to_json(), "augmentation": "flip_crop"}))
    assert own_recipe(training) == (recipe, "flip_crop")
    assert own_recipe({"epochs": 2, "lr": 1}) == (Recipe(2, lr=1), "none")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"loss": "hinge"}, "unknown loss 'hinge'; choose one of cross-entropy, kl, mse"),
        ({"optimizer": "lamb"}, "unknown optimizer 'lamb'"),
        ({"schedule": "wave"}, "unknown schedule 'wave'"),
        ({"epochs": 0}, "epochs of a recipe must be at least 1, not 0"),
        ({"batch_size": 0}, "batch_size of a recipe must be at least 1"),
        ({"lr": float("nan")}, "lr of a recipe must lie between"),
        ({"temperature": 0.0}, "temperature of a recipe must lie between"),
        ({"warmup": 1.5, "schedule": "cosine"}, "warmup of a recipe must lie between 0 and 1, not 1.5"),
        ({"warmup": 0.5}, "warmup and floor are for the schedules cosine and one-cycle"),
        ({"schedule": "cosine", "decay_after": (1,)}, "decay_after is for the schedule step, not for cosine"),
    ],
)
def test_recipes_that_cannot_be(change: dict[str, Any], match: str) -> None:
    with pytest.raises(BadInput, match=match):
        Recipe(**{"epochs": 3, **change})


def test_every_pass_shows_the_next_view_with_its_label() -> None:
    count, per_image = 10, 3
    boxes = torch.tensor([0, 0, 255, 255], dtype=torch.uint8).repeat(count, per_image, 1)
    levels = torch.zeros(count, per_image, count, dtype=torch.uint8)
    for v in range(per_image):
        levels[torch.arange(count), v, (torch.arange(count) + v) % count] = (
            255  # view v of image i says i + v
        )
    views = Views(boxes, levels, 0.1, 1.0, count)
    images = ViewImages(torch.arange(float(count)).view(count, 1, 1, 1).expand(-1, 1, 4, 4), views)
    seen: list[set[int]] = []

    def augment(pictures: Tensor, rng: Rng) -> Tensor:
        return pictures

    for epoch in range(5):
        part = images.in_epoch(epoch)
        pictures, labels = part.batch(torch.arange(count))
        seen.append(set((labels.argmax(1) - pictures[:, 0, 0, 0].round().long()).remainder(count).tolist()))
    assert seen == [{0}, {1}, {2}, {0}, {1}]
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, count))
    shown: list[Tensor] = []
    network.register_forward_hook(lambda m, inputs, output: shown.append(inputs[0][:, 0, 0, 0]))
    fit(network, images, Recipe(2, batch_size=4, loss="kl"), RNG, augment=augment, chunk=2)
    assert sorted(torch.cat(shown).round().int().tolist()) == sorted([*range(count)] * 2)


def test_rates_order_and_weights_of_a_recipe_are_followed(make_task) -> None:
    """Two epochs of two batches in a fixed order, each step at its own rate, from the weights of a seed."""
    task = make_task()
    images, labels = batch(task, 4)
    recipe = Recipe(
        2, momentum=0.0, weight_decay=0.0, batch_size=2, rates=(0.1, 0.2, 0.3), order=(2, 0, 3, 1), weights=7
    )
    assert own_recipe(json.loads(json.dumps(recipe.to_json()))) == (recipe, "none")
    place, source = torch.device("cpu"), TensorImages(images, labels)
    made = [
        train_network(task.network, task.spec, source, recipe, Rng(seed), augment=None, device=place)
        for seed in (1, 2)
    ]
    network = task.network.build(task.spec, Rng(7))
    for picked, rate in zip(([2, 0], [3, 1]) * 2, (0.1, 0.2, 0.3, 0.1), strict=True):
        F.cross_entropy(network(images[picked]), labels[picked]).backward()
        with torch.no_grad():
            for p in network.parameters():
                p -= rate * p.grad
                p.grad = None
    for ours in made:
        for a, b in zip(ours.parameters(), network.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"rates": [0.1, -1.0]}, "rates of a recipe must lie between 0 and 1e\\+06"),
        ({"rates": [0.1], "schedule": "cosine"}, "without a schedule"),
        ({"order": [0, 0, 1]}, "must name each of 3 images once"),
        ({"order": [0.5]}, "wants to be trained with order"),
    ],
)
def test_rates_and_orders_that_cannot_be_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        own_recipe({"epochs": 1, **fields})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kernel": "conv"}, "unknown kernel 'conv'; choose one of ntk, nngp, features"),
        ({"kernel": "ntk", "depth": 0}, "depth of a regression must lie between 1 and 1000, not 0"),
        ({"kernel": "features", "networks": 10**9}, "networks of a regression must lie between 1 and 1000"),
        ({"kernel": "ntk", "ridge": -1.0}, "ridge of a regression must lie between 0 and 1e"),
        ({"kernel": "ntk", "loss": "kl"}, "unknown loss 'kl'; choose one of mse"),
        (
            {"kernel": "ntk", "epochs": 3},
            "wants to be trained with 'epochs', which this condensery does not know",
        ),
        ({"kernel": 3}, "wants to be trained with kernel = 3"),
    ],
)
def test_regressions_that_cannot_be_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        own_recipe(fields)


def test_an_order_of_other_images_is_refused(make_task) -> None:
    task = make_task()
    with pytest.raises(BadInput, match="has an order of 3 images, not of 4"):
        fit(task.new_network(RNG), TensorImages(*batch(task, 4)), Recipe(1, order=(0, 1, 2)), RNG)
