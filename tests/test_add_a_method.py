"""The page on adding a method: its file, saved where it says, is a method everywhere, and nothing else is changed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import processes
import pytest

import condensery

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/add-a-method.md").read_text(encoding="utf-8")


SHORT = {
    "methods": [],
    "run": ["--network=convnet+width=8+depth=2"],
    "evaluate": ["--protocol=quick+epochs=5"],
    "compare": ["--protocol=quick+epochs=5", "--condense-with=convnet+width=8+depth=2", "--no-scatter"],
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def with_the_method(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the package that has the method of the page."""
    folder = tmp_path_factory.mktemp("added")
    source = Path(str(condensery.__file__)).parent
    shutil.copytree(source, folder / "condensery", ignore=shutil.ignore_patterns("__pycache__"))
    (code,) = blocks("python")
    assert len(code.splitlines()) <= 60
    (folder / "condensery/methods/pixel_means.py").write_text(code, encoding="utf-8")
    return folder


def run(words: list[str], package: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(package)}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, env=environment, timeout=280
    )


def test_its_commands_run(with_the_method: Path, tmp_path: Path) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("condense ")]
    printed = []
    for line in lines:
        _, name, *words = shlex.split(line)
        short = [name, *words, *SHORT[name]]
        done = processes.condense(short, tmp_path, package=with_the_method / "condensery")
        assert done.code == 0, (line, done.err)
        printed.append(done.out)
    assert len(lines) == 4 and "updates of the images" in printed[0]
    assert (tmp_path / "runs/pixel-means/set.safetensors").exists()
    assert "pixel-means" in (tmp_path / "comparisons/means/table.md").read_text(encoding="utf-8")


def test_the_contract_tests_find_it_and_it_keeps_them(with_the_method: Path) -> None:
    (line,) = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("python ")]
    done = run([*shlex.split(line)[1:], "-p", "no:cacheprovider"], with_the_method, ROOT)
    assert done.returncode == 0, done.stdout[-3000:]
    passed = re.search(r"(\d+) passed", run_summary(done.stdout))
    assert passed and int(passed[1]) >= 20


def run_summary(text: str) -> str:
    return text.splitlines()[-1] if text.splitlines() else ""
