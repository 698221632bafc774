"""Networks that are trained at once are those that are trained one after the other."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from condensery import PROTOCOLS, BadInput, ImageData, ImageSpec, Rng, evaluate
from condensery.augment import SiameseAugmentation, default_strategy
from condensery.coresets import random_selection
from condensery.data import ClassPool
from condensery.evaluation import stacked
from condensery.evaluation.news import Training
from condensery.evaluation.stacked import Job, SideBySide, at_once, train_all, train_together
from condensery.models.registry import NetworkFactory, resolve
from condensery.training import TensorImages, train_network, untrained
from condensery.training_recipe import Recipe

CPU = torch.device("cpu")
SPEC = ImageSpec(3, 32, 32, tuple("0123456789"), (0.5,) * 3, (0.25,) * 3)
TOLERANCE = 0 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 1e-3
AUGMENT = SiameseAugmentation(default_strategy(flip=False))
SGD = Recipe(4, lr=0.05, decay_after=(2,), batch_size=7)
ADAMW = Recipe(2, lr=1e-3, optimizer="adamw", schedule="cosine", loss="kl", temperature=2.0, batch_size=7)


class OwnNet(nn.Module):
    """A user's network that would join, if it were known what its forward pass does."""

    def __init__(self, channels: int, image_size: tuple[int, int], num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.mean((2, 3)))


OWN = f"{__name__}:OwnNet"


def picked(data: ImageData, number: int, ipc: int = 1, soft: bool = False) -> TensorImages:
    found = random_selection(ClassPool(data.train, data.spec, CPU), ipc, Rng(number))
    values = torch.rand(len(found), data.spec.num_classes, generator=Rng(number).torch())
    images = found.images.flatten().view(
        found.images.shape
    )  # NCHW in its strides too, as the evaluation has it
    return TensorImages(images, values.softmax(1) if soft else found.labels)


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("convnet+width=16+depth=2", SGD),
        ("convnet+width=16+depth=2", ADAMW),
        ("convnet+width=12+depth=2+norm=group+pooling=max", SGD),
        ("convnet+width=8+depth=1+norm=none+activation=swish", replace(SGD, loss="mse", optimizer="adam")),
        ("convnet+width=8+depth=2", replace(SGD, decay_after=(), rates=(0.1, 0.01), momenta=(0.5, 0.9))),
        ("convnet+width=8+depth=2", replace(SGD, weights=5, order=tuple(range(9, -1, -1)))),
        ("lenet", SGD),
        ("mlp", SGD),
        ("convnet+width=16+depth=1", replace(ADAMW, batch_size=9)),  # the last batch is one image
    ],
)
def test_weights_are_those_of_networks_trained_alone(name: str, recipe: Recipe, digits: ImageData) -> None:
    """The same draws and, with AVX-512, the same bits; Adam's first steps make much of a rounding elsewhere."""
    factory = resolve(name)
    jobs = [Job(picked(digits, k, soft=recipe.loss == "kl"), recipe, Rng(0).fork(k)) for k in range(3)]
    how: dict[str, Any] = {"augment": AUGMENT, "device": CPU}
    alone = [train_network(factory, digits.spec, job.images, recipe, job.rng, **how) for job in jobs]
    together = [untrained(factory, digits.spec, recipe, job.rng, CPU) for job in jobs]
    train_together(together, jobs, recipe, **how)
    for one, other in zip(alone, together, strict=True):
        for expected, found in zip(one.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    first, second = (next(network.parameters()) for network in together[:2])
    assert not torch.allclose(first, second, atol=1e-4)


@pytest.mark.parametrize("name", ["resnet18", "vgg11+norm=instance"])
def test_logits_of_large_networks_are_those_of_each(name: str) -> None:
    networks = [resolve(name).build(SPEC, Rng(k)) for k in range(2)]
    images = torch.randn(2, 2, *SPEC.shape, generator=Rng(0).torch())  # (N, R, C, H, W)
    with torch.no_grad():
        logits = SideBySide(networks)(images)
        for k, network in enumerate(networks):
            torch.testing.assert_close(logits[:, k], network(images[:, k]), rtol=1e-4, atol=1e-5)


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many networks are trained in each go."""
    found: list[int] = []
    real = stacked.train_together

    def spy(networks: Any, *args: Any, **options: Any) -> None:
        found.append(len(networks))
        real(networks, *args, **options)

    monkeypatch.setattr(stacked, "train_together", spy)
    return found


def judged(data: ImageData, network: str, **options: Any) -> list[tuple[tuple[float, ...], ...]]:
    protocol = replace(PROTOCOLS["dm-2023"], name="fast", epochs=8, plain_epochs=8)
    synthetic = random_selection(ClassPool(data.train, data.spec, CPU), 2, Rng(0))
    options = {"networks": [network], "repeats": 3, "device": "cpu", "protocol": protocol, **options}
    return [score.accuracies for score in evaluate(synthetic, data, **options).scores]


def test_an_evaluation_finds_what_it_finds_one_by_one(
    digits: ImageData, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Training] = []
    together = judged(digits, "convnet+width=8+depth=2", every_epoch=heard.append)
    assert sizes == [3, 3, 1], "the set, random images, the whole set"
    assert [news.epoch for news in heard[:18]] == [*range(1, 10), *range(1, 10)]
    first, second = heard[0], heard[9]
    assert (first.at_once, first.epochs, first.done, first.total) == (3, 9, 0, 7)
    assert (first.subject, second.subject, second.done) == ("random set", "random", 3)
    assert first.share == pytest.approx(3 / 9 / 7) and heard[8].share == pytest.approx(3 / 7)
    sizes.clear()
    monkeypatch.setattr(stacked, "MOST", 1)
    assert judged(digits, "convnet+width=8+depth=2") == together
    assert sizes == [1] * 7


@pytest.mark.parametrize(
    "name", ["convnet+width=8+depth=2+norm=batch", "convnet+width=8+depth=2+norm=layer", "mlp", OWN]
)
def test_others_are_trained_one_by_one(name: str, tiny: ImageData, sizes: list[int]) -> None:
    judged(tiny, name, baselines=())
    assert sizes == [1, 1, 1]


def test_only_jobs_that_are_alike_are_trained_at_once(digits: ImageData, sizes: list[int]) -> None:
    few, many, other = picked(digits, 0), picked(digits, 1, ipc=2), replace(SGD, lr=0.1)
    plans = [(few, SGD), (few, SGD), (many, SGD), (many, SGD), (many, other), (few, other)]
    jobs = [Job(images, recipe, Rng(0).fork(k)) for k, (images, recipe) in enumerate(plans)]
    factory = resolve("convnet+width=8+depth=2")
    made = list(train_all(factory, digits.spec, jobs, augment=None, device=CPU))
    assert sizes == [2, 2, 1, 1] and len({id(network) for network in made}) == 6


def test_an_order_of_other_images_is_refused(digits: ImageData) -> None:
    recipe = replace(SGD, order=(1, 0))
    jobs = [Job(picked(digits, k), recipe, Rng(k)) for k in range(2)]
    with pytest.raises(BadInput, match="order of 2 images, not of 10"):
        list(train_all(resolve("convnet+width=8"), digits.spec, jobs, augment=None, device=CPU))


def number(factory: NetworkFactory, batch: int = 10, device: str = "cpu") -> int:
    return at_once(factory, SPEC, batch, torch.device(device))


def test_on_a_cpu_as_many_as_the_limit_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    wide, narrow = resolve("convnet"), resolve("convnet+width=32")
    assert number(narrow) == stacked.MOST and 1 < number(wide) < stacked.MOST
    assert number(wide, 100) == number(wide, 16), "passes of 16 images"
    monkeypatch.setattr(stacked, "CPU_BYTES", 1 << 20)
    assert number(narrow) == 1
    assert number(narrow.computing_in("bfloat16")) == 1


def test_on_a_gpu_any_known_network_as_its_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of the GPU is made up; everything else runs. A ConvNet keeps 1.6 MB for each image."""
    properties = SimpleNamespace(total_memory=8 << 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    for name in ("convnet", "mlp", "vgg11", "resnet18"):
        assert number(resolve(name), 10, "cuda") == stacked.MOST
    for name in ("convnet+norm=batch", "alexcifarnet", OWN):
        assert number(resolve(name), 10, "cuda") == 1
    assert number(resolve("convnet"), 256, "cuda") == 5
