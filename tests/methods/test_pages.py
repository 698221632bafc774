"""The pages of the methods: each has one, what differs from its paper is counted and printed, and Python runs."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from condensery import METHODS
from condensery.cli.main import main

FOLDER = Path(__file__).parents[2] / "docs/methods"
PAGES = {page.stem: page.read_text(encoding="utf-8") for page in FOLDER.glob("*.md")}
SHARED = {"dsac": "dcc", **dict.fromkeys(("cgan", "vae", "gmmn", "mmd", "dim", "it-gan"), "generative")}
SHORT = {
    "steps=20": 'steps=2, network="convnet+width=8+depth=2"',
    "dm-2023": "quick+epochs=1",
    "repeats=2": "repeats=1, baselines=()",
}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_a_page(name: str) -> None:
    """With its fields where they are printed, or among those of the page's first method."""
    page = PAGES[SHARED.get(name, name)]
    assert f"`condense methods {SHARED.get(name, name)}`" in page
    assert name == SHARED.get(name, name) or re.search(rf"`{name}`|--method {name}\b", page)


@pytest.mark.parametrize("name", METHODS)
def test_differences_are_counted_and_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They end the docstring of the method's file, and comments name them by number."""
    _, found, listed = (sys.modules[METHODS[name].__module__].__doc__ or "").partition(
        "\n\nDifferences from the paper"
    )
    numbers = re.findall(r"^(\d+)\. ", listed, re.MULTILINE)
    assert found and [int(number) for number in numbers] == list(range(1, len(numbers) + 1)) != []
    assert main(["methods", name, "--json"]) == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert len(told["differences"]) == len(numbers) and re.search(r"arXiv|\(2022\)", told["source"][0])
    words = re.sub(r"[^\w.]+", "", listed)
    assert all(re.sub(r"[^\w.]+", "", one) in words for one in told["differences"])
    assert "what differs from the publication" in printed.err


@pytest.mark.parametrize("page", sorted(PAGES.keys() - {"README"}))
def test_a_page_says_what_changes_numbers(page: str) -> None:
    _, found, told = PAGES[page].partition("\n## Differences\n")
    assert found and told.strip()


def test_the_python_of_the_first_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGES["README"], re.MULTILINE | re.DOTALL)
    for written, short in SHORT.items():
        assert written in code
        code = code.replace(written, short)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/methods/README.md", "exec"), {})
    assert 0 < float(capsys.readouterr().out.splitlines()[-1]) < 1
    assert (tmp_path / "runs/digits-dm/set.safetensors").exists()
