"""A start that asks for no work imports nothing heavy, and what the command reads from the source is what is there."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import processes
import pytest

import condensery
from condensery.cli import declared
from condensery.cli.main import COMMANDS
from condensery.cli.options import Images
from condensery.coresets import SELECTORS
from condensery.evaluation import PROTOCOLS
from condensery.jobs.work import Running, Where
from condensery.methods import METHODS

HEAVY = {
    "torch",
    "numpy",
    "datasets",
    "pyarrow",
    "sklearn",
    "ray",
    "scipy",
    "PIL",
    "pandas",
    "matplotlib",
    "jinja2",
}
PACKAGE = Path(condensery.__file__).parent


def in_a_process(code: str, *arguments: str) -> str:
    """What `code` prints, in a new process."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "COLUMNS": "100"}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout


CALL = "import sys; from condensery.cli.main import main; code = main(sys.argv[1:]); "


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("", 0),
        ("--help", 0),
        ("--version", 0),
        ("methods", 0),
        *(
            (f"{command} --help", 0)
            for command in ("run", "select", "label", "evaluate", "compare", "reproduce")
        ),
        ("run --help-all", 0),
        *((f"{command} --help", 0) for command in ("report", "show", "export", "methods", "datasets")),
        ("runn", 2),
        ("--nonsense", 2),
        ("run --nonsense", 2),
        ("run stray", 2),
        ("run --ipc three", 2),
        ("run --image-lr fast", 2),
        ("run", 2),
        ("run --data digits --time-limit soon", 2),
        ("select --data digits --method herding --keep easy --out demo", 2),
        ("compare --data digits --seeds 4-2", 2),
        ("evaluate", 2),
        ("reproduce --scale much", 2),
    ],
)
def test_help_and_typing_errors_import_nothing_heavy(line: str, code: int) -> None:
    check = f"assert code == {code}, code; found = {HEAVY!r} & set(sys.modules); assert not found, found"
    in_a_process(CALL + check, *line.split())


def test_the_package_imports_nothing_heavy_until_a_name_is_used() -> None:
    code = f"import sys, condensery; assert not {HEAVY!r} & set(sys.modules), sys.modules; "
    in_a_process(
        code
        + "condensery.BadInput; assert 'torch' not in sys.modules; condensery.load; assert 'torch' in sys.modules"
    )


@pytest.mark.parametrize(
    ("package", "registry"), [("methods", METHODS), ("coresets", SELECTORS)], ids=["methods", "selectors"]
)
def test_what_is_read_from_the_source_is_what_is_there(package: str, registry: dict[str, type[Any]]) -> None:
    read = declared.algorithms(package)
    assert sorted(read) == list(read) == sorted(registry)
    for name, algorithm in read.items():
        assert (algorithm.name, algorithm.summary) == (name, registry[name].summary)
        found = [(f.name, f.default, type(f.default)) for f in fields(registry[name])]
        assert [(f.name, f.default, f.kind) for f in algorithm.fields] == found
        assert all(f.doc for f in algorithm.fields)


def test_protocols_are_read_as_they_are() -> None:
    assert declared.protocols() == {name: protocol.summary for name, protocol in PROTOCOLS.items()}


TAKEN = {
    "run": condensery.condense,
    "select": condensery.select,
    "label": condensery.label,
    "import": condensery.import_sets,
    "draw": condensery.draw,
    "evaluate": condensery.evaluate,
    "compare": condensery.compare,
    "reproduce": condensery.reproduce,
}
OWN = {"settings", "soft_labels", "preset", "teacher"}
"""Options that the command makes something else of, or chooses for people."""


@pytest.mark.parametrize("command", TAKEN)
def test_defaults_are_those_of_the_library(command: str) -> None:
    known = dict(inspect.signature(TAKEN[command]).parameters)
    known |= inspect.signature(Running).parameters if "where" in known else {}
    compared = 0
    for field in fields(COMMANDS[command]):
        there = known.get(field.name)
        if there and field.name not in OWN and there.default is not inspect.Parameter.empty:
            made = field.default if field.default_factory is MISSING else tuple(field.default_factory())
            assert made == there.default, field.name
            compared += field.default is not MISSING
    assert compared > 1


ELSEWHERE = {
    "run": "",
    "select": "",
    "import": "",
    "draw": "run",
    "label": "run views temperature smallest_crop patches label_bits largest epochs augmentation seed "
    "teacher_epochs teacher_stage teacher_size teacher_weights",
    "evaluate": "runs teacher teacher_epochs temperature results",
    "compare": "teacher teacher_epochs temperature no_scatter",
    "reproduce": "name",
}
"""Flags that the command itself makes something of; all others go to the library by their names."""


@pytest.mark.parametrize("command", TAKEN)
def test_no_flag_is_ignored(command: str) -> None:
    of_images = {field.name for field in fields(Images)} if issubclass(COMMANDS[command], Images) else set()
    known = {*inspect.signature(TAKEN[command]).parameters, *ELSEWHERE[command].split(), *of_images, "json"}
    known |= set(Where.__annotations__) if "where" in known else set()
    assert {field.name for field in fields(COMMANDS[command])} <= known


MINE = '''"""A made-up method."""

from dataclasses import dataclass
from typing import ClassVar

from condensery.methods.dm import DM


@dataclass(frozen=True)
class Mine(DM):
    """DM under another name."""

    name: ClassVar[str] = "mine"
    summary: ClassVar[str] = "made up for a test"

    sharpness: float = 0.25
    """how sharp it is"""
'''
CHOSEN = '''"""A made-up selector."""

from dataclasses import dataclass
from typing import ClassVar

from condensery.coresets.random import Random


@dataclass(frozen=True)
class Chosen(Random):
    """Random under another name."""

    name: ClassVar[str] = "chosen"
    summary: ClassVar[str] = "made up too"

    patience: int = 3
    """how long it waits"""
'''


def test_a_new_method_and_a_new_selector_have_flags_by_themselves(tmp_path: Path) -> None:
    """A file each in a copy of the package, and nothing else, is found by every command."""
    package = shutil.copytree(
        PACKAGE, tmp_path / "src/condensery", ignore=shutil.ignore_patterns("__pycache__")
    )
    (package / "methods/mine.py").write_text(MINE)
    (package / "coresets/chosen.py").write_text(CHOSEN)

    def condense(line: str) -> str:
        done = processes.condense(line.split(), tmp_path, package=package)
        assert done.code == 0, (line, done)
        return done.out

    shown = condense("run --help-all")
    assert "Fields of mine" in shown and "--sharpness" in shown and "How sharp it is (default: 0.25)" in shown
    assert "made up for a test" in condense("methods") and "made up too" in condense("methods")
    assert "--patience" in condense("select --help-all") and "--patience" in condense("methods chosen")
    assert "mine" in (listed := condense("compare --help-all")) and "chosen" in listed
    small = "--network convnet+width=8+depth=2"
    made = condense(
        f"run --data digits --method mine --sharpness 0.5 --real-batch 8 --steps 1 {small} --out a"
    )
    assert "a/set.safetensors" in made and "sharpness=0.5" in condense("show a")
    condense("select --data digits --method chosen --patience 4 --out b")
    assert "chosen" in condense("show b") and "patience=4" in condense("show b")
