"""What the README tells people to type runs, and its tables are those that the results give."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import processes
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


SHORT = {
    "steps=20": 'steps=2, network="convnet+width=8+depth=2"',
    "repeats=2": 'repeats=2, protocol="quick+epochs=5"',
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_python_code_runs_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "\n".join(blocks("python"))
    for written, short in SHORT.items():
        assert written in code
        code = code.replace(written, short)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert re.search(r"dm: \d+\.\d ± \d+\.\d % \(n = 2\)", capsys.readouterr().out)
    assert (tmp_path / "runs/digits/set.safetensors").exists()


def test_commands_run_on_a_folder_of_photos(tmp_path: Path, folder_of_digits: Path) -> None:
    lines = [line.split("#")[0] for block in blocks("sh") for line in block.splitlines()]
    commands = [shlex.split(line) for line in lines if line.startswith("condense ")]
    assert [c[1] for c in commands] == [
        "run",
        "evaluate",
        "show",
        "export",
        "select",
        "evaluate",
        "label",
        "evaluate",
        "compare",
    ]
    (tmp_path / "photos").symlink_to(folder_of_digits)
    short = {
        "run": ["--steps", "2", "--network", "convnet+width=8+depth=2"],
        "evaluate": ["--repeats=1", "--whole-epochs=1", "--protocol=quick+epochs=5"],
        "label": ["--teacher", "convnet+width=8+depth=2", "--teacher-epochs", "5", "--epochs", "2"],
        "select": ["--epochs", "1", "--network", "convnet+width=8+depth=2"],
        "compare": [
            *("--ipc=1", "--scale=0.0001", "--condense-with=convnet+width=8+depth=2", "--repeats=1"),
            *("--protocol=quick+epochs=5", "--no-scatter"),
        ],
    }
    for command in commands:
        done = processes.condense([*command[1:], *short.get(command[1], [])], tmp_path)
        assert done.code == 0, (command, done.err)
    assert (tmp_path / "photos.png").exists() and (tmp_path / "photos.npz").exists()


def test_tables_are_what_the_results_give() -> None:
    spec = importlib.util.spec_from_file_location("update_tables", ROOT / "results/update_tables.py")
    assert spec and spec.loader
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    pages = "".join(page.read_text(encoding="utf-8") for page in tables.PAGES)
    for name, text in tables.render().items():
        assert tables.marked(name, text) in pages, "run: python results/update_tables.py"
    assert len(tables.rows()) > 0


@pytest.fixture
def folder_of_digits(tmp_path: Path) -> Path:
    """12 real digits for each of 3 classes, as PNG."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for name in range(3):
        folder = tmp_path / "source" / f"class {name}"
        folder.mkdir(parents=True)
        for i, image in enumerate(digits.images[digits.target == name][:12]):
            Image.fromarray((image * 15).astype("uint8")).resize((40, 32)).save(folder / f"{i}.png")
    return tmp_path / "source"
