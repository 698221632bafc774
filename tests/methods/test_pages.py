"""The pages of the methods: each method has one, differences are counted, and the code of Python runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from condensery import METHODS

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


@pytest.mark.parametrize("page", sorted(PAGES.keys() - {"README"}))
def test_differences_are_counted(page: str) -> None:
    """Other pages name them by number."""
    _, found, rest = PAGES[page].partition("## Differences from the paper")
    numbers = re.findall(r"^(\d+)\. ", rest.partition("\n## ")[0], re.MULTILINE)
    assert found and [int(number) for number in numbers] == list(range(1, len(numbers) + 1))


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
