"""What there is: methods, networks, data sets, formats, help."""

from __future__ import annotations

import inspect
import json
import re

import pytest
from cli_images import TINY

import condensery
from condensery.cli import help as help_module
from condensery.cli import main as main_module
from condensery.cli.declared import methods, selectors
from condensery.coresets import SELECTORS
from condensery.data import KNOWN_SETS
from condensery.methods import METHODS
from condensery.models.registry import list_networks

COMMANDS = tuple(main_module.COMMANDS)


@pytest.mark.parametrize("line", ["", "--help", "-h"])
def test_condense_alone_prints_help(condense, line):
    done = condense(line)
    assert done.code == 0 and done.err == ""
    assert all(command in done.out for command in COMMANDS)


def test_the_first_help_fits_one_screen(condense, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = condense("--help").out.splitlines()
    assert len(lines) <= 30 and max(map(len, lines)) <= 80 and any("--version" in line for line in lines)


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_with_examples_and_fits(condense, monkeypatch, command, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    for flag in ("--help", "--help-all"):
        done = condense(f"{command} {flag}")
        assert done.code == 0 and done.err == ""
        assert "Examples:" in done.out and done.out.count("condense ") >= 3
        assert max(map(len, done.out.splitlines())) <= columns


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_screen_and_says_how_much_it_leaves_out(condense, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    brief, whole = condense(f"{command} --help").out, condense(f"{command} --help-all").out
    assert len(brief.splitlines()) <= 50
    examples = re.findall(r"^   condense ", brief, re.MULTILINE)
    assert len(examples) <= 3
    known = main_module.COMMANDS[command].parameters()
    first = help_module.first(main_module.COMMANDS[command])
    assert len(first) <= 16 and set(first) <= set(known)
    left_out = len(known) - len(first)
    assert not left_out or f"--help-all shows {left_out} more option" in brief.rstrip().splitlines()[-1]
    assert left_out or "--help-all" not in brief
    for name, one in known.items():
        pattern = (
            rf"^│ (\* )? *{'(RUN|FILE|NAME)' if one.flag.positional else one.names[0].split('/')[0]}[ ,]"
        )
        assert re.search(pattern, whole, re.MULTILINE), f"{name} is in --help-all"
        assert bool(re.search(pattern, brief, re.MULTILINE)) == (name in first), f"{name} in --help"
        assert len(one.text) > 10, f"{name} is explained"


def test_help_shows_the_options_of_the_method_that_is_typed(condense, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    for line in ("run --method mtt --help", "run --help --method=mtt"):
        text = condense(line).out
        assert "Options of mtt" in text and "--syn-steps" in text and "--codebook" not in text
        assert "the paper uses 10 for CIFAR-10" not in text, "nor what --image-lr means to others"
        assert "--help-all shows" in text
    assert "--keep" in condense("select --method el2n --help").out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_text_is_not_wrapped_at_80_columns(command):
    """Rich wraps without indentation, so no line may need it; the first paragraph flows by itself."""
    text = inspect.cleandoc(main_module.COMMANDS[command].__doc__)
    assert all(len(line) <= 78 for line in text.partition("\n\n")[2].splitlines())


def test_version(condense):
    done = condense("--version")
    assert done.code == 0 and done.out.startswith("condense 0.")


def test_methods(condense):
    done = condense("methods")
    known = {**METHODS, **SELECTORS}
    assert done.code == 0 and all(known[name].summary in done.out for name in known)
    entries = [(entry["kind"], entry["name"]) for entry in json.loads(condense("methods --json").out)]
    expected = [("method", name) for name in sorted(METHODS)]
    assert entries == expected + [("selection", name) for name in sorted(SELECTORS)]


@pytest.mark.parametrize("name", sorted(METHODS))
def test_one_method(condense, name):
    done = condense(f"methods {name}")
    assert done.code == 0
    document = json.loads(condense(f"methods {name} --json").out)
    assert [field["name"] for field in document["fields"]] == [f.name for f in methods()[name].fields]
    for field in document["fields"]:
        assert field["flag"] in done.out and field["doc"]
    method = condensery.get_method(name)
    assert document["published_steps"] == {str(ipc): method.steps(ipc) for ipc in (1, 10, 50)}


@pytest.mark.parametrize("name", sorted(SELECTORS))
def test_one_selector(condense, name):
    done = condense(f"methods {name}")
    assert done.code == 0 and "condense select" in done.out
    document = json.loads(condense(f"methods {name} --json").out)
    assert [field["name"] for field in document["fields"]] == [f.name for f in selectors()[name].fields]
    assert all(field["flag"] in done.out and field["doc"] for field in document["fields"])


def test_networks(condense):
    done = condense("networks")
    assert done.code == 0 and all(info.name in done.out for info in list_networks())
    assert [entry["name"] for entry in json.loads(condense("networks --json").out)] == [
        info.name for info in list_networks()
    ]


@pytest.mark.parametrize("columns", [80, 120])
def test_datasets(condense, monkeypatch, tmp_path, columns):
    (tmp_path / "mnist").mkdir()
    monkeypatch.setenv("CONDENSERY_DATA", str(tmp_path))
    monkeypatch.setenv("COLUMNS", str(columns))
    done = condense("datasets")
    assert done.code == 0 and all(name in done.out for name in KNOWN_SETS)
    assert "…" not in done.out, "nothing is cut off"
    found = {entry["name"]: entry["folder"] for entry in json.loads(condense("datasets --json").out)}
    assert found["mnist"] == str(tmp_path / "mnist") and found["cifar10"] is None


@pytest.mark.parametrize("format", ["npz", "pt", "parquet", "png"])
def test_export(condense, format):
    condense("run --data digits --steps 1 --out demo", *TINY)
    done = condense(f"export demo --format {format} --out there/out")
    assert done.code == 0 and done.err == ""
    assert ("8-bit pixels lose" in done.out) == (format in ("parquet", "png"))
    document = json.loads(condense(f"export demo --format {format} --out again --json").out)
    assert document["format"] == format and len(document["paths"]) == 1


def test_export_of_an_unknown_format(condense):
    condense("run --data digits --steps 1 --out demo", *TINY)
    done = condense("export demo --format tar --out x")
    assert done.code == 2 and done.err == (
        "condense: error: unknown format 'tar'; choose one of npz, pt, safetensors, parquet, png\n"
    )
