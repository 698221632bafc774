"""DM with an identity for an embedding, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from condensery import Rng, driver, get_method

RNG = Rng(1)


class Identity(nn.Module):
    """Embeds an image as its own pixels."""

    def __init__(self, channels: int, image_size: tuple[int, int], num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(channels * image_size[0] * image_size[1], num_classes)

    def embed(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x))


def begun(make_task, ipc: int = 3, **fields):
    task = make_task("test_dm:Identity", ipc=ipc)
    method = get_method("dm", augmentation="none", init="noise", **fields)
    return task, method, driver.begin(method, task, RNG)


def real_mean(task, c: int) -> Tensor:
    return task.pool.sample(c, 256, RNG).mean(0)


def test_gradient_is_two_over_ipc_times_the_gap(make_task) -> None:
    task, method, state = begun(make_task)
    for term in method.terms(task, state, RNG):
        term.backward(inputs=state.synthetic.learnable())
    for c in range(3):
        images = state.synthetic.of_class(c).detach()
        expected = 2 / 3 * (images.mean(0) - real_mean(task, c))
        for gradient in state.synthetic.images.grad[3 * c : 3 * c + 3]:
            torch.testing.assert_close(gradient, expected)


def test_loss_is_the_squared_gap_summed_over_dimensions_and_classes(make_task) -> None:
    task, method, state = begun(make_task)
    terms = [float(t.detach()) for t in method.terms(task, state, RNG)]
    gaps = [state.synthetic.of_class(c).detach().mean(0) - real_mean(task, c) for c in range(3)]
    assert terms == pytest.approx([float((gap**2).sum()) for gap in gaps], rel=1e-5)


def test_one_image_and_a_rate_of_a_half_give_the_class_mean(make_task) -> None:
    """x - 1/2 * 2 * (x - mean) = mean, in one step."""
    task, method, state = begun(make_task, ipc=1, image_lr=0.5, image_momentum=0.0)
    driver.advance(method, task, state, RNG)
    for c in range(3):
        torch.testing.assert_close(
            state.synthetic.images[c].detach(), real_mean(task, c), rtol=1e-4, atol=1e-5
        )


def test_fewer_real_images_are_drawn_if_asked(make_task) -> None:
    """With one real image the target is that image, which differs from step to step."""
    task, method, state = begun(make_task, ipc=1, image_lr=0.5, image_momentum=0.0, real_batch=1)
    state, _ = driver.advance(method, task, state, RNG)
    first = state.synthetic.images[0].detach().clone()
    drawn = task.pool.sample(0, 1, RNG.fork("step", 0).fork("real batch", 0))[0]
    torch.testing.assert_close(first, drawn, rtol=1e-4, atol=1e-5)


def test_a_new_network_at_every_step(make_task) -> None:
    task, method = make_task(), get_method("dm", real_batch=4)
    state = driver.begin(method, task, RNG)
    seen = [state.network.head.weight.detach().clone()]
    for after, _ in driver.trajectory(method, task, state, RNG, 3):
        seen.append(after.network.head.weight.detach().clone())
    assert len({w.numpy().tobytes() for w in seen}) == 4


def test_the_papers_learning_rate_from_100_images_on_is_mentioned(make_task) -> None:
    notes = get_method("dm").check(make_task(ipc=100))
    assert any("--image-lr 10" in note and note.endswith("this run 1") for note in notes)
    assert not any("image-lr" in note for note in get_method("dm", image_lr=10.0).check(make_task(ipc=100)))
    assert not any("image-lr" in note for note in get_method("dm").check(make_task(ipc=50)))
