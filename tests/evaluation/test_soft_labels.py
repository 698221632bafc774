"""Soft labels of a teacher, training without augmentation, and the scores that need them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

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
from condensery.evaluation import stacked, train_teacher
from condensery.evaluation.news import Trained
from condensery.evaluation.soft_labels import Teacher
from condensery.models.registry import resolve
from condensery.training import Images, probabilities
from condensery.training_recipe import Recipe

pytestmark = pytest.mark.usefixtures("fresh_cache")
CPU = torch.device("cpu")
FAST = replace(PROTOCOLS["dm-2023"], name="fast", epochs=8, plain_epochs=8, repeats=2)
NETWORK = "convnet+width=8+depth=1"
BRIEF = SoftLabels(epochs=2)


def a_set(data: ImageData, ipc: int = 2, seed: int = 0) -> SyntheticSet:
    """Random real images that call themselves condensed."""
    picked = random_selection(ClassPool(data.train, data.spec, CPU), ipc, Rng(seed))
    return replace(picked, record={"method": "dm", "ipc": ipc, "network": NETWORK, "seed": seed})


def judge(sets: Any, data: Any, **options: Any) -> Evaluation:
    return evaluate(sets, data, **{"protocol": FAST, "device": "cpu", **options})


def rows(result: Evaluation) -> list[tuple[str, str, str, int]]:
    return [(s.subject, s.labels, s.augmentation, s.n) for s in result.scores]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Every call of the real `fit`, networks one after the other, with the first weights of each."""
    calls: list[dict[str, Any]] = []
    real = training.fit

    def spy(network: nn.Module, images: Images, recipe: Recipe, rng: Rng, **options: Any) -> None:
        first = next(network.parameters()).detach().clone()
        calls.append({"images": images, "recipe": recipe, "rng": rng, "weights": first, **options})
        real(network, images, recipe, rng, **options)

    monkeypatch.setattr(training, "fit", spy)
    monkeypatch.setattr(stacked, "MOST", 1)
    return calls


def test_hard_labels_draw_what_they_always_drew(tiny: ImageData, trained: list[dict[str, Any]]) -> None:
    """Published records name seeds: a network's draws follow from these names."""
    judge(a_set(tiny), tiny, repeats=1)
    name = resolve(NETWORK).canonical
    expected = [Rng(0).fork("evaluate").fork(s, name, 0, 0, "training") for s in ("dm", "random", "whole")]
    assert [call["rng"] for call in trained] == expected


def test_soft_labels_leave_hard_ones_as_they_were(tiny: ImageData) -> None:
    hard = judge(a_set(tiny), tiny)
    both = judge(a_set(tiny), tiny, soft_labels=BRIEF)
    assert [s.accuracies for s in both.scores[:3]] == [s.accuracies for s in hard.scores]
    assert rows(both) == [
        ("dm", "hard", "protocol", 2),
        ("random", "hard", "protocol", 2),
        ("whole", "hard", "protocol", 1),
        ("dm", "soft", "protocol", 2),
        ("random", "soft", "protocol", 2),
    ]


def test_set_and_random_images_get_labels_of_one_teacher(
    tiny: ImageData, trained: list[dict[str, Any]]
) -> None:
    synthetic = a_set(tiny)
    judge([synthetic, a_set(tiny, seed=1)], tiny, repeats=1, soft_labels=SoftLabels(epochs=2, temperature=3))
    teachers = [call for call in trained if len(call["images"]) == 36 and call["recipe"].epochs == 2]
    teacher = train_teacher(tiny, resolve(NETWORK), SoftLabels(epochs=2, temperature=3), 0, CPU)
    soft = [call["images"] for call in trained if call["images"].batch(torch.tensor([0]))[1].ndim == 2]
    assert len(teachers) == 1 and len(soft) == 4
    for images in soft:
        assert images.labels.dtype == torch.float32 and images.labels.shape == (6, 3)
        assert torch.equal(images.labels, teacher.probabilities(images.images))
    assert torch.equal(soft[0].images, synthetic.images)


def test_arms_differ_in_labels_and_augmentation_alone(tiny: ImageData, trained: list[dict[str, Any]]) -> None:
    """Same weights, draws and random images; the augmentation is there or not, the epochs are the same."""
    judge(a_set(tiny), tiny, repeats=1, soft_labels=BRIEF, augmentation_robustness=True, baselines=["random"])
    teacher = next(call for call in trained if len(call["images"]) == 36)
    arms = [call for call in trained if call is not teacher]
    assert len(arms) == 8 and teacher["augment"] is None
    for like, *others in (arms[0::2], arms[1::2]):
        for other in others:
            assert torch.equal(other["weights"], like["weights"]) and other["rng"] == like["rng"]
            assert torch.equal(other["images"].images, like["images"].images)
            assert other["recipe"] == like["recipe"]
    assert [call["augment"] is None for call in arms] == [False] * 4 + [True] * 4


def test_soft_labels_count_in_bytes(tiny: ImageData) -> None:
    """4 bytes for each class of each image in place of 8 for each image: 6 images of 1x8x8, 3 classes."""
    result = judge(a_set(tiny), tiny, soft_labels=BRIEF, baselines=["random"])
    pixels = 6 * 64 * 4
    assert [s.bytes for s in result.scores] == [pixels + 6 * 8] * 2 + [pixels + 6 * 3 * 4] * 2


def test_probabilities_are_a_softmax_with_temperature() -> None:
    """Logits 0 and ln 9: 1 to 9 at temperature 1, and 1 to 3 at temperature 2, whose square root it is."""
    linear = nn.Linear(1, 2, bias=False)
    linear.weight.data = torch.tensor([[1.0], [9.0]]).log()
    network = nn.Sequential(nn.Flatten(), linear)
    ones = torch.ones(20, 1, 1, 1)
    torch.testing.assert_close(probabilities(network, ones, 1), torch.tensor([[0.1, 0.9]] * 20))
    torch.testing.assert_close(probabilities(network, ones, 2), torch.tensor([[0.25, 0.75]] * 20))


def test_a_teacher_depends_on_data_network_seed_and_epochs(digits: ImageData, tiny: ImageData) -> None:
    def says(settings: SoftLabels, seed: int = 0, network: str = NETWORK) -> torch.Tensor:
        teacher = train_teacher(tiny, resolve(network), settings, seed, CPU)
        return teacher.probabilities(a_set(tiny).images)

    first = says(BRIEF)
    assert torch.equal(first, says(BRIEF)) and torch.equal(
        first, says(BRIEF, network="ConvNet+depth=1+width=8")
    )
    assert torch.equal(first, says(replace(BRIEF, seed=0), seed=5)), "a teacher's own seed counts"
    for other in (says(BRIEF, seed=1), says(SoftLabels(epochs=3)), says(BRIEF, network="mlp")):
        assert not torch.equal(first, other)


def test_sets_judged_apart_have_the_same_teacher(tiny: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    labels: list[torch.Tensor] = []
    real = Teacher.probabilities

    def spy(self: Teacher, images: torch.Tensor) -> torch.Tensor:
        labels.append(real(self, a_set(tiny).images))
        return real(self, images)

    monkeypatch.setattr(Teacher, "probabilities", spy)
    for seed in (0, 1):
        judge(a_set(tiny, seed=seed), tiny, baselines=(), repeats=1, soft_labels=BRIEF)
    assert torch.equal(labels[0], labels[1])


def test_a_kept_teacher_says_the_same_and_is_not_trained_again(
    tiny: ImageData, trained: list[dict[str, Any]], fresh_cache: Path
) -> None:
    images = a_set(tiny).images
    first = train_teacher(tiny, resolve(NETWORK), BRIEF, 0, CPU)
    again = train_teacher(tiny, resolve(NETWORK), BRIEF, 0, CPU)
    assert len(trained) == 1 and first.accuracy == again.accuracy
    assert torch.equal(first.probabilities(images), again.probabilities(images))
    (file,) = fresh_cache.glob("trained/*.npy")
    file.write_bytes(file.read_bytes()[:100])
    assert torch.equal(
        first.probabilities(images),
        train_teacher(tiny, resolve(NETWORK), BRIEF, 0, CPU).probabilities(images),
    )
    assert len(trained) == 2, "a damaged file is made again"


def test_a_teacher_learns_and_its_accuracy_is_recorded(digits: ImageData) -> None:
    result = judge(a_set(digits), digits, repeats=1, soft_labels=SoftLabels(network="mlp", epochs=12))
    (teacher,) = json.loads(json.dumps(result.to_json()))["teachers"]
    assert (teacher["network"], teacher["epochs"], teacher["temperature"]) == ("mlp", 12, 1.0)
    assert 0.5 < teacher["accuracy"] <= 1


def test_default_epochs_make_500_steps_but_are_5_at_least(tiny: ImageData) -> None:
    """36 images are one batch: 500 epochs. 60,000 are 235 batches: 5 epochs, not 3."""
    from condensery.evaluation.soft_labels import _default_epochs

    assert [_default_epochs(n) for n in (36, 1438, 60_000)] == [500, 84, 5]


def test_one_teacher_for_each_architecture(tiny: ImageData) -> None:
    heard: list[Trained] = []
    options: dict[str, Any] = {"networks": [NETWORK, "mlp"], "repeats": 1, "callback": heard.append}
    own = judge(a_set(tiny), tiny, soft_labels=BRIEF, **options)
    assert [t["network"] for t in own.record["teachers"]] == [NETWORK, "mlp"]
    assert [t.done for t in heard] == list(range(1, 13)) and {t.total for t in heard} == {12}
    heard.clear()
    shared = judge(a_set(tiny), tiny, soft_labels=replace(BRIEF, network="mlp"), **options)
    assert [t["network"] for t in shared.record["teachers"]] == ["mlp"]
    assert {t.total for t in heard} == {11} and [t.subject for t in heard].count("teacher") == 1


def test_honest_scores_of_an_evaluation(tiny: ImageData) -> None:
    result = judge(a_set(tiny), tiny, soft_labels=BRIEF, augmentation_robustness=True, w=0.25)
    hard, soft = result.honest
    mean = {(s.subject, s.labels, s.augmentation): s.mean for s in result.scores}
    assert hard.hard_label_recovery == mean["whole", "hard", "protocol"] - mean["dm", "hard", "protocol"]
    assert soft.improvement_over_random == mean["dm", "soft", "protocol"] - mean["random", "soft", "protocol"]
    assert None not in (soft.label_robust_score, soft.augmentation_robust_score)
    record = result.to_json()
    assert [h["labels"] for h in record["honest"]] == ["hard", "soft"] and record["missing"] == []
    assert record["honest"][0]["w"] == 0.25


def test_a_protocol_without_augmentation_has_nothing_to_leave_out(tiny: ImageData) -> None:
    plain = replace(PROTOCOLS["dc-2021"], plain_epochs=2, repeats=1)
    result = judge(a_set(tiny), tiny, protocol=plain, augmentation_robustness=True)
    assert {s.augmentation for s in result.scores} == {"protocol"}
    assert result.missing == ("ARS needs a protocol that augments these images",)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"epochs": 0}, "--teacher-epochs must be at least 1, not 0"),
        ({"temperature": 0}, "--temperature must be a positive number, not 0"),
        ({"temperature": float("inf")}, "--temperature must be a positive number, not inf"),
    ],
)
def test_bad_teachers_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(BadInput, match=match):
        SoftLabels(**options)


def test_bad_weights_and_networks_refused_before_the_work(tiny: ImageData, trained: list[Any]) -> None:
    with pytest.raises(BadInput, match="w must be a fraction between 0 and 1, not 2"):
        judge(a_set(tiny), tiny, w=2)
    with pytest.raises(BadInput, match="no network is called 'sage'"):
        judge(a_set(tiny), tiny, soft_labels=SoftLabels(network="sage"))
    assert trained == []
