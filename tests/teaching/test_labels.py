"""A teacher's labels: what is stored is what the teacher says of exactly these pixels, to a step."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from condensery import BadInput, ImageData, Rng, SyntheticSet, artifact
from condensery.coresets import random_selection
from condensery.data import ClassPool
from condensery.synthetic import with_pixels
from condensery.teaching import (
    LabelSettings,
    Teacher,
    TeacherSettings,
    ViewSampling,
    get_teacher,
    label_images,
    view_recipe,
)
from condensery.training_recipe import own_recipe
from condensery.views import Views

pytestmark = pytest.mark.usefixtures("fresh_cache")
CPU = torch.device("cpu")


@pytest.fixture
def teacher(digits: ImageData) -> Teacher:
    return get_teacher(digits, TeacherSettings("convnet+width=8+depth=2+norm=batch", epochs=4), CPU)


@pytest.fixture
def chosen(digits: ImageData) -> SyntheticSet:
    return random_selection(ClassPool(digits.train, digits.spec, CPU), 2, Rng(0))


def test_every_label_is_what_the_teacher_says_of_the_view(teacher: Teacher, chosen: SyntheticSet) -> None:
    made = label_images(chosen, teacher, LabelSettings(ViewSampling(5), temperature=4.0))
    views = made.targets
    assert isinstance(views, Views) and views.per_image == 5 and views.flips is None, (
        "digits are not mirrored"
    )
    every = torch.arange(len(chosen))
    for v in range(5):
        said = (teacher.logits(views.of(chosen.images, every, v)) / 4).log_softmax(1)
        found = views.probabilities(every, v).log()
        assert float((found - said).abs().max()) <= views.step / 4 + 1e-5
    assert torch.equal(made.images, chosen.images) and torch.equal(made.labels, chosen.labels)


def test_one_label_an_image(teacher: Teacher, chosen: SyntheticSet) -> None:
    made = label_images(chosen, teacher, LabelSettings(None, temperature=2.0))
    assert isinstance(made.targets, torch.Tensor) and made.training == {}
    torch.testing.assert_close(made.targets, (teacher.logits(chosen.images) / 2).softmax(1))
    assert made.record["labels"]["views"] is None and made.record["labels"]["temperature"] == 2.0


def test_the_largest_few_where_classes_are_many(teacher: Teacher, chosen: SyntheticSet) -> None:
    few = label_images(chosen, teacher, LabelSettings(ViewSampling(3), largest=2))
    assert isinstance(few.targets, Views) and few.targets.levels.shape == (20, 3, 3)
    every = torch.arange(20)
    said = teacher.logits(few.targets.of(chosen.images, every, 1)).softmax(1)
    found = few.targets.probabilities(every, 1, temperature=1)
    torch.testing.assert_close(found.topk(2).values, said.topk(2).values, atol=0.05, rtol=0)
    with pytest.raises(BadInput, match="of 10 classes, 1 to 10 largest can be kept, not 11"):
        label_images(chosen, teacher, LabelSettings(ViewSampling(3), largest=11))


def test_seeds_records_and_files(teacher: Teacher, chosen: SyntheticSet, tmp_path: Any) -> None:
    settings = LabelSettings(ViewSampling(4, smallest=0.7, patches=0.5), bits=16, seed=3)
    one, again, other = (
        label_images(chosen, teacher, s) for s in (settings, settings, replace(settings, seed=4))
    )
    assert artifact.digest(one) == artifact.digest(again) != artifact.digest(other)
    said = json.loads(json.dumps(one.record["labels"]))
    assert LabelSettings.from_json(said) == replace(settings, temperature=4.0)
    assert said["teacher"]["network"] == teacher.name and said["teacher"]["accuracy"] == teacher.accuracy
    artifact.save(with_pixels(one), tmp_path / "x.safetensors")
    loaded = artifact.load(tmp_path / "x.safetensors")
    assert artifact.digest(loaded) == artifact.digest(one)
    # 20 images of 64 bytes and a class of 8; 80 views of 4 + 1 + 4 bytes and 10 classes of 2
    assert loaded.bytes == 20 * 72 + 80 * (9 + 20)
    with pytest.raises(BadInput, match="the record of the set's labels is damaged"):
        LabelSettings.from_json({"views": {"number": 3}})


def test_how_a_set_with_views_wants_to_be_trained(teacher: Teacher, chosen: SyntheticSet) -> None:
    made = label_images(chosen, teacher, LabelSettings(ViewSampling(2)))
    recipe, augmentation = own_recipe(made.training)
    assert augmentation == "scale_rotate" and recipe == view_recipe(20, 4.0) and recipe.weight_decay == 0.1
    still = label_images(made, teacher, LabelSettings(ViewSampling(2), augmentation="none"))
    assert own_recipe(still.training)[1] == "none" and torch.equal(still.targets.levels, made.targets.levels)
    assert (recipe.loss, recipe.temperature, recipe.optimizer, recipe.schedule) == (
        "kl",
        4.0,
        "adamw",
        "cosine",
    )
    assert [view_recipe(n, 4.0).epochs for n in (100, 200, 400, 5000)] == [1000, 500, 300, 300]
    assert [view_recipe(n, 4.0).batch_size for n in (40, 41, 100, 400, 410)] == [2, 5, 5, 10, 50]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"temperature": 0.0}, "--temperature must be a positive number, not 0"),
        ({"temperature": float("nan")}, "--temperature must be a positive number, not nan"),
        ({"bits": 4}, "--label-bits must be 8 or 16, not 4"),
        ({"largest": 0}, "--largest must be at least 1 class, not 0"),
        ({"augmentation": "turn"}, "no augmentation is called 'turn'"),
    ],
)
def test_bad_settings_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(BadInput, match=match):
        LabelSettings(**options)
