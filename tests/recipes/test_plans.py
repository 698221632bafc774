"""The plans of a recipe, what `--scale` and `--set` change of them, and that it is said."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from condensery.comparison.entries import all_fields
from condensery.data import load
from condensery.errors import BadInput
from condensery.recipes import get_recipe
from condensery.recipes.plans import Changes, place, plans
from condensery.recipes.run import _other_whitening


def test_a_hundredth_of_steps_sets_and_networks() -> None:
    recipe = get_recipe("dc-main-mnist").only([], ["DC", "Random"])
    (line,) = Changes(0.01).lines(recipe)
    assert line == (
        "scale 0.01: dc 1,000 -> 10 steps at 1 per class, dc 10,000 -> 100 steps at 10 per class, "
        "dc 50,000 -> 500 steps at 50 per class, 5 -> 1 set, 20 -> 1 network on each"
    )


def test_nothing_changed_says_nothing() -> None:
    assert Changes().lines(get_recipe("dc-main-mnist")) == ()


def test_steps_are_those_of_the_fields_of_the_table_and_of_the_user() -> None:
    recipe = get_recipe("dm-main-tiny-imagenet").only(["1 per class"], ["DM"])
    assert "dm 10,000 -> 1,000 steps at 1 per class" in Changes(0.1).lines(recipe)[0]
    changes = Changes(0.5, {"iterations": 40})
    told = changes.lines(get_recipe("dm-main-tiny-imagenet").only([], ["DM"]))
    assert told[0] == "set by hand: iterations = 40"
    assert "dm 10,000 -> 20 steps at 1 per class" in told[1]


def test_warm_up_and_preparation_shrink_with_the_run() -> None:
    recipe = get_recipe("dcc-warmup-cifar10").only(["DCC"], ["bilevel at 1", "no warm-up at 1"])
    none, bilevel = (Changes(0.1).entry(cell).fields for cell in recipe.cells)
    assert bilevel["outer_warmup"] == 25 and "outer_warmup" not in none
    assert "outer_warmup 250 -> 25" in Changes(0.1).lines(recipe)[0]
    trained = get_recipe("dm-networks").only(["1 per class"], ["Random", "30-40"])
    fields = [Changes(0.01).entry(cell).fields for cell in trained.cells]
    assert fields == [{}, {"weights": "30-40", "trained_networks": 10}]


def test_a_setting_reaches_the_methods_that_have_it_and_the_named_one_wins() -> None:
    recipe = get_recipe("dm-main-cifar10").only(["10 per class"], ["Random", "DC", "DM"])
    changes = Changes(settings={"real_batch": 8, "dm.real_batch": 16, "dc.inner_loop": 2})
    changes.lines(recipe)
    random, dc, dm = (changes.entry(cell).fields for cell in recipe.cells)
    assert random == {} and dc == {"real_batch": 8, "inner_loop": 2} and dm == {"real_batch": 16}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"real_bach": 8}, "none of dc has a field 'real_bach'; did you mean 'real_batch'"),
        ({"dm.real_batch": 8}, "'dm' is not compared; there are dc"),
    ],
)
def test_a_setting_that_nobody_has(settings: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Changes(settings=settings).lines(get_recipe("dc-width"))


@pytest.mark.parametrize("scale", [0, -1, math.nan, math.inf])
def test_a_scale_that_is_none(scale: float) -> None:
    with pytest.raises(BadInput, match="--scale must be more than 0"):
        Changes(scale)


def test_parts_hold_every_cell_and_no_more() -> None:
    (one,) = plans(get_recipe("dc-main-svhn"), Changes(), load("digits"))
    assert [c.label for c in one.entries] == ["random", "herding", "k-center", "forgetting", "dc"]
    assert one.budgets == (1, 10, 50) and one.networks == ("convnet",) and one.whole
    rows = plans(get_recipe("dc-cross-architecture"), Changes(), load("digits"))
    assert len(rows) == 6 and all(len(p.networks) == 6 and not p.whole for p in rows)
    assert rows[0].entries[0].fields["image_lr"] == 0.01 != rows[1].entries[0].fields["image_lr"]
    by_protocol = plans(get_recipe("dsa-main-cifar10"), Changes(), load("digits"))
    assert {p.protocol["name"]: [c.method for c in p.entries] for p in by_protocol} == {
        "dc-2021": ["random", "herding", "forgetting", "dc"],
        "dsa-2021": ["dsa"],
    }


@pytest.mark.parametrize("name", ["dsa-schemes", "dm-main-cifar100", "dc-distances", "dm-number-of-images"])
def test_parts_count_what_the_cells_count(name: str) -> None:
    recipe = get_recipe(name)

    def every(method: str, own: dict) -> tuple:
        return tuple(sorted(all_fields(method, **own).items()))

    wanted = {
        (
            c.method,
            every(c.method, dict(c.fields)),
            c.ipc,
            c.condensed_with or "convnet",
            c.network,
            c.protocol,
        )
        for c in recipe.cells
        if c.ipc
    }
    found = [
        (c.method, every(c.method, c.fields), ipc, p.condense_with[0], network, p.protocol["name"])
        for p in plans(recipe, Changes(), load("digits"))
        for c in p.entries
        for ipc in p.budgets
        for network in p.networks
    ]
    assert set(found) == wanted and len(found) == len(wanted)


def test_a_set_with_a_way_of_its_own_is_judged_by_it() -> None:
    cells = get_recipe("dc-small-networks-mnist").only(["10 per class"], []).cells
    assert [place(cell, Changes())[-1] for cell in cells] == ["own recipe", "dc-2021"]
    (plan,) = {
        p.protocol["name"] for p in plans(get_recipe("dc-small-networks-mnist"), Changes(), load("digits"))
    }
    assert plan == "dc-2021"


def test_whitening_that_was_published_and_is_not_there_is_said() -> None:
    cifar = replace(load("digits").spec, name="cifar10")
    images = replace(load("digits"), spec=cifar)
    said = _other_whitening(get_recipe("generative-main-cifar10").only([], ["MTT"]), images)
    assert said == [
        "mtt at 1, 10 per class: published with images whitened as zca-kornia, not as none (--whitening)"
    ]
    assert _other_whitening(get_recipe("generative-main-mnist"), images) == []
