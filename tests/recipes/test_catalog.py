"""Every recipe can be followed: its methods, networks and protocols exist and fit its images."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from condensery.budgets import uniform
from condensery.coresets import SELECTORS
from condensery.data import KNOWN_SETS, ClassPool
from condensery.errors import BadInput
from condensery.evaluation import get_protocol
from condensery.method import Task
from condensery.methods import METHODS, get_method
from condensery.models.registry import resolve
from condensery.published import ACCURACY, WHOLE
from condensery.recipes import Recipe, get_recipe, recipes
from condensery.recipes.catalog import cost, find_images, where_from
from condensery.records import ImageSpec, LabeledImages

RECIPES = list(recipes().values())
TABLES = [recipe for recipe in RECIPES if not recipe.study]
STUDIES = [recipe for recipe in RECIPES if recipe.study]
FINE_GRAINED = {"automobile": 9, "terrier": 26, "fish": 16, "lizard": 11, "truck": 9, "insect": 27}


@cache
def pool(data: str) -> ClassPool:
    """Ten plain images per class, of the shape and number of classes that the set has."""
    known = KNOWN_SETS.get(data)
    shape = (known.channels, known.height, known.width) if known else (3, 32, 32)
    classes = known.num_classes if known else FINE_GRAINED[data.removeprefix("imagenet32-")]
    names = tuple(map(str, range(classes)))
    spec = ImageSpec(*shape, names, (0.5,) * shape[0], (0.2,) * shape[0], name=data)
    pixels = np.zeros((10 * classes, *shape[1:], shape[0]), np.uint8)
    return ClassPool(LabeledImages(pixels, np.arange(classes).repeat(10)), spec, torch.device("cpu"))


@pytest.mark.parametrize("recipe", TABLES, ids=lambda recipe: recipe.name)
def test_every_cell_can_be_made_and_judged(recipe: Recipe) -> None:
    images = pool(recipe.data)
    assert {cell.data for cell in recipe.cells} == {recipe.data}
    for method, fields, ipc, made_with in {
        (cell.method, cell.fields, cell.ipc, cell.condensed_with) for cell in recipe.cells
    }:
        if method in METHODS:
            counts = uniform(ipc or 1, images.spec.num_classes)
            task = Task(images, resolve(made_with or ""), counts, torch.device("cpu"))
            get_method(method, **dict(fields)).check(task)
        else:
            assert method in (*SELECTORS, WHOLE)
    for network in {cell.network for cell in recipe.cells}:
        assert resolve(network).parameter_count(images.spec) > 0
    for protocol in {cell.protocol for cell in recipe.cells}:
        get_protocol(protocol)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_recipe_says_what_it_is(recipe: Recipe) -> None:
    assert recipe.title and recipe.source and all(map(where_from, recipe.all_data))
    assert not any("," in label for label in (*recipe.rows, *recipe.columns)), "filters are split at commas"
    known = sum(cell.value is not None for cell in recipe.cells)
    assert recipe.study or (known > 0) == (recipe.quantity == ACCURACY)


def test_the_tables_that_were_asked_for_are_there() -> None:
    wanted = "dc-main-mnist dsa-main-svhn dm-main-tiny-imagenet dcc-main-cifar100 dc-cross-architecture dc-activation "
    wanted += (
        "dc-pooling dc-normalisation dc-depth dc-width dc-distances dsa-schemes dsa-augmentations-cifar10 "
    )
    wanted += (
        "dcc-warmup-cifar10 dm-networks dm-batch-norm-cifar10 dm-number-of-images dcc-alignment-uniformity "
    )
    wanted += "dsa-gradient-magnitudes dcc-kernel-velocity"
    wanted += (
        " dc-continual dsa-continual dm-continual-5 dm-continual-10 dcc-continual dcc-continual-general "
    )
    wanted += "dc-search dsa-search dm-search"
    assert set(wanted.split()) <= set(recipes())


@pytest.mark.parametrize("recipe", STUDIES, ids=lambda recipe: recipe.name)
def test_every_study_can_be_asked_for(recipe: Recipe) -> None:
    study = recipe.study or {}
    for cell in recipe.cells:
        assert cell.method in (*METHODS, *SELECTORS, WHOLE, "ring", "early")
        assert cell.network == cell.condensed_with == "convnet" and cell.data == study["data"][0]
        what, _, of = cell.part.partition(" ")
        if study["kind"] == "continual":
            steps = study.get("tasks", len(study["data"]))
            assert what in study["learners"] and 1 <= int(of) <= steps and not cell.plain
        else:
            assert what in ("test", "correlation", "minutes", "images")
            assert cell.plain == (what != "test")


def test_values_of_studies_are_those_of_the_papers() -> None:
    def value(name: str, row: str, column: str) -> float | None:
        (cell,) = get_recipe(name).only([row], [column]).cells
        return cell.value and cell.value.mean

    assert value("dm-continual-5", "after step 5", "DM") == 0.344
    assert value("dm-continual-10", "after step 10", "Herding") == 0.274
    assert value("dsa-continual", "without distillation after step 3", "DSA") == 0.944
    assert value("dc-search", "Correlation of the best 10", "Random") == -0.21
    assert value("dsa-search", "Minutes to train all", "Whole set") == 3580.2
    assert value("dm-search", "Test accuracy of the chosen %", "Early stopping") == 0.843


def test_cost_of_studies() -> None:
    """Three memories of three sets in five orders, two of them learned; 720 networks on four proxies, five times."""
    stream, search = cost(get_recipe("dcc-continual")), cost(get_recipe("dc-search"))
    assert (stream.sets, stream.updates, stream.networks) == (30, 30 * 10_000, 45)
    assert (search.sets, search.networks) == (3, 720 * 4 * 5)


def test_cost_counts_shared_sets_once() -> None:
    """Table 3.2: six sets of six networks each; 1,000 updates at 1 image per class; 5 x 20."""
    counted = cost(get_recipe("dc-cross-architecture"))
    assert (counted.sets, counted.updates, counted.networks) == (30, 30_000, 3600)
    schemes = cost(
        get_recipe("dsa-schemes")
    )  # none, and siamese, independent, real, synthetic for each of four
    assert (schemes.sets, schemes.updates) == (5 * 17, 5 * 17 * 10_000)


def test_some_rows_and_columns() -> None:
    part = get_recipe("DC-Width").only(["32", "64"], ["128"])
    assert [(c.row, c.column) for c in part.cells] == [("32", "128"), ("64", "128")]
    assert get_recipe("dc-pooling").only(["max"], ["NONE"]).rows == ("Max",)


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="'dc-man-mnist'; did you mean 'dc-main-mnist'"):
        get_recipe("dc-man-mnist")
    with pytest.raises(BadInput, match="no row 'Maxi'; there are None, Max, Average; did you mean 'max'"):
        get_recipe("dc-pooling").only(["Maxi"], [])
    with pytest.raises(BadInput, match="no column 'x'"):
        get_recipe("dc-pooling").only([], ["x"])
    with pytest.raises(BadInput, match="has no cell in row 10 per class and column Whole set"):
        get_recipe("dc-main-mnist").only(["10 per class"], ["Whole set"])


def test_missing_images_are_asked_for_by_name(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDENSERY_DATA", str(tmp_path))
    monkeypatch.setenv("CONDENSERY_CACHE", str(tmp_path / "cache"))
    with pytest.raises(BadInput, match=r"images of cifar100 .*uoft-cs/cifar100.*CONDENSERY_DATA.*--data"):
        find_images("cifar100", None)
    with pytest.raises(BadInput, match=r"imagenet32-fish .*Table 6.*--data PATH"):
        find_images("imagenet32-fish", None)
    (tmp_path / "imagenet32-fish").mkdir()
    (tmp_path / "cifar100").mkdir()
    assert find_images("imagenet32-fish", None) == str(tmp_path / "imagenet32-fish")
    assert find_images("cifar100", None) == "cifar100"
    assert find_images("cifar100", str(tmp_path)) == str(tmp_path / "cifar100")
    assert find_images("mnist", "digits") == "digits"
    with pytest.raises(
        BadInput, match=rf"{tmp_path} holds cifar100 but no folder svhn: put the images there"
    ):
        find_images("svhn", str(tmp_path))
