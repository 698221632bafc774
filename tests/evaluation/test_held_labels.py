"""Sets that hold labels, views or a recipe of their own: what is trained on, in which rows, beside what."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import condensery
from condensery import (
    PROTOCOLS,
    BadInput,
    Evaluation,
    ImageData,
    Rng,
    SoftLabels,
    SyntheticSet,
    evaluate,
    training,
)
from condensery.coresets import random_selection
from condensery.data import ClassPool
from condensery.evaluation import stacked
from condensery.synthetic import decoded, with_pixels
from condensery.teaching import LabelSettings, TeacherSettings, ViewSampling
from condensery.training import Images, ViewImages
from condensery.training_recipe import Recipe, own_recipe
from condensery.views import Views

pytestmark = pytest.mark.usefixtures("fresh_cache")
CPU = torch.device("cpu")
FAST = replace(PROTOCOLS["dm-2023"], name="fast", epochs=8, plain_epochs=8, repeats=2)
NETWORK = "convnet+width=8+depth=1"
TEACHER = TeacherSettings("convnet+width=8+depth=2+norm=batch", epochs=4, seed=3)


def a_set(data: ImageData, ipc: int = 2, seed: int = 0) -> SyntheticSet:
    """Random real images that call themselves condensed."""
    picked = random_selection(ClassPool(data.train, data.spec, CPU), ipc, Rng(seed))
    return replace(picked, record={"method": "dm", "ipc": ipc, "network": NETWORK, "seed": seed})


def with_views(data: ImageData, **changes: Any) -> SyntheticSet:
    made = condensery.label(
        a_set(data), data, settings=LabelSettings(ViewSampling(3)), teacher=TEACHER, device="cpu", **changes
    )
    return replace(made, training={**made.training, "epochs": 6})


def judge(sets: Any, data: Any, **options: Any) -> Evaluation:
    return evaluate(sets, data, **{"protocol": FAST, "device": "cpu", "repeats": 1, **options})


def rows(result: Evaluation) -> list[tuple[str, str, str, int]]:
    return [(s.subject, s.labels, s.recipe, s.epochs) for s in result.scores]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Every call of the real `fit`, with networks trained one after the other."""
    calls: list[dict[str, Any]] = []
    real = training.fit

    def spy(network: nn.Module, images: Images, recipe: Recipe, rng: Rng, **options: Any) -> None:
        first = next(network.parameters()).detach().clone()
        calls.append({"images": images, "recipe": recipe, "rng": rng, "weights": first, **options})
        real(network, images, recipe, rng, **options)

    monkeypatch.setattr(training, "fit", spy)
    monkeypatch.setattr(stacked, "MOST", 1)
    return calls


def test_views_are_rows_of_their_own_beside_random_images_with_the_same(
    digits: ImageData, trained: list[dict[str, Any]]
) -> None:
    synthetic = with_views(digits)
    result = judge(synthetic, digits)
    assert rows(result) == [
        ("dm", "hard", "common protocol", 9),
        ("random", "hard", "common protocol", 9),
        ("whole", "hard", "common protocol", 2),
        ("dm", "views (3)", "common protocol", 9),
        ("random", "views (3)", "common protocol", 9),
        ("dm", "views (3)", "own recipe", 6),
        ("random", "views (3)", "own recipe", 6),
    ]
    bytes_of = {(s.subject, s.labels): s.bytes for s in result.scores}
    assert bytes_of["dm", "views (3)"] == bytes_of["random", "views (3)"] == synthetic.bytes
    assert bytes_of["dm", "hard"] == bytes_of["random", "hard"] == synthetic.hard().bytes < synthetic.bytes
    assert all(s.images == s.stored_images == 20 for s in result.scores if s.subject != "whole")
    common, own = (trained[i] for i in (3, 5))
    assert isinstance(common["images"], ViewImages) and common["images"].temperature == 1.0
    assert own["images"].temperature == 4.0 and own["recipe"] == own_recipe(synthetic.training)[0]
    assert common["augment"] is None and own["augment"].strategy == "scale_rotate"
    assert trained[0]["augment"] is not None
    assert torch.equal(own["images"].images, synthetic.images)
    for other in (common, own):
        assert torch.equal(other["weights"], trained[0]["weights"]) and other["rng"] == trained[0]["rng"]


def test_random_images_are_labelled_by_the_same_teacher(
    digits: ImageData, trained: list[dict[str, Any]]
) -> None:
    synthetic = with_views(digits)
    result = judge(synthetic, digits, repeats=2, baselines=["random"])
    teacher = condensery.teaching.get_teacher(digits, TEACHER, CPU)
    random = [call["images"] for call in trained if isinstance(call["images"], ViewImages)][2:4]
    assert not torch.equal(random[0].images, random[1].images)
    for images in random:
        every = torch.arange(20)
        said = (teacher.logits(images.views.of(images.images, every, 1)) / 4).softmax(1)
        torch.testing.assert_close(images.views.probabilities(every, 1), said, atol=5e-3, rtol=0)
    assert result.record["labelled_by"] == {
        **teacher.to_json(),
        "seconds": result.record["labelled_by"]["seconds"],
    }


def test_one_recipe_alone(digits: ImageData) -> None:
    synthetic = with_views(digits)
    own = judge(synthetic, digits, recipe="own")
    assert rows(own) == [("dm", "views (3)", "own recipe", 6), ("random", "views (3)", "own recipe", 6)]
    common = judge(synthetic, digits, recipe="common", baselines=["whole"])
    assert [(s.subject, s.labels) for s in common.scores] == [
        ("dm", "hard"),
        ("whole", "hard"),
        ("dm", "views (3)"),
    ]
    assert len(own.notes) == 3 and len(common.notes) == 2
    with pytest.raises(BadInput, match="the set has no recipe of its own: leave out --recipe own"):
        judge(a_set(digits), digits, recipe="own")
    with pytest.raises(BadInput, match="unknown recipe 'mine'; choose both, common or own"):
        judge(synthetic, digits, recipe="mine")


def test_the_notes_say_what_was_trained_on_and_name_the_plainest_rival(digits: ImageData) -> None:
    result = judge(with_views(digits), digits, baselines=())
    labels, recipe, teacher = json.loads(json.dumps(result.to_json()))["notes"]
    assert labels.startswith("labels: 3 views an image stored with the set (")
    assert recipe == (
        "own recipe: 6 epochs in batches of 2, adamw at 0.001, cosine, kl at temperature 4, "
        "augmentation scale_rotate"
    )
    assert (
        "of weights. Who needs only a network of that kind should take it; who trains other networks"
        in teacher
    )
    assert result.missing


def test_hard_rows_are_what_they_were_without_labels(digits: ImageData) -> None:
    plain, labelled = judge(a_set(digits), digits), judge(with_views(digits), digits)
    assert [s.accuracies for s in plain.scores] == [s.accuracies for s in labelled.scores[:3]]
    assert plain.notes == () and plain.record["labelled_by"] is None


def test_honest_scores_keep_the_tracks_apart(digits: ImageData) -> None:
    result = judge(with_views(digits), digits)
    mean = {(s.subject, s.labels, s.recipe): s.mean for s in result.scores}
    assert [h.labels for h in result.honest] == ["hard", "views (3)", "views (3), own recipe"]
    for honest, (labels, recipe) in zip(
        result.honest,
        [("hard", "common protocol"), ("views (3)", "common protocol"), ("views (3)", "own recipe")],
        strict=True,
    ):
        assert honest.improvement_over_random == mean["dm", labels, recipe] - mean["random", labels, recipe]


def test_what_is_evaluated_is_what_the_file_holds(digits: ImageData, tmp_path: Path) -> None:
    made = with_views(digits, out=tmp_path / "labelled")
    condensery.save(made, tmp_path / "again.safetensors")
    results = [judge(one, digits, baselines=()) for one in (made, tmp_path / "again.safetensors")]
    assert [s.accuracies for s in results[0].scores] == [s.accuracies for s in results[1].scores]


def test_one_label_an_image(digits: ImageData) -> None:
    made = condensery.label(
        a_set(digits), digits, settings=LabelSettings(None), teacher=TEACHER, device="cpu"
    )
    result = judge(made, digits, baselines=["random"])
    assert [(s.subject, s.labels) for s in result.scores] == [
        ("dm", "hard"), ("random", "hard"), ("dm", "soft"), ("random", "soft"),
    ]  # fmt: skip
    assert "labels: soft, one an image, stored with the set" in result.notes
    with pytest.raises(BadInput, match=r"the set holds labels of its own, soft, .* leave out --soft-labels"):
        judge(made, digits, soft_labels=SoftLabels(epochs=1))


def test_learned_values_and_a_recipe_of_classes(digits: ImageData, trained: list[dict[str, Any]]) -> None:
    values = torch.randn(20, 10, generator=Rng(1).torch())
    recipe = {"epochs": 4, "loss": "mse", "optimizer": "adam", "augmentation": "crop"}
    learned = replace(a_set(digits), targets=values, training=recipe)
    result = judge(learned, digits, baselines=["random"])
    assert [(s.subject, s.labels, s.recipe) for s in result.scores] == [
        ("dm", "hard", "common protocol"),
        ("random", "hard", "common protocol"),
        ("dm", "learned", "own recipe"),
        ("random", "hard", "own recipe"),
    ]
    assert torch.equal(trained[2]["images"].labels, values) and trained[2]["augment"] is not None
    assert trained[3]["recipe"] == trained[2]["recipe"] and trained[3]["images"].labels.ndim == 1
    classes = judge(replace(a_set(digits), training={"epochs": 3}), digits, baselines=())
    assert [(s.labels, s.recipe) for s in classes.scores] == [
        ("hard", "common protocol"),
        ("hard", "own recipe"),
    ]


def test_stored_trained_on_and_bytes_are_three_numbers(digits: ImageData) -> None:
    stored = {"tiles.images": a_set(digits).images, "tiles.factor": torch.tensor(2)}
    labels = torch.arange(10).repeat_interleave(8)
    tiles = SyntheticSet(
        decoded(stored, digits.spec), labels, digits.spec, a_set(digits).record, stored=stored
    )
    own, random = judge(tiles, digits, baselines=["random"]).scores
    assert (own.images, own.stored_images, own.bytes) == (80, 20, 20 * 64 * 4 + 8 + 80 * 8)
    assert (random.images, random.stored_images, random.bytes) == (20, 20, 20 * 64 * 4 + 20 * 8)
    pixels = with_pixels(a_set(digits))
    assert [s.bytes for s in judge(pixels, digits, baselines=["random"]).scores] == [20 * 72, 20 * 72]


def test_random_images_beside_labelled_tiles_have_the_bytes_and_steps_of_the_set(digits: ImageData) -> None:
    stored = {"tiles.images": a_set(digits).images, "tiles.factor": torch.tensor(2)}
    labels = torch.arange(10).repeat_interleave(8)
    images = decoded(stored, digits.spec)
    tiles = SyntheticSet(images, labels, digits.spec, a_set(digits).record, stored=stored)
    settings = LabelSettings(ViewSampling(3), epochs=5)
    labelled = condensery.label(tiles, digits, settings=settings, teacher=TEACHER, device="cpu")
    result = judge(labelled, digits, baselines=["random"], recipe="own")
    own, random = (s for s in result.scores if s.recipe == "own recipe")
    assert (own.images, own.epochs, random.images, random.epochs) == (80, 5, 20, 20)
    assert 0 <= own.bytes - random.bytes <= 80 * 8 + 80  # classes of more images, and their numbers


def test_a_teacher_that_only_its_owner_has(digits: ImageData, tmp_path: Path) -> None:
    taught = condensery.teaching.get_teacher(digits, TEACHER, CPU)
    torch.save(taught.network.state_dict(), tmp_path / "own.pt")
    settings = LabelSettings(ViewSampling(2), epochs=6)
    given = TeacherSettings(TEACHER.network, weights=tmp_path / "own.pt")
    made = condensery.label(a_set(digits), digits, settings=settings, teacher=given, device="cpu")
    without = judge(made, digits, baselines=["random"])
    assert [s.subject for s in without.scores] == ["dm", "random", "dm", "dm"]
    assert "weights from a file, 'own.pt': give it as --teacher-weights" in without.missing[-1]
    assert without.record["labelled_by"]["weights"]["file"] == "own.pt"
    beside = judge(made, digits, baselines=["random"], teacher_weights=tmp_path / "own.pt")
    assert [s.subject for s in beside.scores] == ["dm", "random"] * 3
    other = condensery.teaching.get_teacher(digits, replace(TEACHER, seed=9), CPU)
    torch.save(other.network.state_dict(), tmp_path / "own.pt")
    with pytest.raises(BadInput, match="are not the weights of the teacher that labelled the set"):
        judge(made, digits, baselines=["random"], teacher_weights=tmp_path / "own.pt")


def test_labels_of_nobody(digits: ImageData) -> None:
    made = with_views(digits)
    for record in ({}, {"labels": {}}, {"labels": {"teacher": {"network": "evil:code"}}}):
        result = judge(replace(made, record={**a_set(digits).record, **record}), digits, baselines=["random"])
        assert [s.subject for s in result.scores] == ["dm", "random", "dm", "dm"]
        assert result.missing[-1].startswith("random images with the set's labels: the set ")


def test_sets_of_different_kinds_are_refused(digits: ImageData) -> None:
    with pytest.raises(BadInput, match=r"sets of different kinds: labels hard and views \(3\)"):
        judge([a_set(digits), with_views(digits)], digits)


def test_labels_take_any_set(digits: ImageData, tmp_path: Path) -> None:
    said: list[str] = []
    options: dict[str, Any] = {"teacher": TEACHER, "device": "cpu", "announce": said.append}
    condensery.save(a_set(digits), tmp_path / "set.safetensors")
    out = tmp_path / "labelled"
    made = condensery.label(tmp_path / "set.safetensors", digits, pixels=True, out=out, **options)
    assert isinstance(made.targets, Views) and made.label_kind == "views (30)"
    assert [line.partition(":")[0] for line in said if ":" in line] == [
        "teacher",
        "labels",
    ]
    assert "images are stored as 8-bit pixels, off by 0 at most in normalised space" in said
    with pytest.raises(BadInput, match="already holds a set"):
        condensery.label(out, digits, out=out, **options)
    said.clear()
    condensery.label(out, digits, settings=LabelSettings(None), **options)
    assert "the labels that the set held are replaced" in said
    with pytest.raises(BadInput, match="name the real images with --data"):
        condensery.label(a_set(digits), **options)


def test_labels_need_the_data_that_the_set_was_made_from(digits: ImageData, tiny: ImageData) -> None:
    with pytest.raises(BadInput, match="the set has 10 classes"):
        condensery.label(a_set(digits), tiny, teacher=TEACHER)
