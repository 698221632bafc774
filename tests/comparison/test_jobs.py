"""Which sets and cells a plan has, and what decides their keys."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from condensery import PROTOCOLS, BadInput
from condensery.comparison.entries import entries
from condensery.comparison.jobs import cells, sets
from condensery.comparison.plan import Entry, Plan
from condensery.evaluation import Protocol, get_protocol

SPEC = {
    "name": "custom",
    "channels": 1,
    "height": 8,
    "width": 8,
    "class_names": ["a", "b"],
    "mean": [0.5],
    "std": [0.25],
    "flip": False,
}


def plan(**changed) -> Plan:
    settings = {
        "source": "photos",
        "options": {},
        "fingerprint": "f" * 64,
        "spec": SPEC,
        "train_images": 1000,
        "entries": entries(["dm", "random"], {}, 10),
        "budgets": (1, 10),
        "condense_with": ("convnet",),
        "networks": ("convnet", "mlp"),
        "seeds": (0, 1),
        "protocol": PROTOCOLS["quick"].to_json(),
        "repeats": 3,
    }
    return Plan(**{**settings, **changed})


def keys(jobs) -> set[str]:
    return {job.key for job in jobs}


def test_every_combination_is_there_once() -> None:
    made, found = sets(plan()), cells(plan())
    assert len(keys(made)) == len(made) == 2 * 2 * 2  # entries, budgets, seeds
    assert len(keys(found)) == len(found) == 8 * 2 + 2  # networks; the whole set on each
    assert [cell.kind for cell in found[-2:]] == ["whole", "whole"]
    assert len(cells(plan(whole=False))) == 16
    assert len(sets(plan(condense_with=("convnet", "lenet")))) == 4 + 8, "random images need no network"


def test_keys_are_readable_names_of_files() -> None:
    for job in [*sets(plan()), *cells(plan(networks=("my.module:Net+width=8",), whole=False))]:
        assert "/" not in job.key and ":" not in job.key and len(job.key) < 200
    assert sets(plan())[0].key.startswith("dm-ipc1-convnet-seed0-")
    assert cells(plan())[1].key.startswith("dm-ipc1-convnet-seed0-on-mlp-quick-")


def test_a_larger_plan_has_the_cells_of_a_smaller_one() -> None:
    larger = plan(
        entries=entries(["dc", "dm", "random"], {}, 10),
        budgets=(1, 10),
        networks=("lenet", "mlp", "convnet"),
        seeds=(0, 1, 2),
        condense_with=("lenet", "convnet"),
    )
    assert keys(sets(plan())) < keys(sets(larger))
    assert keys(cells(plan())) < keys(cells(larger))


def test_where_the_images_lie_and_what_an_entry_is_called_decide_nothing() -> None:
    elsewhere = plan(source="/other/photos", options={"image_column": "picture"})
    renamed = plan(entries=entries(["first=dm", "random"], {}, 10))
    for other in (elsewhere, renamed):
        assert keys(cells(plan())) == keys(cells(other))


@pytest.mark.parametrize(
    "changed",
    [
        {"fingerprint": "e" * 64},
        {"spec": {**SPEC, "flip": True}},
        {"protocol": {**PROTOCOLS["quick"].to_json(), "epochs": 299}},
        {"repeats": 4, "whole_repeats": 2},
        {"evaluation_seed": 7},
    ],
)
def test_what_decides_an_accuracy_changes_every_key(changed) -> None:
    assert not keys(cells(plan())) & keys(cells(plan(**changed)))


@pytest.mark.parametrize(
    ("settings", "steps", "scale"), [({"real_batch": 64}, 10, None), ({}, 11, None), ({}, None, 0.5)]
)
def test_what_decides_a_set_changes_its_key(settings, steps, scale) -> None:
    other = plan(entries=entries(["dm", "random"], settings, steps), scale=scale)
    of_dm = [{job.key for job in sets(p) if job.record["method"] == "dm"} for p in (plan(), other)]
    of_random = [{job.key for job in sets(p) if job.record["method"] == "random"} for p in (plan(), other)]
    assert not of_dm[0] & of_dm[1] and of_random[0] == of_random[1]


def test_steps_are_published_scaled_or_as_asked() -> None:
    (dm, dc) = entries(["dm", "dc"], {}, {"dc": 7})
    assert plan(scale=0.01).steps(dm, 10) == 200 and plan().steps(dm, 1) == 20_000
    assert plan(scale=0.01).steps(dc, 10) == 7 and plan().steps(replace(dc, steps=None), 10) == 10_000
    assert plan(scale=1e-9).steps(dm, 1) == 1
    assert plan().steps(Entry("random", "random"), 1) is None


def test_the_whole_set_gets_the_optimiser_steps_of_the_largest_set() -> None:
    """301 epochs of one batch on 20 images; 1,000 images are 4 batches, so 76 epochs are the first with as many."""
    (cell,) = cells(plan(networks=("mlp",)))[-1:]
    assert cell.record["epochs"] == 76
    assert cells(plan(networks=("mlp",), whole_epochs=5))[-1].record["epochs"] == 5


def test_a_plan_survives_json() -> None:
    there = Plan.from_json(json.loads(json.dumps(plan().to_json())))
    assert there == plan() and keys(cells(there)) == keys(cells(plan()))


@pytest.mark.parametrize("name", [*PROTOCOLS, "quick+augmentation=crop_scale", "dsa-2021+augmentation=none"])
def test_a_protocol_survives_json(name: str) -> None:
    there = Protocol.from_json(json.loads(json.dumps(get_protocol(name).to_json())))
    assert there == replace(get_protocol(name), summary="")


def test_a_protocol_that_cannot_travel_is_refused() -> None:
    with pytest.raises(BadInput, match="'mine' cannot be sent to workers"):
        replace(PROTOCOLS["quick"], name="mine", augmenter=lambda spec, network: None).to_json()


def test_settings_for_one_win_over_those_for_all() -> None:
    found = entries(
        ["dm", "mine=dm", "random"], {"mine.real_batch": 4, "real_batch": 64, "dm.init": "noise"}, {"mine": 3}
    )
    assert [(c.label, c.method, c.steps) for c in found] == [
        ("dm", "dm", None),
        ("mine", "dm", 3),
        ("random", "random", None),
    ]
    assert (found[0].fields["real_batch"], found[0].fields["init"]) == (64, "noise")
    assert (found[1].fields["real_batch"], found[1].fields["init"]) == (4, "real")


@pytest.mark.parametrize(
    ("methods", "settings", "steps", "words"),
    [
        ([], {}, None, ["nothing to compare", "--methods"]),
        (["dmm"], {}, None, ["'dmm'", "did you mean 'dm'"]),
        (["dm", "dm"], {}, None, ["'dm' is there twice", "dm-2=dm"]),
        (["dm"], {"real_bach": 1}, None, ["real_bach", "did you mean 'real_batch'"]),
        (["dm"], {"dsa.init": "real"}, None, ["'dsa' is not compared", "dm"]),
        (["dm"], {"dm.outer_loop": 2}, None, ["dm has no field 'outer_loop'"]),
        (["dm"], {"dm.real_batch": 0}, None, ["dm.real_batch", "1 or more", "0"]),
        (["dm"], {"dm.real_batch": "many"}, None, ["dm.real_batch must be a whole number", "'many'"]),
        (["dm", "random"], {}, {"random": 3}, ["'random'", "dm"]),
        (["dm"], {}, {"dsa": 3}, ["dsa=3", "dm"]),
        (["dm"], {}, 0, ["--steps must be at least 1"]),
        (["random"], {"random.seed": 3}, None, ["seed"]),
    ],
)
def test_what_is_refused(methods, settings, steps, words) -> None:
    with pytest.raises(BadInput) as refusal:
        entries(methods, settings, steps)
    for word in words:
        assert word in str(refusal.value)
