"""`condense reproduce`: the list, one small table from the command line, and what it refuses."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from condensery import METHODS
from condensery.cli.main import main
from condensery.recipes import Reproduction, output, recipes


def test_list_shows_every_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "LIST"]) == 0
    shown = capsys.readouterr().out
    for name, recipe in recipes().items():
        assert f"{name} " in shown and "".join(recipe.source.split()) in "".join(shown.split()), name
    assert "counted, not measured" in shown


def test_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "list", "--json"]) == 0
    listed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    width = listed["dc-width"]
    assert width["source"] == "thesis, Table T6" and width["data"] == "mnist" and width["cells"] == 16
    assert width["published_cost"] == {"sets": 20, "updates": 20_000, "networks": 1600}
    assert listed["dm-networks"]["columns"][-1] == "All"


def test_a_table_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = "reproduce DC-depth --data digits --rows 1 --columns 1 --scale 0.001 --set real-batch=4 --json"
    assert main(command.split()) == 0
    out = capsys.readouterr()
    document = json.loads(out.out)
    (cell,) = document["cells"]
    assert cell["published_mean"] == 0.613 and cell["n"] == 1 and 0 < cell["mean"] < 1
    shrunk = "dc 1,000 -> 1 step at 1 per class, 5 -> 1 set, 20 -> 1 network on each"
    assert document["not_as_published"] == [
        "set by hand: real_batch = 4",
        f"scale 0.001: {shrunk}",
        "the images are digits, not mnist",
    ]
    assert shrunk in out.err and "61.3 ± 3.5" in out.err
    folder = tmp_path / "reproductions/dc-depth"
    assert {path.name for path in folder.iterdir()} >= {"table.md", "table.csv", "table.jsonl", "report.html"}
    assert f"condense {command}" in (folder / "table.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["list", "--rows", "1"], "--rows and --columns are of one recipe: name it in place of list"),
        (["dc-main-minst"], "unknown recipe 'dc-main-minst'; did you mean 'dc-main-mnist'"),
        (["dc-main-cifar100"], "images of cifar100 are not here (uoft-cs/cifar100 on the Hugging Face Hub)"),
        (["dcc-fine-grained-fish"], "images of imagenet32-fish are not here"),
        (["dc-width", "--data", "digits", "--rows", "31"], "no row '31'; there are 32, 64, 128, 256"),
        (["dc-width", "--data", "digits", "--scale", "0"], "--scale must be more than 0, not 0"),
        (["dc-width", "--data", "digits", "--set", "x"], "--set takes FIELD=VALUE"),
        (["dc-width", "--data", "nowhere.npz"], "there is no file or folder 'nowhere.npz'"),
    ],
)
def test_one_line_and_exit_code_2(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONDENSERY_DATA", str(tmp_path))
    monkeypatch.setenv("CONDENSERY_CACHE", str(tmp_path / "cache"))
    assert main(["reproduce", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "reproductions").exists()


def test_a_recipe_says_what_it_differs_in(capsys: pytest.CaptureFixture[str]) -> None:
    """Differences of methods go by numbers, which are those of their docstrings."""
    assert main(["reproduce", "list", "--json"]) == 0
    listed = {entry["name"]: entry["differs"] for entry in json.loads(capsys.readouterr().out)}
    assert len([said for said in listed.values() if said]) > 50
    found = [
        one for said in listed.values() for one in re.findall(r"([^;:,]+) of condense methods (\w+)", said)
    ]
    assert len(found) > 25
    for numbers, name in found:
        assert re.fullmatch(r" ?(all|\d+( (to|and) \d+)?)", numbers), numbers
        counted = re.findall(r"^(\d+)\. ", sys.modules[METHODS[name].__module__].__doc__ or "", re.MULTILINE)
        assert set(re.findall(r"\d+", numbers)) <= set(counted), (numbers, name)


@pytest.mark.parametrize("name", ["dm-main-mnist", "dsa-continual"])
def test_it_stands_in_every_output(name: str, tmp_path: Path) -> None:
    recipe = recipes()[name]
    done = Reproduction(recipe, tmp_path, "mnist", (), ())
    assert f"Not as published: {recipe.differs}" in output.caption(done)
    assert recipe.differs in output.markdown(done) and output.to_json(done)["differs"] == recipe.differs
    assert recipe.study or ("Not as published", recipe.differs) in done.report().facts
