"""Patches: crops of real images that a teacher is most certain of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import condensery
from condensery import BadInput, ImageData, Rng, driver, get_method
from condensery.methods.patches import first_of_clusters
from condensery.resuming import resume_run
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
        ({"candidates": 3}, "takes 4 crops of different images of class '0', from 3"),
        ({"spread": "yes", "teacher": "mlp"}, "mlp has none"),
    ],
)
def test_impossible_settings_are_refused(digits_task, fields, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        get_method("patches", **fields).check(digits_task)


def test_crops_are_read_from_the_original_files(tmp_path: Path, digits: ImageData, make_task) -> None:
    """Pictures four times as large, of which every second column is black: resized pixels know nothing of it."""
    for c in range(2):
        (tmp_path / str(c)).mkdir()
        for i, image in enumerate(digits.train.pixels[digits.train.labels == c][:8]):
            large = image[:, :, 0].repeat(4, 0).repeat(4, 1)
            large[:, ::2] = 0
            Image.fromarray(large).save(tmp_path / str(c) / f"{i}.png")
    data = condensery.load_images(tmp_path, size=16)
    method = get_method("patches", **TEACHER, smallest=0.25, crops=8)
    resized = replace(data, train=replace(data.train, originals=None))
    detail = []
    for images in (data, resized):
        task = make_task(ipc=2, data=images)
        said = method.check(task)
        found = driver.advance(method, task, driver.begin(method, task, RNG), RNG)[
            0
        ].synthetic.images.detach()
        pixels = images.spec.denormalise(found)
        detail.append(float((pixels[..., 1:] - pixels[..., :-1]).abs().mean()))
        assert any("read from the original files" in line for line in said) == (images is data)
    assert detail[0] > 1.1 * detail[1]


def test_a_teacher_may_see_smaller_images(digits_task) -> None:
    coarse = images_of(digits_task, teacher_size=4)
    assert coarse.shape == images_of(digits_task).shape and not torch.equal(coarse, images_of(digits_task))
    with pytest.raises(BadInput, match="--teacher-size 9 is more than the images have: choose up to 8"):
        images_of(digits_task, teacher_size=9)


def test_a_teacher_of_ones_own_with_its_weights(digits: ImageData, make_task, tmp_path: Path) -> None:
    task = make_task(ipc=2, data=digits)
    taught = teacher_network(
        task.pool, TeacherSettings(TEACHER["teacher"], TEACHER["teacher_epochs"]), task.device
    )
    torch.save(taught.state_dict(), tmp_path / "own.pt")
    own = {"teacher_epochs": 0, "teacher_weights": str(tmp_path / "own.pt")}
    assert torch.equal(images_of(task, **own), images_of(task))
    head = {
        name: tensor.flip(0) if name.startswith("head") else tensor
        for name, tensor in taught.state_dict().items()
    }
    torch.save(head, tmp_path / "own.pt")
    with pytest.raises(BadInput, match="has its classes in another order"):
        images_of(task, **own)
    with pytest.raises(BadInput, match="holds no weights of convnet"):
        images_of(task, **own, teacher="convnet+width=16+depth=2")
    with pytest.raises(BadInput, match="need the network that they are of"):
        images_of(task, **own, teacher="auto")


def test_labels_come_from_the_teacher_that_chose_the_crops(tiny_file: Path, tmp_path: Path) -> None:
    method = get_method("patches", **TEACHER, teacher_size=4)
    condensery.condense(tiny_file, method, ipc=1, out=tmp_path / "run", device="cpu")
    made = condensery.label(tmp_path / "run", device="cpu")
    said = made.record["labels"]["teacher"]
    assert (said["network"], said["epochs"], said["size"]) == (TEACHER["teacher"], 8, 4)
    other = condensery.label(tmp_path / "run", teacher=TeacherSettings(TEACHER["teacher"], 3), device="cpu")
    assert "size" not in other.record["labels"]["teacher"]
    own = {"teacher_weights": "own.pt", "teacher_epochs": 0}
    record = {**made.record, "fields": {**made.record["fields"], **own}}
    with pytest.raises(
        BadInput, match=r"name it again, --teacher convnet\S+ --teacher-weights own.pt, or another"
    ):
        condensery.label(replace(made, record=record), device="cpu")
