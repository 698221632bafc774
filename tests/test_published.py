"""The published values: whole, of known names, and equal to what the papers print."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from condensery import ImageSpec
from condensery.data import KNOWN_SETS
from condensery.errors import BadInput
from condensery.evaluation import get_protocol
from condensery.methods import METHODS, get_method
from condensery.models.registry import resolve
from condensery.presets import preset_settings
from condensery.published import WHOLE, PublishedCell, PublishedTable, lookup, tables, values

TABLES = tables()
SELECTORS = ("random", "herding", "k-center", "forgetting", "grand", "el2n", "consistency")

# Typed by hand from the papers: (data, method, images per class, network, condensed with) and percents.
MAIN = [
    ("mnist", "random", 1, "convnet", None, 64.9, 3.5, "thesis, Table 3.1"),
    ("mnist", "k-center", 10, "convnet", "convnet", 84.4, 1.7, "thesis, Table 3.1"),
    ("fashion-mnist", "herding", 50, "convnet", "convnet", 71.9, 0.8, "thesis, Table 3.1"),
    ("svhn", "dc", 10, "convnet", "convnet", 76.1, 0.6, "thesis, Table 3.1"),
    ("cifar10", "forgetting", 1, "convnet", "convnet", 13.5, 1.2, "thesis, Table 3.1"),
    ("cifar10", WHOLE, None, "convnet", None, 84.8, 0.1, "thesis, Table 3.1"),
    ("cifar100", "dc", 10, "convnet", "convnet", 25.2, 0.3, "thesis, Table T9"),
    ("mnist", "dc", 1, "resnet18", "lenet", 89.0, 0.8, "thesis, Table 3.2"),
    ("mnist", "dc", 1, "alexnet", "mlp", 70.9, 11.6, "thesis, Table 3.2"),
    ("cifar10", "dc", 10, "alexcifarnet", "alexcifarnet", 39.1, 1.2, "thesis, Table 3.3"),
    ("mnist", "dc", 10, "vgg11", "lenet", 92.9, 0.5, "thesis, Table T10"),
    ("mnist", "dc", 1, "convnet+activation=sigmoid", "convnet", 86.1, 0.9, "thesis, Table T2"),
    ("mnist", "dc", 1, "convnet", "convnet+pooling=max", 91.1, 0.6, "thesis, Table T3"),
    ("mnist", "dc", 1, "convnet+norm=batch", "convnet", 56.7, 6.5, "thesis, Table T4"),
    ("mnist", "dc", 1, "convnet+depth=4", "convnet+depth=2", 89.4, 0.8, "thesis, Table T5"),
    ("mnist", "dc", 1, "convnet+width=32", "convnet+width=256", 91.0, 0.7, "thesis, Table T6"),
    ("fashion-mnist", "dsa", 10, "convnet", "convnet", 84.6, 0.3, "thesis, Table 4.1"),
    ("cifar100", "dsa", 10, "convnet", "convnet", 32.3, 0.3, "thesis, Table 4.2"),
    ("mnist", "dsa", 1, "lenet", "vgg11+norm=batch", 84.5, 1.6, "thesis, Table 4.3"),
    ("cifar10", "dm", 50, "convnet", "convnet", 63.0, 0.4, "thesis, Table 5.1"),
    ("cifar100", "dsa", 50, "convnet", "convnet", 42.8, 0.4, "thesis, Table 5.1"),
    ("tiny-imagenet", "dm", 10, "convnet+depth=4", "convnet+depth=4", 12.9, 0.4, "thesis, Table 5.1"),
    ("cifar10", "dsa", 50, "convnet+norm=batch", "convnet+norm=batch", 59.9, 0.8, "thesis, Table 5.2"),
    (
        "cifar10",
        "dm",
        50,
        "resnet18+norm=batch",
        "resnet18-ap",
        52.2,
        0.4,
        "thesis, Table 5.3",
    ),
    ("svhn", "dsac", 1, "convnet", "convnet", 47.5, 2.6, "DCC paper, Table 2"),
    ("cifar100", "dcc", 50, "convnet", "convnet", 40.0, 0.3, "DCC paper, Table 2"),
    ("cifar100", "consistency", 50, "convnet", None, 30.4, 0.3, "DCC paper, Table 2"),
    ("svhn", "el2n", 10, "convnet", "convnet", 32.5, 1.2, "DCC paper, Table 2"),
    ("imagenet32-fish", "dcc", 50, "convnet", "convnet", 28.4, None, "DCC paper, Table 1"),
    ("cifar10", "dsac", 50, "vgg11", "convnet", 56.0, None, "DCC paper, Table 3"),
    ("mnist", "dd", 10, "lenet", "lenet", 79.5, 8.1, "thesis, Table 3.3"),
    ("cifar10", "dd", 10, "alexcifarnet", "alexcifarnet", 36.8, 1.2, "thesis, Table 3.3"),
    ("mnist", "dd", 10, "resnet18", "lenet", 63.6, 12.7, "thesis, Table T10"),
    ("cifar10", "ld", 1, "alexcifarnet", "alexcifarnet", 25.7, 0.7, "generative model paper, Table 2"),
    ("svhn", "cafe", 1, "convnet", "convnet", 42.6, None, "CAFE paper, Table 1"),
    ("cifar10", "mtt", 50, "convnet", "convnet", 71.6, 0.2, "MTT paper, Table 1; DD-Eval; TESLA paper"),
    ("cifar10", "kip", 10, "convnet", "convnet", 47.3, 0.3, "DCC paper, Table 2"),
]

# Of tables that `lookup` leaves out: (table, row, column) and percents.
ABLATIONS = [
    ("dc-distances", "Euclidean", "ConvNet", 92.7, 0.3),
    ("dc-distances", "Row-wise", "MLP", 70.5, 1.2),
    ("dsa-schemes", "Scale", "E", 45.7, 0.6),
    ("dsa-augmentations-svhn", "DSA", "Cutout", 73.1, 0.6),
    ("dm-networks", "10 per class", "40-50", 51.1, None),
    ("dm-number-of-images", "DM", "1250 per class", 80.8, 0.3),
    ("dcc-warmup-cifar100", "DSAC", "no warm-up at 10", 29.3, None),
    ("dcc-warmup-kinds", "DCC at 1", "Simple", 13.01, None),
    ("mtt-main-cifar10", "10 per class", "Its sets judged again", 63.1, None),
    ("mtt-main-cifar100", "50 per class", "TESLA", 47.9, 0.3),
    ("generative-main-cifar10", "50 per class", "MTT", 72.8, 0.2),
    ("cafe-main-cifar10", "10 per class", "CAFE+DSA", 50.9, 0.5),
    ("generative-cross-architecture", "CAFE", "ResNet18", 25.3, 0.9),
]


@pytest.mark.parametrize("row", MAIN, ids=lambda row: f"{row[0]}-{row[1]}-{row[2]}-{row[3]}-{row[4]}")
def test_numbers_of_the_papers(row: tuple) -> None:
    data, method, ipc, network, condensed_with, mean, std, source = row
    found = lookup(data, method, ipc, network, condensed_with)
    assert found is not None
    assert found.mean == pytest.approx(mean / 100)
    assert found.std == (None if std is None else pytest.approx(std / 100))
    assert found.source == source


@pytest.mark.parametrize(("name", "row", "column", "mean", "std"), ABLATIONS)
def test_numbers_of_ablations(name: str, row: str, column: str, mean: float, std: float | None) -> None:
    (table,) = [table for table in TABLES if table.name == name]
    (cell,) = [cell for cell in table.cells if (cell.row, cell.column) == (row, column)]
    assert cell.value and cell.value.mean == pytest.approx(mean / 100)
    assert cell.value.std == (None if std is None else pytest.approx(std / 100))


def test_lookup_knows_every_spelling_and_prefers_a_methods_own_paper() -> None:
    assert lookup("cifar10", "dm", 50, "ConvNetBN", "convnet+norm=batch") == lookup(
        "cifar10", "dm", 50, "convnet+norm=batch", "convnet+norm=batch"
    )
    dc = lookup("cifar10", "dc", 50)
    assert dc and dc.mean == 0.539  # the DCC paper's own run of DC gives 54.8
    only_there = lookup("cifar100", "dc", 50)
    assert only_there and only_there.source == "DCC paper, Table 2"


@pytest.mark.parametrize(
    ("method", "protocol"),
    [
        ("herding", "dc-2021"),
        ("dc", "dc-2021"),
        ("dcc", "dc-2021"),
        ("dsa", "dsa-2021"),
        ("dsac", "dsa-2021"),
        ("dm", "dm-2023"),
    ],
)
def test_a_value_knows_how_it_was_judged(method: str, protocol: str) -> None:
    found = lookup("cifar10", method, 10)
    assert found and found.protocol == protocol


def test_lookup_knows_what_nobody_published() -> None:
    assert lookup("cifar10", "dm", 51) is None
    assert lookup("digits", "dm", 1) is None
    assert lookup("cifar10", "dm", 50, "my.module:Net", "my.module:Net") is None
    with pytest.raises(BadInput, match="did you mean"):
        lookup("cifar10", "dm", 50, "convnett")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_table_is_whole(table: PublishedTable) -> None:
    places = [(cell.row, cell.column) for cell in table.cells]
    assert len(set(places)) == len(places), "two values for one cell"
    for cell in table.cells:
        assert cell.value is None or cell.plain or 0 < cell.value.mean < 1
        assert cell.value is None or cell.value.std is None or 0 <= cell.value.std < 0.2
        assert (cell.ipc is None) == (cell.method == WHOLE)
        assert cell.data in KNOWN_SETS or cell.data.startswith("imagenet32-")
        get_protocol(cell.protocol)
        assert cell.value is None or cell.value.protocol == cell.protocol or table.name.startswith("methods-")
        for network in (cell.network, cell.condensed_with):
            assert network is None or resolve(network).canonical == network
        if cell.method in METHODS:
            get_method(cell.method, **dict(cell.fields))
            assert cell.condensed_with is not None
        else:
            of_studies = ("ring", "early") if table.study else ()
            assert cell.method in (*SELECTORS, WHOLE, *of_studies) and not cell.fields


def test_the_table_of_all_methods_has_settings_and_values_of_their_own_papers() -> None:
    table = next(table for table in TABLES if table.name == "methods-cifar10")
    assert {cell.method for cell in table.cells} == {*METHODS, "random", "herding"}

    def cells(row: str) -> list[PublishedCell]:
        return list(table.only([row], []).cells)

    common, own, *_ = cells("MTT")
    assert common.fields == own.fields and dict(own.fields)["max_start_epoch"] == 2
    assert common.value is None and own.value and own.value.mean == 0.463 and own.own and not common.own
    assert [cell.value and cell.value.mean for cell in cells("DM")] == [0.26, 0.489]
    assert [cell.value for cell in cells("FRePo")] == [None] * 4, "published with another network"
    assert [cell.value and cell.value.mean for cell in cells("VAE")] == [0.157, 0.298]


def test_competitors_have_the_settings_of_the_paper_preset() -> None:
    """Their cells hold them as data, so that a recipe needs no preset; the two must not part."""
    known = {"generative-main", "dc-small-networks", "dc-from-lenet", "frepo-main", "mtt-main", "dcc-main"}
    judged = [c for t in TABLES for c in t.cells if c.own and t.name.startswith(tuple(known))]
    assert {c.method for c in judged} == {"dd", "ld", "mtt", "frepo", "kip"}
    for cell in judged:
        spec = ImageSpec(3, 32, 32, ("a", "b"), (0.5,) * 3, (0.5,) * 3, name=cell.data)
        network = resolve(cell.condensed_with or "").kind
        variant = {name: value for name, value in cell.fields if name == "gradient"}
        fields, steps = preset_settings("paper", cell.method, spec, cell.ipc or 1, network, variant)
        published = get_method(cell.method, **variant, **fields)
        ours = get_method(cell.method, **dict(cell.fields))
        assert ours.steps(cell.ipc or 1) == (steps or published.steps(cell.ipc or 1))
        assert replace(ours, iterations=1) == replace(published, iterations=1)  # type: ignore[type-var]


def test_the_better_of_cafes_two_is_condensed_as_it_was() -> None:
    """The generative model paper prints one value; CAFE's own paper says of which variant it is."""
    own = {(c.data, c.ipc, dict(c.fields).get("augmentation"), c.value.mean) for c in _cells("cafe-main")}
    for cell in _cells("generative-main"):
        if cell.method == "cafe":
            assert (cell.data, cell.ipc, dict(cell.fields).get("augmentation"), cell.value.mean) in own


def _cells(name: str) -> list[Any]:
    return [cell for table in TABLES for cell in table.cells if table.name.startswith(name)]


def test_no_two_tables_of_one_name() -> None:
    names = [table.name for table in TABLES]
    assert len(set(names)) == len(names)


def test_fields_that_differ_from_the_defaults_are_in_the_cell() -> None:
    (table,) = [table for table in TABLES if table.name == "dc-cross-architecture"]
    rates = {cell.condensed_with: dict(cell.fields).get("image_lr") for cell in table.cells}
    assert rates["mlp"] == 0.01 and rates["convnet"] is None


@pytest.mark.parametrize("text", ["917", "91.7 ± 0.5", "91.7±", "x"])
def test_a_slip_of_the_pen_is_noticed(text: str) -> None:
    with pytest.raises(ValueError, match="is not a percentage"):
        values._published(text, "here", "dc-2021")
