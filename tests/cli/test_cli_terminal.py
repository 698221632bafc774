"""What a stranger's file says reaches a terminal as text: it steers nothing, ends no line, turns no direction."""

from __future__ import annotations

import json
import math
import os
import re
import unicodedata
from dataclasses import replace
from functools import wraps
from pathlib import Path

import pytest
from cli_images import TINY, make_photos
from processes import Command
from test_cli_bad_input import refused

import condensery
from condensery.cli.output import Output, facts, table, visible
from condensery.cli.progress import bar

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\nSPOOFED \r\x08\x7f\u202egnp\u2066\u200f\u2028\u2029\x85end"
SHOWN = r"\x1b]0;owned\x07\x1b[2J\x9b31m\nSPOOFED \r\x08\x7f\u202egnp\u2066\u200f\u2028\u2029\x85end"


def harmless(text: str) -> bool:
    """Whether lines are the only thing in `text` that is no plain sign, and none begins as HOSTILE wants."""
    signs = {unicodedata.category(sign) for sign in text.replace("\n", "")}
    return not signs & {"Cc", "Cf", "Cs", "Zl", "Zp"} and not re.search(r"(?m)^\s*SPOOFED", text)


@pytest.fixture
def hostile_set(condense, fast_protocol) -> Path:
    """A set whose class names, source and whole record are hostile."""
    condense("run --data digits --steps 1 --out demo", *TINY)
    known = condensery.load("demo")
    names = tuple(f"{i}{HOSTILE}" for i in range(10))
    data = {**known.record["data"], "source": HOSTILE}
    texts = {name: HOSTILE for name in ("method", "time", "hardware", "network")}
    accuracy = {"protocol": HOSTILE, "network": HOSTILE, "mean": 0.5, "std": 0.1, "n": 3, "labels": HOSTILE}
    record = {**known.record, **texts, "data": data, "accuracies": [accuracy], "fields": {HOSTILE: HOSTILE}}
    changed = replace(known, spec=replace(known.spec, name=HOSTILE, class_names=names), record=record)
    return condensery.save(changed, "hostile.safetensors") or Path("hostile.safetensors")


def test_one_function_escapes_what_is_not_seen() -> None:
    assert visible(HOSTILE) == SHOWN
    assert visible("\ud800") == r"\ud800" and visible("\x00\t\v\ufeff\u061c") == r"\x00\t\x0b\ufeff\u061c"
    plain = "Käse 猫 кот قط [red] :cat: \\x1b 👨‍👩‍👧 ± – \u00a0"
    assert visible(plain) == plain, "letters, marks, spaces and emoji of every script stay"


def test_show(condense, hostile_set) -> None:
    done = condense(f"show {hostile_set}")
    assert done.code == 0 and harmless(done.out + done.err), done
    assert done.out.replace("\n", "").replace(" ", "").count(SHOWN.replace(" ", "")) >= 10


def test_show_on_a_terminal(hostile_set) -> None:
    reader, writer = os.openpty()
    terminal = {"COLUMNS": "100", "TERM": "xterm"}
    assert Command(["show", hostile_set], out=os.ttyname(writer), environment=terminal).end().code == 0
    os.close(writer)
    drawn = os.read(reader, 1_000_000).decode()
    os.close(reader)
    assert "\x1b[1m" in drawn, "names of facts are bold"
    assert harmless(re.sub(r"\x1b\[[0-9;]*m", "", drawn).replace("\r\n", "\n"))


def test_evaluate_and_its_footer(condense, hostile_set, monkeypatch) -> None:
    from condensery.evaluation import evaluator

    real = evaluator.evaluate

    @wraps(real)
    def from_a_hostile_source(sets, data=None, **options):
        found = real(condensery.load("demo"), "digits", **options)
        scores = tuple(replace(s, subject=HOSTILE, network=HOSTILE) for s in found.scores)
        return replace(found, scores=scores, record={**found.record, "data": HOSTILE, "hardware": HOSTILE})

    monkeypatch.setattr(evaluator, "evaluate", from_a_hostile_source)
    done = condense(f"evaluate {hostile_set} --baselines none --whole-epochs 1")
    assert done.code == 0 and harmless(done.out + done.err), done
    assert f"test images of {SHOWN}" in done.out


@pytest.mark.parametrize(
    "line",
    [
        "evaluate hostile.safetensors",
        "evaluate hostile.safetensors --data digits",
        "report hostile.safetensors",
    ],
)
def test_error_lines_that_quote_a_set(condense, hostile_set, line) -> None:
    done = condense(line)
    assert done.err.count("\n") <= 1 and harmless(done.out + done.err), done


@pytest.mark.parametrize(
    "line",
    [
        "run --out demo --data",
        "select --method random --out demo --data",
        "compare --methods random --out demo --data",
        "evaluate",
        "show",
        "export --format npz --out x.npz",
        "report",
        "run --data digits --out demo --method",
        "run --data digits --out demo --network",
        "run --data digits --out demo --protocol",
        "run --data digits --out demo --classes",
        "run --data digits --out demo --device",
        "run --ipc",
        "reproduce",
        "methods",
        "",
    ],
)
def test_error_lines_that_quote_what_was_typed(condense, line) -> None:
    done = condense(line, HOSTILE)
    refused(done)
    assert harmless(done.out + done.err)


def test_lines_about_folders_of_hostile_classes(condense) -> None:
    """Run and select name the classes they split, refuse and use."""
    name = HOSTILE.replace("/", "")
    make_photos(Path("photos"), (f"cat{name}", f"dog{name}"))
    for line in ("run --steps 1 --out demo", "select --method random --out chosen"):
        done = condense(f"{line} --data photos", *(TINY if "run" in line else ()))
        assert done.code == 0 and harmless(done.out + done.err), done
    (Path("photos") / f"cat{name}" / f"broken{name}.png").write_bytes(b"no picture")
    refused(condense("run --data photos --out again"), r"broken\x1b")
    done = condense("run --data photos --ipc 100 --out again", *TINY)
    refused(done)
    assert harmless(done.err)
    done = condense(
        "compare --data photos --methods random --out compared --dry-run --networks convnet+width=8"
    )
    assert harmless(done.out + done.err), done


def test_a_bar_and_tables_show_what_is_said(monkeypatch, capsys) -> None:
    found = table([{"[b]head[/b]": ("[red]one", f"two{HOSTILE}")}])
    monkeypatch.setenv("COLUMNS", "400")
    for shown in (bar(1, 2, HOSTILE), found, facts([(HOSTILE, HOSTILE)])):
        Output().show(shown)
        text = capsys.readouterr().out
        assert harmless(text) and SHOWN in text
    Output().show(found)
    assert "[b]head[/b]" in (text := capsys.readouterr().out) and "[red]one" in text, "no markup"


def test_json_is_json(condense, hostile_set) -> None:
    known = condensery.load(hostile_set)
    record = {**known.record, "loss": math.nan, "gap": math.inf, "note": [{"x": -math.inf}, "\x7f"]}
    condensery.save(replace(known, record=record), "numbers.safetensors")
    done = condense("show numbers.safetensors --json")
    assert done.code == 0, done

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    document = json.loads(done.out, parse_constant=refuse)
    assert document["record"]["loss"] is None and document["record"]["note"] == [{"x": None}, "\x7f"]
    assert document["spec"]["class_names"][0] == f"0{HOSTILE}", "nothing is lost on the way"
    assert harmless(done.out + done.err)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
def test_a_full_disk_below_the_output_does_not_stop_the_work():
    done = Command(["run", "--data", "digits", "--steps", "2", *TINY, "--out", "demo"], out="/dev/full").end()
    assert done.code == 2 and "some of what was printed is lost: No space left on device" in done.err
    assert condensery.load("demo").record["step"] == 2
