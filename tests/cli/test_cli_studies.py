"""`condense continual` and `condense search`: what they print, write and refuse, and that they go on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_images import make_photos
from test_cli_bad_input import refused

from condensery.cli.arguments import grid
from condensery.errors import BadInput

TINY = "--network convnet+width=4+depth=1"


def test_continual_prints_a_row_for_each_learner_and_memory(condense, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "four", ("ant", "bee", "cat", "dog"))
    asked = f"continual --data {photos} --tasks 2 --memories ring,random --ipc 1 --seeds 0 {TINY}"
    asked += " --learners er,gdumb --learning epochs=1 --out found --threads 1"
    dry = condense(f"{asked} --dry-run")
    assert dry.code == 0 and "for all, 1 at a time" in dry.out and not Path("found").exists()
    done = condense(f"{asked} --json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert [(row["learner"], row["memory"]) for row in document["rows"]] == [
        ("er", "ring"),
        ("gdumb", "ring"),
        ("er", "random"),
        ("gdumb", "random"),
    ]
    assert "step 2" in done.err and "forgetting" in done.err and "[2/2" in done.err
    assert json.loads(Path("found/results.json").read_text())["asked"] == document["asked"]
    assert "gdumb: mean accuracy" in Path("found/report.html").read_text()
    assert "2 of 2 jobs are done already" in condense(asked).out


def test_search_prints_a_row_for_each_proxy(condense, photos: Path) -> None:
    asked = (
        f"search --data {photos} --grid width=4,8 --grid depth=1,2 --proxies random,early --ipc 1 --epochs 1"
    )
    asked += " --validation .3 --whole-epochs 1 --condense-with convnet+width=4 --out found --threads 1"
    done = condense(asked)
    assert done.code == 0, done.err
    assert "4 networks on random, early: 1 iterations each" in done.out
    for words in ("about", "for all, 1 at a time", "chosen network", "found/report.html"):
        assert words in done.out
    assert len(json.loads(Path("found/results.json").read_text())["rankings"]) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("continual", "name the images with --data"),
        ("continual --data digits --tasks 6", "10 classes of digits in 6 steps"),
        ("continual --data digits --learners gdmb", "unknown learner 'gdmb'"),
        ("continual --data digits,digits --scenario domain", "step 2, digits, brings nothing new"),
        ("continual --data digits --learning steps", "--learning takes FIELD=VALUE"),
        ("search --data digits --grid widht=4", "no option of convnet is called 'widht'"),
        ("search --data digits --grid width", "--grid takes OPTION=A,B, such as width=32,64, not 'width'"),
        ("search --data digits --ipc 0", "--ipc must be at least 1, not 0"),
    ],
)
def test_one_line_for_bad_input(condense, line: str, said: str) -> None:
    refused(condense(line), said)


def test_a_grid_from_words() -> None:
    assert grid("--grid", ["width=32,64", "norm=none"]) == {"width": ["32", "64"], "norm": ["none"]}
    with pytest.raises(BadInput, match="not '=4'"):
        grid("--grid", ["=4"])
