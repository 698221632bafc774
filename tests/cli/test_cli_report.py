"""`condense report`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cli_images import TINY
from test_cli_bad_input import refused


@pytest.fixture
def run(condense, fast_protocol, photos):
    assert condense("run --data photos --out demo --steps 2", *TINY).code == 0
    assert condense("evaluate demo --baselines random").code == 0
    return Path("demo")


def test_a_page_of_one_run(condense, run):
    done = condense("report demo")
    assert done.code == 0, done.err
    assert "Written to demo/report.html (" in done.out and "random" in done.out and "±" in done.out
    page = (run / "report.html").read_text("utf-8")
    assert "<code>condense report demo</code>" in page and 'id="scatter"' in page and 'id="curves"' in page
    assert condense("report demo --no-scatter --title Mine").code == 0, "an older report is replaced"
    page = (run / "report.html").read_text("utf-8")
    assert 'id="scatter"' not in page and "<title>Mine</title>" in page


@pytest.mark.parametrize("name", ["t.md", "t.csv", "t.jsonl"])
def test_tables(condense, run, name):
    assert condense(f"report demo --out {name}").code == 0
    assert "random" in Path(name).read_text("utf-8")


def test_json(condense, run):
    done = condense("report demo --no-scatter --json")
    document = json.loads(done.out)
    assert document["report"] == "demo/report.html" and document["galleries"] == 1
    assert [m["subject"] for m in document["measurements"]] == ["random", "dm"]
    assert 0 <= document["measurements"][1]["mean"] <= 1


def test_bytes_are_shown(condense, run):
    done = condense("report demo --no-scatter")
    head, _, first = done.out.splitlines()[:3]
    assert "size" in head.split() and re.search(r"\d (B|kB)", first)


def test_weights_that_were_asked_for(condense, run):
    assert condense("evaluate demo --w 0.9 --networks mlp").code == 0
    asked = json.loads((run / "evaluations.jsonl").read_text().splitlines()[-1])["honest"][0]
    document = json.loads(condense("report demo --no-scatter --json").out)
    (m,) = [m for m in document["measurements"] if m["subject"] == "dm" and m["network"] == "mlp"]
    assert (m["w"], m["gamma"]) == (0.9, None) and m["label_robust_score"] == asked["label_robust_score"]
    assert "w 0.9, gamma 0.5" in (run / "report.html").read_text("utf-8")


def test_a_comparison_and_its_own_lines(condense, fast_protocol):
    made = "compare --data digits --methods dm,mine=dm,random --set mine.init=noise --ipc 1,500 --steps 2"
    more = "--set real_batch=8 --condense-with convnet+depth=1+width=8 --no-scatter --out found"
    assert condense(f"{made} {more}").code == 0
    page = Path("found/report.html").read_text("utf-8")
    table = Path("found/table.md").read_text("utf-8")
    assert "| HLR, % | IOR, % | LRS, % |" in table
    done = condense("report found --no-scatter")
    assert done.code == 0, done.err
    again = Path("found/report.html").read_text("utf-8")
    assert again == page.replace(f"condense {made} {more}", "condense report found --no-scatter")
    assert condense("report found --out table.md").code == 0 and Path("table.md").read_text("utf-8") == table
    assert condense("report found/results.jsonl --out lines.md").code == 0
    lines = Path("lines.md").read_text("utf-8").splitlines()
    assert {line for line in table.splitlines() if line.startswith("| digits")} <= set(lines)


def test_several_runs_go_to_the_current_folder(condense, run):
    assert condense("report demo demo/evaluations.jsonl --no-scatter").code == 0
    assert Path("report.html").exists()


def test_without_an_evaluation_there_is_a_hint(condense, photos):
    assert condense("run --data photos --out demo --steps 2", *TINY).code == 0
    done = condense("report demo --no-scatter")
    assert done.code == 0 and "run condense evaluate first" in done.out


def test_refusals(condense, run):
    refused(condense("report nowhere"), "nowhere", "does not exist")
    refused(condense("report demo --out report.pdf"), ".html", "report.pdf")
    Path("mine.html").write_text("mine")
    refused(condense("report demo --out mine.html"), "mine.html", "not a report", "--out")
    assert Path("mine.html").read_text() == "mine"


def test_runs_that_disagree_on_classes(condense, run):
    assert condense("run --data digits --out other --steps 1 --network convnet+width=8+depth=2").code == 0
    done = condense("report demo other")
    refused(done, "demo", "other", "class 0 is", "make one for each")
    assert not Path("report.html").exists()
