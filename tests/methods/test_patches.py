"""Patches: crops of real images that a teacher is most certain of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import condensery
from condensery import BadInput, ImageData, Rng, driver, get_method
from condensery.methods.patches import first_of_clusters
from condensery.runner import resume_run
from condensery.teaching import TeacherSettings, teacher_network

RNG = Rng(3)
TEACHER = {"teacher": "convnet+width=8+depth=2", "teacher_epochs": 8}


@pytest.fixture(scope="module")
def digits_task(make_task, digits: ImageData):
    return make_task(ipc=4, data=digits)


def images_of(task, **fields) -> torch.Tensor:
    method = get_method("patches", **{**TEACHER, **fields})
    state, loss = driver.advance(method, task, driver.begin(method, task, RNG), RNG)
    assert (state.step, loss) == (1, 0)
    return state.synthetic.images.detach()


def losses(task, images: torch.Tensor) -> torch.Tensor:
    """(classes, images of each) of the teacher."""
    network = teacher_network(
        task.pool, TeacherSettings(TEACHER["teacher"], TEACHER["teacher_epochs"]), task.device
    )
    labels = torch.arange(10).repeat_interleave(len(images) // 10)
    return F.cross_entropy(network(images), labels, reduction="none").detach().view(10, -1)


def test_the_most_certain_come_first_and_are_surer_than_random_images(digits_task) -> None:
    found = losses(digits_task, images_of(digits_task))
    assert torch.equal(found, found.sort(1).values)
    random = torch.cat([digits_task.pool.sample(c, 4, RNG) for c in range(10)])
    assert found.mean() < 0.2 * losses(digits_task, random).mean()


def test_crops_are_real_pixels_mixed_never_beyond_them(digits_task) -> None:
    images = images_of(digits_task)
    for c in range(10):
        real = digits_task.pool.images_at(digits_task.pool.members(c))
        own = images[4 * c : 4 * c + 4]
        assert real.min() - 1e-4 <= own.min() and own.max() <= real.max() + 1e-4
        assert len({image.numpy().tobytes() for image in own}) == 4


def test_more_crops_of_the_same_images_are_never_less_certain(digits_task) -> None:
    few, many = (losses(digits_task, images_of(digits_task, crops=n)) for n in (1, 4))
    assert (many <= few + 1e-6).all() and (many < few).any()


def test_tiles_are_scored_as_networks_see_them(digits_task) -> None:
    found = losses(digits_task, images_of(digits_task, factor=2))
    assert found.shape == (10, 16)
    assert torch.equal(found, found.sort(1).values)


def test_one_of_each_cluster() -> None:
    features = np.array([[0.0], [0.1], [9.0], [0.2], [5.0], [9.1]])
    assert first_of_clusters(features, 3, RNG).tolist() == [0, 2, 4]
    assert first_of_clusters(np.array([[0.0], [0.0], [1.0], [1.0]]), 3, RNG).tolist() == [0, 1, 2]


def test_spread_keeps_other_images(digits_task) -> None:
    plain, spread = images_of(digits_task), images_of(digits_task, spread="yes")
    assert not torch.equal(plain, spread)
    assert losses(digits_task, spread).mean() >= losses(digits_task, plain).mean()


def test_a_run_is_one_step_and_says_what_its_teacher_costs(tiny_file: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    method = get_method("patches", **TEACHER)
    made = condensery.condense(
        tiny_file, method, ipc=2, out=tmp_path / "run", device="cpu", announce=heard.append
    )
    assert (made.record["step"], made.record["steps"], len(made)) == (1, 1, 6)
    assert any("teacher epochs that are needed first" in line for line in heard)
    assert torch.equal(resume_run(tmp_path / "run").images, made.images)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"spread": "some"}, "spread must be yes or no"),
        ({"smallest": 0.0}, "smallest must be a share"),
        ({"factor": 3}, "does not divide"),
        ({"candidates": 3}, "takes 4 crops of different images per class, from 3"),
        ({"spread": "yes", "teacher": "mlp"}, "mlp has none"),
    ],
)
def test_impossible_settings_are_refused(digits_task, fields, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        get_method("patches", **fields).check(digits_task)
