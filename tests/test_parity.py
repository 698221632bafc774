"""Condensery gives the images that a plain transcription of the papers gives, from the same random draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transcription
from draws import copy_weights, dm_draws, matching_draws

from condensery import ImageData, ImageSpec, LabeledImages, Method, Rng, Task, driver, get_method
from condensery.augment import SiameseAugmentation
from condensery.budgets import uniform
from condensery.data import ClassPool
from condensery.models.registry import resolve

DEVICE = torch.device("cpu")
NETWORK = "convnet+width=16"
RNG = Rng(5)


def random_images(channels: int, size: int, flip: bool, classes: int = 3, each: int = 20) -> ImageData:
    pixels = Rng(1).numpy().integers(0, 256, (classes * each, size, size, channels), dtype=np.uint8)
    images = LabeledImages(pixels, np.repeat(np.arange(classes), each))
    names = tuple(str(c) for c in range(classes))
    spec = ImageSpec(channels, size, size, names, (0.5,) * channels, (0.25,) * channels, flip=flip)
    return ImageData(spec, images, images, "random", "random")


COLOUR = random_images(3, 32, flip=True)
GREY = random_images(1, 28, flip=False)


def task_on(data: ImageData, ipc: int, network: str = NETWORK) -> Task:
    return Task(
        ClassPool(data.train, data.spec, DEVICE),
        resolve(network),
        uniform(ipc, data.spec.num_classes),
        DEVICE,
        chunk=4,
    )


def our_run(method: Method, task: Task, steps: int) -> tuple[torch.Tensor, torch.Tensor, list[float]]:
    """First images, last images, losses."""
    state = driver.begin(method, task, RNG)
    first = state.synthetic.images.detach().clone()
    losses = [loss for state, loss in driver.trajectory(method, task, state, RNG, steps)]
    return first, state.synthetic.images.detach(), losses


@pytest.mark.parametrize("data", [COLOUR, GREY], ids=["colour-32", "grey-28"])
@pytest.mark.parametrize("augmentation", ["none", "auto"])
def test_dm(data: ImageData, augmentation: str) -> None:
    task = task_on(data, ipc=2)
    method = get_method("dm", real_batch=13, augmentation=augmentation)
    first, ours, losses = our_run(method, task, steps=6)
    plain = first.clone().requires_grad_()
    plain_losses = transcription.condense_dm(plain, dm_draws(method, task, RNG, 6))
    assert losses == pytest.approx(plain_losses, rel=1e-4)
    torch.testing.assert_close(ours - first, plain.detach() - first, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("data", [COLOUR, GREY], ids=["colour-32", "grey-28"])
@pytest.mark.parametrize("name", ["dc", "dsa", "dcc"])
def test_gradient_matching_with_network_training(data: ImageData, name: str) -> None:
    """Two networks with two updates each, three epochs of two batches between them."""
    task, contrastive = task_on(data, ipc=2), name == "dcc"
    more = {"warmup": "none"} if contrastive else {}
    method = get_method(
        name, real_batch=13, outer_loop=2, inner_loop=3, train_batch=4, network_lr=0.05, **more
    )
    first, ours, losses = our_run(method, task, steps=4)
    plain = first.clone().requires_grad_()
    plain_losses = transcription.condense_by_gradients(
        plain, matching_draws(method, task, RNG, 4, (2, 3)), network_lr=0.05, contrastive=contrastive
    )
    assert losses == pytest.approx(plain_losses, rel=1e-4)
    torch.testing.assert_close(ours - first, plain.detach() - first, rtol=1e-3, atol=1e-4)


def test_on_digits_with_published_loops(digits: ImageData) -> None:
    """DC at 1 image per class: one update per network, never trained."""
    task = task_on(digits, ipc=1, network="convnet+width=8+depth=2")
    method = get_method("dc", real_batch=16)
    first, ours, _ = our_run(method, task, steps=3)
    plain = first.clone().requires_grad_()
    transcription.condense_by_gradients(plain, matching_draws(method, task, RNG, 3, (1, 1)))
    torch.testing.assert_close(ours - first, plain.detach() - first, rtol=1e-3, atol=1e-5)


def test_transforms_of_the_transcription_are_the_papers(digits: ImageData) -> None:
    """Every group was drawn above, or the comparison would be empty: here one by one, shared and per image."""
    images = ClassPool(COLOUR.train, COLOUR.spec, DEVICE).sample(0, 5, RNG)
    for group in ("color", "crop", "cutout", "flip", "scale", "rotate"):
        augmentation = SiameseAugmentation(group)
        for count in (None, 5):
            for k in range(5):
                p = augmentation.sample(RNG.fork(group, k), (32, 32), count)
                ours = augmentation.apply(images, p)
                torch.testing.assert_close(
                    ours, transcription.apply(images, (p.group, p.values)), rtol=1e-4, atol=2e-4
                )


def test_default_network_is_the_plain_one() -> None:
    ours = resolve("convnet").build(COLOUR.spec, RNG)
    plain = transcription.PlainConvNet(3, 32, 3)
    copy_weights(ours, plain)
    x = torch.randn(4, 3, 32, 32, generator=RNG.torch())
    torch.testing.assert_close(ours(x), plain(x))


def test_the_distance_for_timing_is_the_distance() -> None:
    generator = RNG.torch()
    a, b = ([torch.randn(s, generator=generator) for s in ((4, 3, 2, 2), (5,), (6, 7))] for _ in range(2))
    torch.testing.assert_close(transcription.distance(a, b), transcription.fast_distance(a, b))
