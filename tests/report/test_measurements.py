"""Evaluations as measurements: what is pooled, what is kept apart, what counts once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from condensery.report.measurements import in_order, measurements


def score(subject: str, *rows: list[float], **more: Any) -> dict[str, Any]:
    known = {
        "subject": subject,
        "network": "convnet",
        "images": 10,
        "bytes": 100,
        "epochs": 301,
        "seconds": 2.0,
    }
    return {**known, "accuracies": list(rows), **more}


def document(*scores: dict[str, Any], **more: Any) -> dict[str, Any]:
    known = {
        "data": "cifar10",
        "method": "dm",
        "fields": {"real_batch": 64},
        "ipc": 10,
        "steps": 150,
        "condensed_with": "convnet",
        "condense_seconds": [60.0],
        "set_seeds": [0],
        "made_with": ["condense run"],
        "protocol": "quick",
        "seed": 0,
        "command": "condense evaluate",
        "scores": list(scores),
    }
    return {**known, **more}


def found(*documents: dict[str, Any]):
    return in_order([m for m, _ in measurements([(Path("x.jsonl"), one) for one in documents])])


def test_published_values_stand_beside_ours():
    ours, chance = found(document(score("dm", [0.4, 0.5]), score("random", [0.3], [0.2])))[::-1]
    assert ours.published is not None and (ours.published.mean, ours.published.std) == (0.489, 0.006)
    assert chance.published is not None and chance.published.mean == 0.26
    assert found(document(score("dm", [0.4]), data="photos"))[0].published is None
    assert found(document(score("dm", [0.4], network="somebody:s")))[0].published is None


def test_the_same_random_images_count_once():
    first = document(score("random", [0.1], [0.2]), method="dm")
    again = document(score("random", [0.1], [0.2], [0.3]), method="dc", time="later")
    (m,) = found(first, again)
    assert m.accuracies == ((0.1,), (0.2,), (0.3,)) and m.evaluate_seconds == 4.0


def test_random_images_of_another_seed_are_more_of_them():
    (m,) = found(document(score("random", [0.1])), document(score("random", [0.4]), seed=1))
    assert m.accuracies == ((0.1,), (0.4,))


def test_one_set_judged_twice_is_one_set_with_more_networks():
    (m,) = found(document(score("dm", [0.1, 0.2])), document(score("dm", [0.3]), seed=1))
    assert m.accuracies == ((0.1, 0.2, 0.3),) and m.make_seconds == (60.0,)
    (m,) = found(document(score("dm", [0.1, 0.2])), document(score("dm", [0.1, 0.2, 0.5])))
    assert m.accuracies == ((0.1, 0.2, 0.5),), "the same seed draws the same networks"


def test_seeds_evaluated_one_by_one():
    (m,) = found(
        document(score("dm", [0.1])), document(score("dm", [0.3]), set_seeds=[1], condense_seconds=[70.0])
    )
    assert m.accuracies == ((0.1,), (0.3,)) and m.make_seconds == (60.0, 70.0)


def test_kinds_that_are_kept_apart():
    made = found(
        document(score("dm", [0.1])),
        document(score("dm", [0.1], network="mlp")),
        document(score("dm", [0.1]), protocol="dm-2023"),
        document(score("dm", [0.1], labels="soft")),
        document(score("dm", [0.1], augmentation="none")),
        document(score("dm", [0.1]), condensed_with="lenet"),
        document(score("dm", [0.1]), ipc=1),
        document(score("dm", [0.1]), fields={"real_batch": 256}),
        document(score("dm", [0.1]), steps=300),
    )
    assert len(made) == 9 and all(m.n == 1 for m in made)


def test_settings_that_differ_are_in_the_name():
    made = found(
        document(score("dm", [0.1])), document(score("dm", [0.2]), fields={"real_batch": 256}, steps=300)
    )
    assert [m.subject for m in made] == ["dm real_batch=64 steps=150", "dm real_batch=256 steps=300"]
    made = found(document(score("dm", [0.1])), document(score("dm", [0.1]), steps=40, ipc=1))
    assert {m.subject for m in made} == {"dm"}, "other budgets may have other settings"


def test_whole_sets_of_other_lengths_are_kept_apart():
    made = found(document(score("whole", [0.8], epochs=40)), document(score("whole", [0.7], epochs=1), ipc=1))
    assert [(m.ipc, m.epochs) for m in made] == [(None, 1), (None, 40)]
    assert made[0].published is not None and made[0].published.mean == 0.848


def test_methods_that_are_not_ours():
    (m,) = found(document(score("theirs", [0.5]), method="theirs", fields={"x": 1}))
    assert m.published_steps is None and m.steps == 150
    (m,) = found(document(score("dm", [0.5]), fields={"of another version": 1}))
    assert m.published_steps is None
