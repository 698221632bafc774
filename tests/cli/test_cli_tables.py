"""Accuracies by the common protocol and by a set's own recipe stand beside each other, in every table."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from condensery.cli.output import SPARE, Output, table
from condensery.cli.tables import accuracy_table, measurement_table
from condensery.evaluation import OWN, Evaluation, Score
from condensery.report.contents import Measurement

SCORE = Score("ld", "convnet", 10, 2000, ((0.5, 0.6),), 301, 2.0)


def lines(table) -> list[list[str]]:
    """Cells of the rows and of the head, split at two blanks."""
    text = io.StringIO()
    Console(file=text, width=200).print(table)
    rows = [line.rstrip() for line in text.getvalue().splitlines() if line.strip() and "──" not in line]
    return [[cell.strip() for cell in row.split("  ") if cell.strip()] for row in rows]


def evaluation(*scores: Score) -> Evaluation:
    return Evaluation(scores, {})


def test_without_a_recipe_of_its_own_there_is_one_accuracy() -> None:
    (head, row) = lines(accuracy_table(evaluation(SCORE)))
    assert head[4] == "accuracy %" and row[4] == "55.0 ± 5.0"


def test_both_recipes_are_two_columns_beside_each_kind_of_labels() -> None:
    learned = replace(SCORE, labels="learned", bytes=2400)
    own = replace(learned, recipe=OWN, accuracies=((0.7, 0.7),), epochs=40)
    random = replace(SCORE, subject="random")
    random_own = replace(random, recipe=OWN, accuracies=((0.4, 0.4),), epochs=40)
    head, *rows = lines(accuracy_table(evaluation(SCORE, random, learned, random, own, random_own)))
    assert head[:7] == ["set", "network", "labels", "images", "size", "common protocol %", "own recipe %"]
    assert [row[:7] for row in rows] == [
        ["ld", "convnet", "hard", "10", "2.0 kB", "55.0 ± 5.0", "-"],
        ["random", "convnet", "hard", "10", "2.0 kB", "55.0 ± 5.0", "-"],
        ["ld", "convnet", "learned", "10", "2.4 kB", "55.0 ± 5.0", "70.0 ± 0.0"],
        ["random", "convnet", "hard", "10", "2.0 kB", "55.0 ± 5.0", "40.0 ± 0.0"],
    ]
    assert rows[2][-2] == "301 / 40"


def test_labels_that_the_common_protocol_cannot_take_stand_beside_the_classes() -> None:
    own = replace(SCORE, recipe=OWN, labels="learned", accuracies=((0.7, 0.7),))
    _, row = lines(accuracy_table(evaluation(SCORE, own)))
    assert row[2] == "hard / learned" and row[5:7] == ["55.0 ± 5.0", "70.0 ± 0.0"]


def test_a_comparison_has_the_two_columns_too() -> None:
    one = Measurement("digits", "mtt", 1, "convnet", "convnet", "quick", "hard", ((0.5, 0.6),), 10, 2000, 301)
    own = replace(one, protocol=OWN, accuracies=((0.7, 0.7),))
    plain = replace(one, subject="dm")
    head, *rows = lines(measurement_table([plain, one, own]))
    assert head[3:5] == ["common protocol %", "own recipe %"] and "protocol" not in head
    assert [row[3:5] for row in rows] == [["55.0 ± 5.0", "-"], ["55.0 ± 5.0", "70.0 ± 0.0"]]


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
def test_a_narrow_terminal_shows_methods_and_accuracies_whole_and_names_what_it_leaves_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    settings = ("convnet+width=32", "convnet", "quick", "hard", ((0.5, 0.6),), 10, 2000, 301)
    measurements = [
        Measurement("digits", name, 1, *settings, steps=40, published_steps=10_000, make_seconds=(100.0,))
        for name in ("dm", "dsa")
    ]
    Output().show(measurement_table(measurements), SPARE)
    printed = capsys.readouterr().out.splitlines()
    assert max(map(len, printed)) <= columns
    assert all(sum(name in line and "55.0 ± 5.0" in line for line in printed) == 1 for name in ("dm", "dsa"))
    assert "…" not in "".join(printed)
    shown, last = printed[0], printed[-1]
    for name in ("to make", "images", "steps", "size"):
        assert (name in shown) != (name in last and "columns have no room for" in last), name
    assert ("no room" in last) == (columns < 100)


def test_heads_of_numbers_are_not_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    row = {
        "set": "dm",
        "network": "convnet+width=8+depth=3",
        ">augmentation": "protocol",
        ">accuracy %": "11.2 ± 0.9",
    }
    Output().show(table([{**row, ">±sets": "1.1", ">±nets": "0.6", ">epochs": "301", ">time": "1 min 36 s"}]))
    head = capsys.readouterr().out.splitlines()[0]
    assert head.split()[-4:] == ["±sets", "±nets", "epochs", "time"] and len(head) <= 80
