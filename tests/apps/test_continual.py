"""Streams, learners, memories, and whole studies on a few digits."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import condensery
from condensery import BadInput, ImageData, Rng
from condensery.apps.continual import memories, perform
from condensery.apps.continual.learners import distillation, learners
from condensery.apps.continual.outcome import Continual, forgetting
from condensery.apps.continual.streams import load_sets, stream_of
from condensery.data.sources import silent
from condensery.errors import Interrupted
from condensery.report.page import html

SMALL: dict[str, Any] = {
    "tasks": 2,
    "ipc": 2,
    "network": "convnet+width=4+depth=1",
}
EEIL, GDUMB = {"steps": 3, "balanced_steps": 2}, {"epochs": 2}


def stream(*sets: ImageData, scenario: str = "class", seed: int = 0, shuffled: bool = False):
    return stream_of(load_sets(sets, {}, silent), scenario, 2, (), shuffled, seed)


# ---- streams


def test_classes_come_in_steps_and_every_image_is_in_one(four: ImageData) -> None:
    made = stream(four, seed=3, shuffled=True)
    assert torch.cat([step.classes for step in made.steps]).sort()[0].tolist() == [0, 1, 2, 3]
    for step in made.steps:
        assert step.images.spec.class_names == tuple(four.spec.class_names[c] for c in step.classes)
        for k, c in enumerate(step.classes.tolist()):
            ours = step.images.train.pixels[step.images.train.labels == k]
            assert np.array_equal(ours, four.train.pixels[four.train.labels == c])
    orders = {tuple(stream(four, seed=s, shuffled=True).steps[0].classes.tolist()) for s in range(5)}
    assert len(orders) > 1


def test_an_image_may_be_taken_for_what_was_seen_or_for_its_own_task(
    four: ImageData, inverted: ImageData
) -> None:
    by_class = stream(four)
    assert by_class.rivals(0).sum(1).tolist() == [2, 2, 0, 0]
    assert by_class.rivals(1).all()
    assert [head.tolist() for head in by_class.heads(1)] == [[0, 1], [2, 3]]
    domain = stream(four, inverted, scenario="domain")
    assert domain.rivals(0).all() and len(domain.heads(1)) == 1
    task = stream(four, inverted, scenario="task")
    assert task.spec.num_classes == 8
    assert task.rivals(1)[:4, :4].all() and not task.rivals(1)[:4, 4:].any()


def test_classes_in_another_order_are_known_by_their_names(four: ImageData, inverted: ImageData) -> None:
    names = tuple(reversed(inverted.spec.class_names))
    train = replace(inverted.train, labels=3 - inverted.train.labels)
    other = replace(inverted, spec=replace(inverted.spec, class_names=names), train=train)
    made = stream(four, other, scenario="domain")
    assert made.steps[1].classes.tolist() == [3, 2, 1, 0]
    assert made.steps[1].images.spec.mean == four.spec.mean


def test_a_set_becomes_another_domain_by_its_name() -> None:
    made = stream_of(load_sets(["digits", "digits+rotate=90"], {}, silent), "domain", 0, (), False, 0)
    plain, turned = (step.images.train.pixels for step in made.steps)
    assert np.array_equal(np.rot90(plain[5]), turned[5])


# ---- learners and memories


def test_distillation_compares_each_group_apart() -> None:
    """-sum p log q at temperature 2 over classes 0 and 1, then over 2 alone, which is 0."""
    known, logits = torch.tensor([[2.0, 0.0, 5.0]]), torch.tensor([[0.0, 2.0, 1.0]])
    found = distillation(
        torch.nn.Identity(), [torch.tensor([0, 1]), torch.tensor([2])], known, logits, temperature=2.0
    )
    p, q = torch.softmax(torch.tensor([1.0, 0.0]), 0), torch.softmax(torch.tensor([0.0, 1.0]), 0)
    assert float(found) == pytest.approx(float(-(p * q.log()).sum()), rel=1e-6)


def test_settings_reach_the_learners_that_are_meant() -> None:
    found = learners(["eeil", "eeil-no-kd"], {"steps": 7, "eeil.lr": 0.5})
    assert [one.steps for one in found.values()] == [7, 7]  # type: ignore[attr-defined]
    assert [(one.lr, one.weight) for one in found.values()] == [(0.5, 1.0), (0.01, 0.0)]  # type: ignore[attr-defined]


def test_the_ring_keeps_the_last_of_each_class(four: ImageData, tmp_path: Path) -> None:
    step, rng = stream(four).steps[0], Rng(1)
    record = {"memory": {"method": memories.RING}, "count": 2, "budget": "images"}
    kept = memories.make(record, step, torch.device("cpu"), tmp_path, rng)
    came = memories.arrival(len(step.images.train), rng).numpy()
    for c in (0, 1):
        last = [i for i in came if step.images.train.labels[i] == c][-2:]
        wanted = step.images.spec.normalise(
            torch.from_numpy(step.images.train.pixels[last]).permute(0, 3, 1, 2)
        )
        found = kept.images.images[kept.images.labels == c]
        assert {tuple(x.flatten().tolist()) for x in found} == {tuple(x.flatten().tolist()) for x in wanted}
    assert (kept.stored, kept.bytes) == (4, 4 * (64 + 8))


def test_equal_bytes_round_what_is_learned(four: ImageData, tmp_path: Path) -> None:
    step = stream(four).steps[0]
    entry = {"label": "dm", "method": "dm", "fields": {"real_batch": 4}, "steps": 1}
    record = {"memory": entry, "count": 2, "network": SMALL["network"], "seed": 0}
    place = (step, torch.device("cpu"), tmp_path / "made", Rng(0))
    plain, rounded = (memories.make({**record, "budget": budget}, *place) for budget in memories.BUDGETS)
    assert (plain.bytes, rounded.bytes) == (4 * (256 + 8), 4 * (64 + 8) + 8)
    assert not torch.equal(plain.images.images, rounded.images.images)
    torch.testing.assert_close(plain.images.images, rounded.images.images, atol=0.02, rtol=0)


def test_forgetting_by_hand() -> None:
    """Task 1 was at .8 at best and ends at .5, task 2 was at .6 and ends at .7."""
    assert forgetting([[0.8], [0.7, 0.6], [0.5, 0.7, 0.9]]) == pytest.approx((0.3 - 0.1) / 2)


# ---- studies


def test_a_study_of_all_learners(four: ImageData, tmp_path: Path) -> None:
    said: list[str] = []
    names = ["eeil", "eeil-no-kd", "gdumb", "er"]
    out = tmp_path / "study"
    asked = {**SMALL, "steps": 1, "settings": {"real_batch": 4}, "learning": {**EEIL, **GDUMB}}
    found = condensery.continual(
        four,
        ["ring", "dm"],
        out=out,
        learners=names,
        seeds=[0, 1],
        announce=said.append,
        command="cmd",
        **asked,
    )
    assert [row.learner for row in found.rows] == names * 2 and not found.problems
    for row in found.rows:
        assert row.accuracies.shape == (2, 2) and row.images == 8
        assert row.bytes == 8 * ((64 if row.memory == "ring" else 256) + 8)
    json.dumps(found.to_json())
    page = html(found.report())
    assert all(f"{name}: mean accuracy" in page for name in names)
    assert any("dm, seed 1: step 2 of 2" in line for line in said)
    said.clear()
    again = condensery.continual(
        four, ["ring", "dm"], out=out, learners=names, seeds=[0, 1], announce=said.append, **asked
    )
    assert "4 of 4 jobs are done already" in said
    assert all(
        np.array_equal(a.accuracies, b.accuracies) for a, b in zip(found.rows, again.rows, strict=True)
    )


def test_an_interrupted_order_goes_on_to_the_same_bits(
    four: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def study(folder: str) -> condensery.Continual:
        return condensery.continual(
            four,
            ["random"],
            out=tmp_path / folder,
            learners=["eeil", "er"],
            seeds=[0],
            learning=EEIL,
            **SMALL,
        )

    whole, steps = study("whole"), []
    make = memories.make

    def stopping(*arguments: Any) -> memories.Memory:
        steps.append(arguments[1].name)
        if len(steps) == 2:
            raise KeyboardInterrupt
        return make(*arguments)

    monkeypatch.setattr(perform.memories, "make", stopping)
    with pytest.raises(Interrupted, match="0 of 1 job done; nothing is lost"):
        study("stopped")
    learned = []
    monkeypatch.setattr(perform, "_take", lambda *a, take=perform._take: (learned.append(a[3]), take(*a)))
    resumed = study("stopped")
    assert learned == [1]
    for a, b in zip(whole.rows, resumed.rows, strict=True):
        assert np.array_equal(a.accuracies, b.accuracies) and np.array_equal(a.forgetting, b.forgetting)


def test_orders_on_other_cores_come_out_the_same(tmp_path: Path) -> None:
    """Where the jobs of a study run changes no number."""

    def study(name: str, **where: Any) -> Continual:
        asked = {**SMALL, "ipc": 1, "learning": GDUMB, "seeds": [0, 1], "estimate": False}
        return condensery.continual("digits", ["random"], out=tmp_path / name, threads=1, **where, **asked)

    here, there = study("here"), study("there", workers=2)
    assert not there.problems and there.rows[0].seeds == (0, 1)
    assert np.array_equal(here.rows[0].accuracies, there.rows[0].accuracies)


# ---- bad input


def _other_size(four: ImageData) -> ImageData:
    def cut(part: condensery.LabeledImages) -> condensery.LabeledImages:
        return replace(part, pixels=np.ascontiguousarray(part.pixels[:, :, :6]))

    spec = replace(four.spec, width=6)
    return replace(four, spec=spec, train=cut(four.train), test=cut(four.test), fingerprint="d" * 64)


def _other_names(four: ImageData) -> ImageData:
    return replace(four, spec=replace(four.spec, class_names=("0", "1", "2", "x")), fingerprint="c" * 64)


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        (lambda f: [f], {"tasks": 3}, "4 classes of four digits in 3 steps.*; ask for 2 --tasks"),
        (lambda f: [f, _other_names(f)], {}, "the scenario class splits the classes of one set"),
        (lambda f: [f], {"scenario": "domain"}, "needs 2 or more sets, not four digits alone"),
        (lambda f: [f, f], {"scenario": "domain"}, "step 2, four digits, brings nothing new"),
        (lambda f: [f, f], {"scenario": "task"}, "step 2, four digits, brings nothing new"),
        (
            lambda f: [f, _other_names(f)],
            {"scenario": "domain"},
            "other classes than four digits, such as '3'",
        ),
        (lambda f: [f, _other_size(f)], {"scenario": "domain"}, "are 1x8x6 and those of four digits 1x8x8"),
        (lambda f: [f], {"scenario": "year"}, "unknown scenario 'year'; choose one of class, domain, task"),
        (lambda f: [f], {"order": ["0", "1", "2"]}, "the class '3' of four digits is not in the order"),
        (lambda f: [f], {"order": ["0", "1", "2", "2"]}, "the class '2' in the order is there twice"),
        (lambda f: [f], {"order": ["0", "7"]}, "the class '7' in the order is no class of four digits"),
        (
            lambda f: [f],
            {"ipc": 11},
            r"a memory of 11 images per class \(random\) is larger than the class '.' of .,., which has 10",
        ),
        (lambda f: [f], {"ipc": 0}, "--ipc must be at least 1, not 0"),
        (lambda f: [f], {"budget": "euros"}, "unknown budget 'euros'"),
        (lambda f: [f], {"learners": ["eiil"]}, "unknown learner 'eiil'.*did you mean 'eeil'"),
        (lambda f: [f], {"learning": {"pases": 3}}, "--learning pases: none of gdumb has a field"),
        (lambda f: [f], {"learning": {"epochs": 0}}, "gdumb.epochs must be a number of 1 or more, not 0"),
        (
            lambda f: [f],
            {"learners": ["eeil"], "learning": {"temperature": 0.0}},
            "the temperature of distillation must be more than 0, not 0",
        ),
        (lambda f: [f], {"memories": []}, "name a memory with --memories"),
        (
            lambda f: [f],
            {"memories": ["hreding"]},
            "'hreding'; there are ring, .*did you mean 'herding'",
        ),
        (lambda f: [f], {"seeds": []}, "name a seed with --seeds"),
        (lambda f: [f], {"network": "convnet+depth=9"}, "8x8 images are too small for 9 poolings"),
    ],
)
def test_what_cannot_be_learned_is_refused_before_any_work(
    four: ImageData,
    tmp_path: Path,
    data: Callable[[ImageData], list[ImageData]],
    options: dict[str, Any],
    said: str,
) -> None:
    asked = {**SMALL, "memories": ["random"], **options}
    with pytest.raises(BadInput, match=said):
        condensery.continual(data(four), out=tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_refused(four: ImageData, inverted: ImageData, tmp_path: Path) -> None:
    def study(images: ImageData, out: Path, **options: Any) -> None:
        condensery.continual(images, ["random"], out=out, seeds=[0], learning=GDUMB, **SMALL, **options)

    study(four, tmp_path / "study", threads=1)
    with pytest.raises(BadInput, match="holds a study of other images: choose another --out"):
        study(inverted, tmp_path / "study")
    with pytest.raises(BadInput, match="was started with --threads 1, not 2"):
        study(four, tmp_path / "study", threads=2)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(BadInput, match="is not empty and holds no study"):
        study(four, tmp_path / "mine")
    (result,) = (tmp_path / "study" / "results").iterdir()
    result.write_text("{")
    with pytest.raises(BadInput, match="is damaged: delete it, and it is done again"):
        study(four, tmp_path / "study")
