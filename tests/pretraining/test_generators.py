"""Generative models trained on the real images: kept piece by piece, resumed to the same bits, shared by runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from condensery import BadInput, Rng, Task
from condensery.method import Preparation
from condensery.methods.adversary import GanSettings
from condensery.pretraining import (
    ConditionalGan,
    GenerativeModel,
    GeneratorTraining,
    ImageDiscriminator,
    generators,
    joined,
    random_codes,
)

Maker = Callable[..., Any]
SETTINGS = GanSettings(code_length=4, width=4, blocks=1, steps=5, class_weight=1.0, classes=("one-hot",))

pytestmark = pytest.mark.usefixtures("fresh_cache")


@pytest.fixture
def task(make_task: Maker, monkeypatch: pytest.MonkeyPatch) -> Task:
    """With pieces of two steps."""
    monkeypatch.setattr(generators, "PIECE", 2)
    return make_task()


def training(task: Task, settings: GanSettings = SETTINGS, seed: int = 0) -> GeneratorTraining:
    return settings.training(task, lambda: torch.eye(3), Rng(seed))


def weights(model: GenerativeModel) -> dict[str, Tensor]:
    found = {f"{n}.{k}": t for n, network in model.networks.items() for k, t in network.state_dict().items()}
    return {name: tensor.clone() for name, tensor in found.items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_an_interrupted_training_goes_on_to_the_same_bits(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = weights(training(task).trained())
    monkeypatch.setenv("CONDENSERY_CACHE", str(tmp_path / "another"))
    parts = training(task)
    assert parts.missing() == [1, 2, 3]
    parts.trained(1)
    assert parts.missing() == [2, 3]
    preparation = training(task).preparation(None)
    assert len(preparation.missing) == 2
    for k in range(2):
        preparation.make(k)
    assert training(task).missing() == []
    assert same(weights(training(task).trained()), whole)
    assert [f.name for f in parts.folder.iterdir()] == ["00003.safetensors"]


def test_a_damaged_piece_is_made_again(task: Task) -> None:
    whole = training(task)
    expected = weights(whole.trained())
    file = next(whole.folder.iterdir())
    file.write_bytes(file.read_bytes()[:-8])
    assert same(weights(training(task).trained()), expected)


def test_other_settings_and_seeds_are_other_trainings(task: Task) -> None:
    folders = {
        training(task, settings, seed).folder
        for settings in (SETTINGS, replace(SETTINGS, steps=6), replace(SETTINGS, classes=("teacher",)))
        for seed in (0, 1)
    }
    assert len(folders) == 6


def test_training_moves_all_that_is_trained(task: Task) -> None:
    made = training(task)
    before, after = weights(made.make()), weights(made.trained())
    assert all(not torch.equal(before[name], after[name]) for name in before if "num_batches" not in name)
    average, newest = after["average.output.weight"], after["generator.output.weight"]
    assert float((average - newest).norm()) > 0


def test_a_discriminator_learns_to_tell_real_from_generated(task: Task) -> None:
    """Forty steps: it is right about most of both."""
    model = training(task, replace(SETTINGS, width=8)).make()
    assert isinstance(model, ConditionalGan)
    for step in range(40):
        rng = Rng(0).fork(step)
        model.step(*task.real_batch(36, rng), rng)
    images, labels = task.real_batch(36, Rng(1))
    classes = torch.eye(3)[labels]
    with torch.no_grad():
        made = model.networks["generator"](random_codes(36, 4, Rng(2)), classes)
        real, said = model.networks["discriminator"](images, classes)
        fake, _ = model.networks["discriminator"](made, classes)
    assert float((said.argmax(1) == labels).float().mean()) > 0.8
    assert float(real.mean()) > float(fake.mean())


def test_a_training_that_diverges_is_refused(task: Task) -> None:
    made = training(task)

    def spoiled() -> GenerativeModel:
        model = training(task).make()
        with torch.no_grad():
            next(model.networks["generator"].parameters()).fill_(torch.nan)
        return model

    made.make = spoiled
    with pytest.raises(
        BadInput, match="training of the generative model diverged: its generator is not finite"
    ):
        made.trained()
    assert made.missing() == [1, 2, 3]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 28, 28), (1, 5, 9), (3, 64, 64)])
def test_the_discriminator_takes_images_of_any_size(shape: tuple[int, int, int]) -> None:
    source, said = ImageDiscriminator(shape, 6, 4, 2)(torch.zeros(3, *shape), torch.zeros(3, 6))
    assert source.shape == (3,) and said.shape == (3, 4)


def test_truncated_codes_lie_within_the_threshold() -> None:
    codes = random_codes(500, 8, Rng(0), 0.7)
    assert float(codes.abs().max()) <= 0.7 and float(codes.std()) > 0.3
    assert float(random_codes(500, 8, Rng(0)).std()) == pytest.approx(1, abs=0.05)


def test_two_preparations_are_made_one_after_the_other() -> None:
    made: list[str] = []
    first = Preparation("teacher epoch", ("a", "b"), 10.0, lambda k: made.append(f"teacher {k}"), None)
    second = Preparation("part", ("c",), 40.0, lambda k: made.append(f"generator {k}"), None)
    both = joined(first, second)
    for k in range(len(both.missing)):
        both.make(k)
    assert made == ["teacher 0", "teacher 1", "generator 0"]
    assert both.missing == ("a", "b", "c") and both.work == 20.0
    assert joined(None, second) is second and joined(replace(first, missing=()), second) is second
