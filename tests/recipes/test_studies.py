"""Recipes that are filled by a stream of tasks or a search, small enough for seconds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from condensery.data import load
from condensery.errors import BadInput
from condensery.recipes import Recipe, get_recipe, output, reproduce

NARROW = "convnet+width=4+depth=1"
FEW = {"real_batch": 8}


def narrow(name: str, rows: list[str], columns: list[str], **study) -> Recipe:
    recipe = get_recipe(name).only(rows, columns)
    network = NARROW if (recipe.study or {})["kind"] == "continual" else "convnet"
    cells = tuple(
        replace(c, network=network, condensed_with=c.condensed_with and NARROW) for c in recipe.cells
    )
    return replace(recipe, cells=cells, study={**(recipe.study or {}), **study})


def test_a_stream_ours_beside_theirs(tmp_path: Path) -> None:
    recipe = narrow("dm-continual-5", ["after step 3", "after step 5"], ["Random", "DM"])
    told: list[str] = []
    asked = {"out": tmp_path / "cl", "data": load("digits"), "scale": 0.0002, "settings": FEW}
    done = reproduce(recipe, **asked, announce=told.append)
    assert done.complete and all(one.ours and one.ours.n == 1 for one in done.cells)
    last = done.at("after step 5", "DM")
    assert last and last.published.value and last.published.value.mean == 0.344
    changed = [
        "set by hand: real_batch = 8",
        "scale 0.0002: dm 20,000 -> 4 steps at 20 per class",
        "scale 0.0002: gdumb.epochs -> 1, 5 -> 1 seeds",
        "the images are digits, not cifar100",
    ]
    assert list(done.remarks) == changed
    assert {f"not as published: {line}" for line in changed} <= set(told)
    paths = {path.name: path.read_text("utf-8") for path in output.write(done)}
    assert f"{100 * last.ours.mean:.1f} / 34.4" in paths["table.md"]
    assert "gdumb: mean accuracy" in paths["report.html"] and "/ 34.4" in paths["report.html"]
    record = json.loads(paths["table.jsonl"].splitlines()[-1])
    assert (record["part"], record["method"], record["published_mean"]) == ("gdumb 5", "dm", 0.344)
    json.dumps(output.to_json(done))
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("results/*.json")}
    assert kept and reproduce(recipe, **asked).cells == done.cells
    assert kept == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("results/*.json")}


def test_a_search_ours_beside_theirs(tmp_path: Path) -> None:
    grid = {
        "width": [2, 4],
        "norm": ["none", "batch", "instance"],
        "activation": ["relu", "sigmoid"],
        "depth": [1],
    }
    recipe = narrow("dsa-search", [], ["Random", "Early stopping", "Whole set"], grid=grid)
    done = reproduce(recipe, out=tmp_path / "nas", data=load("digits"), scale=0.005, settings={})
    assert done.complete
    assert (
        "scale 0.005: 720 -> 10 networks, 300 -> 2 epochs, 100 -> 1 whole epochs, 5 -> 1 repeats"
        in done.remarks
    )
    for row, text in (("Images", "100 / 100"), ("Correlation of the best 5 %", "1 / 1")):
        column = "Random" if row == "Images" else "Whole set"
        assert output.pair(done.at(row, column), recipe.quantity) == text
    tested = done.at("Test accuracy of the chosen %", "Whole set")
    assert tested and tested.ours and 0 <= tested.ours.mean <= 1
    stopped = done.at("Images", "Early stopping")
    assert stopped and stopped.ours and stopped.ours.mean == 200  # two iterations of 100
    assert "| Images | 100 / 100 | 200 / 30,000 |" in output.markdown(done)


def test_streams_say_which_images_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDENSERY_DATA", str(tmp_path))
    monkeypatch.setenv("CONDENSERY_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    with pytest.raises(BadInput, match=r"images of svhn are not here .*ufldl-stanford/svhn"):
        reproduce("dsa-continual", out=out)
    (tmp_path / "sets" / "svhn").mkdir(parents=True)
    with pytest.raises(BadInput, match=r"holds svhn but no folder mnist: put the images there"):
        reproduce("dsa-continual", out=out, data=tmp_path / "sets")
    with pytest.raises(BadInput, match="needs a proxy"):
        reproduce("dm-search", out=out, data=load("digits"), columns=["Whole set"])
    with pytest.raises(BadInput, match="the scenario domain needs 2 or more sets"):
        reproduce("dsa-continual", out=out, data=load("digits"))
    with pytest.raises(
        BadInput, match=r"a stream of 3 sets, svhn, mnist, usps: .* with commas .*, not digits alone"
    ):
        reproduce("dsa-continual", out=out, data="digits")
    assert not out.exists()


def test_other_sets_of_a_stream_are_named_with_commas(tmp_path: Path) -> None:
    told: list[str] = []
    recipe = narrow("dc-continual", ["with distillation after step 2"], ["Herding"])
    done = reproduce(
        recipe, out=tmp_path / "out", data="digits,digits+invert", size=8, channels=1, scale=0.001,
        dry_run=True, announce=told.append,
    )  # fmt: skip
    assert any("the images are digits, digits+invert, not svhn, mnist, usps" in line for line in told)
    assert done.study and not (tmp_path / "out").exists() and done.cells[0].ours is None
