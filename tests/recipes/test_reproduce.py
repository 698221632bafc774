"""A recipe from its name to its files, small enough for seconds."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from condensery.comparison.estimate import Stopwatch
from condensery.data import load
from condensery.errors import BadInput
from condensery.published import Published
from condensery.recipes import Reproduction, get_recipe, output, reproduce
from condensery.records import ImageData, LabeledImages

FEW = {"real_batch": 8}

NARROW = "convnet+width=8+depth=1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes")


@pytest.fixture(scope="module")
def done(folder: Path) -> Reproduction:
    told: list[str] = []
    found = fill(folder, told.append)
    assert "not as published: the images are digits, not mnist" in told
    return found


def fill(folder: Path, announce=lambda line: None) -> Reproduction:
    return reproduce(
        "dc-width",
        out=folder / "width",
        data=load("digits"),
        scale=0.002,
        settings=FEW,
        rows=["32"],
        columns=["32"],
        command="condense reproduce dc-width",
        announce=announce,
    )


def test_ours_beside_theirs(done: Reproduction) -> None:
    (one,) = done.cells
    assert one.published.value == Published(0.906, 0.008, "thesis, Table T6", "dc-2021")
    assert one.ours and one.ours.n == 1 and 0.05 < one.ours.mean < 1
    assert one.ours.measurement and one.ours.measurement.steps == 2
    assert done.complete and not done.problems


def test_every_output_says_what_was_shrunk(done: Reproduction) -> None:
    shrunk = "dc 1,000 -> 2 steps at 1 per class, 5 -> 1 set, 20 -> 1 network on each"
    paths = {path.name: path.read_text("utf-8") for path in output.write(done)}
    assert set(paths) == {"table.md", "table.csv", "table.jsonl", "report.html"}
    for name, text in paths.items():
        assert shrunk in text.replace("-&gt;", "->"), name
        assert "90.6" in text or "0.906" in text, name
    assert f"| 32 | {100 * done.cells[0].ours.mean:.1f} / 90.6 ± 0.8 |" in paths["table.md"]
    (row,) = csv.DictReader(paths["table.csv"].splitlines())
    assert float(row["published_mean"]) == 0.906 and row["not_as_published"].count(";") == 2
    assert (
        list(row)[-3:] == ["images", "stored_images", "bytes"]
        and row["images"] == row["stored_images"] == "10"
    )
    document = json.loads(paths["table.jsonl"])
    assert document["accuracies"] == [[done.cells[0].ours.mean]] and document["data"] == "digits"
    json.dumps(output.to_json(done))


def test_the_same_call_again_does_nothing_new(done: Reproduction, folder: Path) -> None:
    cells = {path: path.stat().st_mtime_ns for path in folder.rglob("cells/*.json")}
    again = fill(folder)
    assert again.cells[0].ours == done.cells[0].ours
    assert cells == {path: path.stat().st_mtime_ns for path in folder.rglob("cells/*.json")}


def test_a_dry_run_touches_nothing(folder: Path) -> None:
    told: list[str] = []
    found = reproduce(
        "dc-width",
        out=folder / "dry",
        data=load("digits"),
        settings=FEW,
        rows=["32"],
        columns=["32"],
        dry_run=True,
        announce=told.append,
    )
    assert not (folder / "dry").exists() and found.cells[0].ours is None
    assert any("about" in line for line in told)


def test_a_step_is_timed_once_for_all_columns_that_differ_in_what_is_trained_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[Any] = []
    monkeypatch.setattr(Stopwatch, "_step", lambda self, method, task: timed.append(method) or 1.0)
    published, narrow = get_recipe("dm-networks"), {"condensed_with": NARROW, "network": NARROW}
    recipe = replace(published, cells=tuple(replace(cell, **narrow) for cell in published.cells))
    told: list[str] = []
    out = folder / "networks"
    few = {"rows": ["1 per class", "10 per class"], "columns": ["10-20", "70 and more", "All"]}
    reproduce(recipe, out=out, data=load("digits"), scale=0.01, dry_run=True, announce=told.append, **few)
    assert len(timed) == 2, "one for each number of images per class"
    assert told.index("timing one of each kind of work, to say how long all of it takes") < len(told) - 1


def test_what_cannot_be_done_is_skipped_and_said(folder: Path) -> None:
    """Four poolings are too many for 8 pixels (12 with the padding of grey images)."""
    told: list[str] = []
    found = reproduce(
        "dc-depth",
        out=folder / "depth",
        data=load("digits"),
        settings=FEW,
        rows=["1", "4"],
        columns=["1"],
        dry_run=True,
        announce=told.append,
    )
    (problem,) = found.problems
    assert problem.cell == "dc with convnet+depth=4" and "too small for 4 poolings" in problem.reason
    assert found.complete and any(line.startswith("skipped: dc with convnet+depth=4") for line in told)
    with pytest.raises(BadInput, match="too small for 4 poolings"):
        reproduce("dc-depth", out=folder / "depth", data=load("digits"), rows=["4"], columns=["1"])
    assert not list((folder / "depth").rglob("*.json"))


def test_unknown_things_are_refused_before_any_work(folder: Path) -> None:
    for wrong, message in (
        ({"recipe": "dc-wdth"}, "did you mean 'dc-width'"),
        ({"settings": {"bach": 1}}, "has a field 'bach'"),
        ({"rows": ["33"]}, "no row '33'"),
        ({"scale": 0.0}, "--scale must be more than 0"),
    ):
        with pytest.raises(BadInput, match=message):
            reproduce(**{"recipe": "dc-width", "out": folder / "no", "data": load("digits"), **wrong})
    assert not (folder / "no").exists()


def test_percent_has_the_digits_of_the_papers() -> None:
    assert output.theirs(Published(0.917, 0.005, "", "")) == "91.7 ± 0.5"
    assert output.theirs(Published(0.1301, None, "", "")) == "13.01"
    assert output.theirs(Published(0.28, None, "", "")) == "28.0"
    assert output.theirs(None) == "-"


def test_a_figure_is_measured_by_the_diagnostics(folder: Path) -> None:
    """Two updates of DC and DCC on one network each, so no velocity is at a new network."""
    done = reproduce(
        "dcc-kernel-velocity",
        out=folder / "velocity",
        data=load("digits"),
        scale=0.01,
        settings={"real_batch": 2, "inner_loop": 1},
    )
    values = {(one.published.row, one.published.column): one.ours for one in done.cells}
    assert values["DC", "new network"] is None and values["DCC", "new network"] is None
    for row in ("DC", "DCC"):
        found = values[row, "elsewhere"]
        assert found and found.n == 1 and 0 <= found.mean <= 1
    assert [finding["quantity"] for finding in done.findings] == ["kernel velocity"] * 2
    assert "prints no numbers" in output.markdown(done) and "/" not in output.pair(
        done.cells[1], done.recipe.quantity
    )
    paths = {path.name for path in output.write(done)}
    assert "table.md" in paths
    (shrunk,) = [line for line in done.remarks if line.startswith("scale 0.01: ")]
    assert "50 -> 2 measured updates, too few for a new network to begin among them, 5 -> 1 set" in shrunk


@pytest.mark.parametrize("name", ["dsa-gradient-magnitudes", "dcc-alignment-uniformity"])
def test_a_figure_of_sets(name: str, folder: Path, fresh_cache: Path) -> None:
    """Every cell is filled from sets that are made for it, once; with a narrow network and 2 images per class."""
    published = get_recipe(name)
    columns = {"dcc-alignment-uniformity": ("alignment with ResNet", "uniformity with ResNet")}.get(name, ())
    narrow = {"ipc": 2, "condensed_with": NARROW, "network": NARROW}
    recipe = replace(published, cells=tuple(replace(cell, **narrow) for cell in published.cells))
    settings = {"real_batch": 2, "outer_loop": 1, "inner_loop": 1}
    done = reproduce(
        recipe, out=folder / name, data=load("digits"), scale=0.001, settings=settings, columns=columns
    )
    values = [one.ours for one in done.cells]
    assert len(values) == 4 and all(value and np.isfinite(value.mean) for value in values)
    assert len(list((folder / name / "sets").glob("*/set.safetensors"))) == 2
    assert not done.problems
    dry = reproduce(
        recipe, out=folder / "dry", data=load("digits"), scale=0.001, settings=settings, dry_run=True
    )
    assert [one.ours for one in dry.cells] == [None] * len(published.cells)


def test_a_figure_of_features_has_its_picture(tiny: ImageData, folder: Path, fresh_cache: Path) -> None:
    """Losses within and between classes with and without a part: two numbers and two pictures of each."""
    published, narrow = get_recipe("generative-distribution"), {"condensed_with": NARROW, "network": NARROW}
    recipe = replace(published, cells=tuple(replace(cell, ipc=2, **narrow) for cell in published.cells))
    small = {"gan_steps": 1, "generator_width": 4, "condition": "one-hot", "network_batch": 8}
    done = reproduce(
        recipe,
        out=folder / "distribution",
        data=tiny,
        scale=0.0001,
        settings={"real_batch": 2, **{f"generative.{name}": value for name, value in small.items()}},
        rows=["Intra without centre", "Intra"],
    )
    assert [one.ours is not None for one in done.cells] == [True] * 4
    pictures = done.report().scatters
    assert [(one.subject, one.projection) for one in pictures] == [
        (f"generative {fields}inter_weight=0.0", projection)
        for fields in ("centre=none ", "")
        for projection in ("PCA", "t-SNE")
    ]
    assert all(len(one.synthetic) == 6 and len(one.real) == 36 for one in pictures)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "table.md").write_text("mine")
    with pytest.raises(BadInput, match="is not empty and holds no recipe's results"):
        reproduce("dc-depth", out=tmp_path, data=load("digits"), rows=["1"], columns=["1"], dry_run=True)
    (tmp_path / "table.md").unlink()
    (tmp_path / "recipe.json").write_text('{"recipe": "dc-width"}')
    with pytest.raises(BadInput, match="holds the results of recipe dc-width, not dc-depth"):
        reproduce("dc-depth", out=tmp_path, data=load("digits"), rows=["1"], columns=["1"])


def test_a_look_at_other_images_does_not_take_the_folder(tmp_path: Path) -> None:
    """Fewer of them than the row asks for: random takes all there are."""
    few = load("digits", classes=["3", "8"])
    wanted: dict[str, Any] = {
        "out": tmp_path,
        "scale": 0.001,
        "rows": ["50 per class"],
        "columns": ["Random"],
    }
    few = replace(few, train=LabeledImages(few.train.pixels[:20], few.train.labels[:20]))
    assert reproduce("dc-main-mnist", data=few, dry_run=True, **wanted).cells
    assert reproduce("dc-main-mnist", data=load("digits"), dry_run=True, **wanted).cells
