"""Baselines: images drawn from generative models, and the matching of mean images."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from condensery import BadInput, Rng, Task, driver, get_method
from condensery.data import ClassPool
from condensery.methods.drawn import DrawnImages
from condensery.pretraining.moment_matching import WIDTHS, class_discrepancy, uniform_codes
from condensery.pretraining.plain_generator import PlainGenerator
from condensery.pretraining.vae import vae_loss
from condensery.records import ImageSpec, LabeledImages

Maker = Callable[..., Any]
DRAWN = ("cgan", "gmmn", "vae")


@pytest.mark.parametrize("name", ["gmmn", "vae"])
def test_training_makes_images_look_more_like_the_real_ones(name: str, make_task: Maker) -> None:
    """After 150 steps; and most are nearer to the mean of their class than to those of the other two."""
    task = make_task(ipc=8)
    images = {}
    for steps in (1, 150):
        method = get_method(name, training_steps=steps, generator_width=16, code_length=8, training_batch=36)
        state = driver.begin(method, task, Rng(0))
        assert state.synthetic.labels.tolist() == [0] * 8 + [1] * 8 + [2] * 8
        images[steps] = state.synthetic.images.detach()
        assert bool(torch.isfinite(images[steps]).all())
    means = torch.stack([task.pool.images_at(task.pool.members(c)).mean(0) for c in range(3)])
    far = {k: float((v.mean(0) - means.mean(0)).square().mean()) for k, v in images.items()}
    assert far[150] < 0.5 * far[1]  # images of all classes together
    nearest = torch.cdist(images[150].flatten(1), means.flatten(1)).argmin(1)
    assert float(nearest.eq(state.synthetic.labels).float().mean()) > 0.8
    assert float(images[150].view(3, 8, -1).std(1).mean()) > 0.02  # and no class is a single image


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 7, 10)])
def test_two_blocks_make_images_of_any_size(shape: tuple[int, int, int]) -> None:
    assert PlainGenerator(5, 3, 4, shape)(torch.zeros(2, 5), torch.zeros(2, 3)).shape == (2, *shape)


def test_images_that_are_too_small_are_refused(make_task: Maker) -> None:
    task = make_task()
    spec = ImageSpec(1, 3, 8, ("a", "b", "c"), (0.5,), (0.25,))
    images = task.pool.images_at(task.pool.members(0))
    pixels = images[:, :, :3].permute(0, 2, 3, 1).byte().numpy()
    pool = ClassPool(LabeledImages(pixels, task.pool.labels[: len(pixels)] % 3), spec, task.device)
    for name in DRAWN:
        with pytest.raises(
            BadInput, match="doubles its sides twice and the images have 3x8: they need 4 pixels"
        ):
            get_method(name).check(Task(**{**vars(task), "pool": pool}))


@pytest.mark.parametrize("name", DRAWN)
def test_each_seed_has_its_own_model(name: str, make_task: Maker) -> None:
    method = get_method(name, training_steps=2, generator_width=8, code_length=4)
    assert isinstance(method, DrawnImages)
    first, second = (driver.begin(method, make_task(), Rng(seed)).synthetic.images for seed in (0, 1))
    assert not torch.equal(first, second)


def test_discrepancy_by_hand() -> None:
    """One class, real 0 and 2, made 1 twice. Squared distances: real 0, 4; across 1; made 0; their real mean is 2."""
    real, made = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [1.0]])
    found = float(class_discrepancy(real, made, torch.tensor([0, 0])))

    def kernel(squared: float) -> float:
        return sum(math.exp(-squared / (2 * width * 2)) for width in WIDTHS)

    assert found == pytest.approx((kernel(0) + kernel(4)) / 2 - 2 * kernel(1) + kernel(0), abs=1e-5)


def test_classes_are_compared_with_themselves_alone() -> None:
    generator = Rng(0).torch()
    real, labels = torch.randn(8, 3, generator=generator), torch.tensor([4, 4, 4, 7, 7, 7, 7, 7])
    assert float(class_discrepancy(real, real, labels)) == pytest.approx(0, abs=1e-5)
    swapped = torch.cat([real[5:], real[:5]])
    assert float(class_discrepancy(real, swapped, labels)) > 0.05


def test_uniform_codes() -> None:
    codes = uniform_codes(400, 5, Rng(0))
    assert -1 <= float(codes.min()) < -0.98 and 0.98 < float(codes.max()) <= 1


def test_autoencoder_loss_by_hand() -> None:
    """Distance (1 + 4) / 2; divergence of mean 2 and variance e: -(1 + 1 - 4 - e) / 2."""
    images, made = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    loss = vae_loss(images, made, torch.tensor([[2.0]]), torch.tensor([[1.0]]))
    assert float(loss) == pytest.approx(2.5 + (2 + math.e) / 2)
    same = vae_loss(images, images, torch.zeros(1, 3), torch.zeros(1, 3))
    assert float(same) == 0


def test_mean_images_are_met(make_task: Maker) -> None:
    """Whatever the start, by steps of the closed form: the mean of the class, exactly, from two images on."""
    task = make_task(ipc=2)
    method = get_method("mmd", real_batch=12, init="noise", image_momentum=0.0, image_lr=1.0)
    state = driver.begin(method, task, Rng(0))
    start = state.synthetic.images.detach().clone()
    state, loss = driver.advance(method, task, state, Rng(0))
    images = state.synthetic.images.detach()
    for c in range(3):
        mean = task.pool.images_at(task.pool.members(c)).mean(0)
        own = slice(2 * c, 2 * c + 2)
        # the gradient of |m - (x1 + x2) / 2|^2 by x1 is -(m - (x1 + x2) / 2): one step of rate 1 arrives
        torch.testing.assert_close(images[own].mean(0), mean, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            images[own] - start[own], (mean - start[own].mean(0)).expand(2, -1, -1, -1)
        )
    assert loss > 1
