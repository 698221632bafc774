"""`condense select`: flags, files, and what the other commands make of a selection."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
import torch

import condensery
from condensery.cli.declared import owners, selectors
from condensery.cli.output import Output
from condensery.cli.progress import Progress
from condensery.coresets import SELECTORS
from condensery.selection import SelectionReport

TINY = ("--network", "convnet+width=8+depth=1")
QUICK = {"epochs": 1, "networks": 1, "selections": 2, "candidates": 5}


def test_writes_the_result_and_says_where_it_is(condense):
    done = condense("select --data digits --method herding --epochs 1 --ipc 2 --out demo", *TINY)
    assert done.code == 0 and done.err == ""
    assert "features of one network convnet+width=8+depth=1 trained for 1 epoch on 1,438 images" in done.out
    assert "demo/set.safetensors  (20 real images" in done.out and "condense evaluate demo" in done.out
    assert {path.name for path in Path("demo").iterdir()} == {"set.safetensors", "set.png"}
    chosen = condensery.load("demo")
    assert len(chosen) == 20 == len(chosen.record["indices"])


def test_default_out_and_method(condense, photos):
    assert condense("select --ipc 2 --seed 7 --weights random --data", photos, *TINY).code == 0
    assert condensery.load("runs/photos-herding-ipc2-seed7").record["method"] == "herding"


def test_some_classes(condense, fast_protocol):
    condense("select --data digits --method random --ipc 2 --classes 3,8 --out demo")
    chosen = condensery.load("demo")
    assert chosen.spec.class_names == ("3", "8") and chosen.labels.tolist() == [0, 0, 1, 1]
    document = json.loads(condense("evaluate demo --json --baselines none --networks", TINY[1]).out)
    (command,) = document["made_with"]
    assert command == "condense select --data digits --method random --ipc 2 --classes 3,8"


def test_json_is_one_document(condense):
    done = condense("select --data digits --method random --out demo --json")
    document = json.loads(done.out)
    assert document["set"] == "demo/set.safetensors" and document["images"] == 10
    assert len(document["record"]["indices"]) == 10


@pytest.mark.parametrize("method", sorted(SELECTORS))
def test_every_field_has_a_flag(condense, method):
    settings = {f.name: QUICK.get(f.name, f.default) for f in selectors()[method].fields}
    flags = [word for f in selectors()[method].fields for word in (f.flag, settings[f.name])]
    done = condense(f"select --data digits --method {method} --out demo", *flags, *TINY)
    assert done.code == 0, done.err
    assert condensery.load("demo").record["fields"] == settings
    assert {f.name for f in fields(SELECTORS[method])} == set(settings)


def test_every_flag_is_explained_in_the_help(condense, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    text = condense("select --help-all").out
    for name, having in owners("coresets").items():
        assert f"--{name.replace('_', '-')} " in text
        assert all(field.doc for field in having.values())


@pytest.mark.parametrize("method", ["herding", "random"])
def test_evaluate_show_and_export_take_a_selection(condense, fast_protocol, method):
    epochs = ["--epochs", 1] if method == "herding" else []
    condense(f"select --data digits --method {method} --ipc 2 --seed 3 --out demo", *epochs, *TINY)
    shown = condense("show demo")
    assert "20 real training images" in shown.out and method in shown.out
    evaluated = condense("evaluate demo --json --whole-epochs 1")
    assert evaluated.code == 0, evaluated.err
    document = json.loads(evaluated.out)
    subject = "herding" if method == "herding" else "random set"
    assert [score["subject"] for score in document["scores"]] == [subject, "random", "whole"]
    assert len(condensery.load("demo").record["accuracies"]) == 1, "noted in the file, without the baselines"
    words = f"condense select --data digits --method {method} --ipc 2 --network {TINY[1]} --seed 3"
    assert document["made_with"] == [words + (" --epochs 1" if epochs else "")]
    assert condense("export demo --format png --out pictures").code == 0
    assert sum(1 for _ in Path("pictures").rglob("*.png")) == 20


def test_made_with_makes_it_again(condense, fast_protocol):
    condense("select --data digits --method forgetting --epochs 3 --keep easy --ipc 2 --out demo", *TINY)
    (command,) = json.loads(condense("evaluate demo --json --baselines none --repeats 1").out)["made_with"]
    assert condense(command.removeprefix("condense "), "--out", "again").code == 0
    first, second = condensery.load("demo"), condensery.load("again")
    assert torch.equal(first.images, second.images) and first.record["indices"] == second.record["indices"]


def test_bar_says_how_long_is_left(monkeypatch):
    heard: list[tuple[float, float, str]] = []
    monkeypatch.setattr(Progress, "bar", lambda self, *news: heard.append(news))
    progress = Progress(Output())
    progress.wanted = True  # a terminal
    progress.selecting(SelectionReport("training", 250.0, 1000.0, 20.0))
    assert heard == [(250, 1000, "training  25 %  20 s, 1 min 0 s left")]
