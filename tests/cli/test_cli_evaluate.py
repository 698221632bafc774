"""`condense evaluate` and `condense show`: what they print, write and leave alone."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path

import pytest
import torch
from cli_images import TINY
from PIL import Image
from test_cli_bad_input import refused

import condensery
from condensery import artifact
from condensery.evaluation.honest import ScoreColumn

pytestmark = pytest.mark.usefixtures("fast_protocol")


@pytest.fixture
def demo(condense) -> Path:
    assert condense("run --data digits --steps 1 --out demo", *TINY).code == 0
    return Path("demo")


def test_table_log_and_record(condense, demo):
    before = condensery.load(demo)
    done = condense("evaluate demo --whole-epochs 1 --results all.jsonl")
    assert done.code == 0 and done.err == ""
    for word in ("dm", "random", "whole", "2.6 kB", "±", "protocol quick", "seed 0", "thread"):
        assert word in done.out
    line = json.loads(Path("demo/evaluations.jsonl").read_text())
    assert line == json.loads(Path("all.jsonl").read_text())
    assert line["command"] == "condense evaluate demo --whole-epochs 1 --results all.jsonl"
    assert [score["subject"] for score in line["scores"]] == ["dm", "random", "whole"]
    after = condensery.load(demo)
    assert torch.equal(before.images, after.images) and artifact.digest(before) == artifact.digest(after)
    (found,) = after.record["accuracies"]
    assert found["mean"] == pytest.approx(line["scores"][0]["mean"])
    assert (found["n"], found["protocol"], found["step"]) == (2, "quick", 1)


def test_accuracies_first_then_what_they_come_to(condense, demo):
    done = condense("evaluate demo --whole-epochs 1 --w 0.25 --results all.jsonl")
    accuracies, honest = done.out.split("\n\n")
    assert "±nets" in accuracies and "thread" in accuracies and "labels" not in accuracies
    header, _, row, *lines = honest.splitlines()
    assert header.split() == ["set", "network", "HLR", "IOR", "LRS", "%"]
    (found,) = json.loads(Path("all.jsonl").read_text())["honest"]
    shown = [
        f"{100 * found[key]:.1f}"
        for key in ("hard_label_recovery", "improvement_over_random", "label_robust_score")
    ]
    assert row.split()[-3:] == shown
    words = ["lost to the whole set", "gained on random", "26.9 % is no better than random", "w 0.25"]
    assert all(word in honest for word in words)
    assert "Not computed: ARS needs training without augmentation too (--augmentation-robustness)." in lines


def test_soft_labels_and_training_without_augmentation(condense, demo):
    flags = "--soft-labels --teacher mlp --teacher-epochs 1 --temperature 2 --augmentation-robustness"
    done = condense(f"evaluate demo --repeats 1 --whole-epochs 1 {flags} --results all.jsonl")
    assert done.code == 0 and "Not computed" not in done.out
    for word in (
        "labels",
        "soft",
        "augmentation",
        "none",
        "3.0 kB",
        "ARS %",
        "Soft labels of a mlp",
        "1 epoch",
    ):
        assert word in done.out
    line = json.loads(Path("all.jsonl").read_text())
    (teacher,) = line["teachers"]
    assert (teacher["network"], teacher["epochs"], teacher["temperature"]) == ("mlp", 1, 2.0)
    assert [h["labels"] for h in line["honest"]] == ["hard", "soft"]
    noted = condensery.load(demo).record["accuracies"]
    assert [(a["labels"], a["augmentation"]) for a in noted] == [
        *(("hard", "protocol"), ("soft", "protocol")),
        *(("hard", "none"), ("soft", "none")),
    ]
    shown = condense("show demo").out
    assert "quick, n = 1" in shown and "quick without augmentation, soft labels, n = 1" in shown


def test_what_cannot_be_computed_is_said(condense, demo):
    done = condense("evaluate demo --baselines none")
    assert "HLR and LRS need the whole set (--baselines whole); IOR, LRS and ARS need" in done.out
    assert "LRS %" not in done.out


def test_each_evaluation_is_one_more_line(condense, demo):
    condense("evaluate demo --baselines none")
    condense("evaluate demo --baselines none --seed 1")
    assert len(Path("demo/evaluations.jsonl").read_text().splitlines()) == 2
    assert [a["seed"] for a in condensery.load(demo).record["accuracies"]] == [0, 1]


def test_several_sets_and_networks(condense, demo):
    condense("run --data digits --steps 1 --seed 1 --out other", *TINY)
    done = condense(
        "evaluate demo other/set.safetensors --networks mlp,lenet --repeats 2 --baselines random --json"
    )
    document = json.loads(done.out)
    assert done.code == 0 and "mlp" in done.err
    assert [(s["subject"], s["network"]) for s in document["scores"]] == [
        *(("dm", "mlp"), ("random", "mlp")),
        *(("dm", "lenet"), ("random", "lenet")),
    ]
    assert document["set_seeds"] == [0, 1]
    assert document["scores"][0]["sets"] == 2 and document["scores"][0]["std_between_sets"] is not None
    assert not Path("other/evaluations.jsonl").exists(), "only folders that were named are written to"
    for i, run in enumerate(("demo", "other")):
        (mlp, lenet) = condensery.load(run).record["accuracies"]
        assert (mlp["network"], lenet["network"]) == ("mlp", "lenet")
        assert mlp["mean"] == pytest.approx(sum(document["scores"][0]["accuracies"][i]) / 2), (
            "each set remembers its own networks"
        )


def test_the_command_is_quoted_as_a_shell_needs_it(condense, demo):
    condense("evaluate --baselines none demo --results", "my results.jsonl")
    command = json.loads(Path("my results.jsonl").read_text())["command"]
    assert command == "condense evaluate --baselines none demo --results 'my results.jsonl'"


def test_a_set_that_changed_meanwhile_keeps_its_record(condense, demo, monkeypatch):
    real = condensery.evaluation.evaluator.evaluate

    @wraps(real)
    def evaluate_while_the_run_goes_on(*args, **options):
        found = real(*args, **options)
        assert condense("run --resume --out demo --steps 2").code == 0
        return found

    monkeypatch.setattr("condensery.evaluation.evaluator.evaluate", evaluate_while_the_run_goes_on)
    done = condense("evaluate demo --baselines none")
    assert done.code == 0 and "has changed during the evaluation" in done.out
    assert condensery.load(demo).record["step"] == 2
    assert condensery.load(demo).record["accuracies"] == []


def test_show_tells_how_the_set_was_made(condense, demo):
    condense("evaluate demo --baselines none")
    done = condense("show demo")
    assert done.code == 0 and done.err == ""
    for word in ("10 of 10 classes", "1x8x8", "real_batch=8", "digits", TINY[1], "1 of 1", "n = 2", "clips"):
        assert word in done.out


def test_show_draws_part_of_a_set(condense):
    condense("run --data digits --ipc 3 --steps 1 --out demo", *TINY)
    condense("show demo --out all.png")
    done = condense("show demo/set.safetensors --per-class 1 --out one.png --json")
    document = json.loads(done.out)
    assert document["picture"] == "one.png" and document["spec"]["name"] == "digits"
    with Image.open("all.png") as everything, Image.open("one.png") as part:
        assert part.height == everything.height and part.width < everything.width


def test_show_takes_a_set_that_says_nothing(condense, demo):
    known = condensery.load(demo)
    condensery.save(condensery.SyntheticSet(known.images, known.labels, known.spec), "bare.safetensors")
    assert condense("show bare.safetensors").code == 0
    assert Path("bare.png").exists()


def test_show_takes_a_record_with_gaps(condense, demo):
    known = condensery.load(demo)
    record = {"data": {}, "step": 3, "loss": None, "accuracies": [{"mean": 0.5, "std": 0.1}]}
    condensery.save(replace(known, record=record), "gaps.safetensors")
    done = condense("show gaps.safetensors")
    assert done.code == 0 and "3 of ?" in done.out
    assert not {"Loss", "Accuracy", "Method"} & {
        line.split()[0] for line in done.out.splitlines() if line.split()
    }


def test_class_names_are_printed_as_they_are(condense, demo):
    known = condensery.load(demo)
    names = ("[red]", "[/bold]", ":cat:", *known.spec.class_names[3:])
    renamed = replace(known, spec=replace(known.spec, class_names=names))
    condensery.save(renamed, "renamed.safetensors")
    done = condense("show renamed.safetensors")
    assert done.code == 0 and "[red], [/bold], :cat:, 3" in done.out


def test_a_single_network_has_no_spread(condense, demo):
    done = condense("evaluate demo --repeats 1 --baselines none")
    assert done.code == 0 and "± " not in done.out.splitlines()[2]


def test_a_new_score_and_a_new_kind_of_labels_are_shown_by_themselves(condense, demo, monkeypatch):
    """A made-up score beside the four, of a made-up kind of labels: the tables of evaluate and show take both."""
    from condensery.cli import tables

    @dataclass(frozen=True)
    class More(condensery.Honest):
        made_up_score: float | None = None

    def with_more(evaluation):
        first = {**vars(evaluation.honest[0]), "labels": "fuzzy", "made_up_score": 0.875}
        scores = tuple(replace(score, labels="fuzzy") for score in evaluation.scores)
        return replace(evaluation, honest=(More(**first),), scores=scores)

    real = tables.honest_table
    column = ScoreColumn("made_up_score", "MUS", "%", "made up for a test")
    monkeypatch.setattr(tables, "SCORES", (*tables.SCORES, column))
    monkeypatch.setattr(tables, "honest_table", lambda evaluation: real(with_more(evaluation)))
    done = condense("evaluate demo --whole-epochs 1")
    assert done.code == 0 and "MUS %" in done.out and "87.5" in done.out and "fuzzy" in done.out
    known = condensery.load(demo)
    one = {**known.record["accuracies"][0], "labels": "fuzzy"}
    condensery.save(replace(known, record={**known.record, "accuracies": [one]}), "fuzzy.safetensors")
    assert ", fuzzy labels, n = 2" in condense("show fuzzy.safetensors").out


def test_show_prints_what_it_cannot_draw(condense, demo):
    """Where there is no place for a picture, such as on a disk that is read-only."""
    Path("demo/set.png").unlink()
    Path("demo/set.png").mkdir()
    done = condense("show demo --json")
    assert done.code == 0 and json.loads(done.out)["picture"] is None
    assert "Picture" in done.err and "none: cannot write" in done.err
    assert condense("show demo --out elsewhere.png").code == 0
    refused(condense("show demo --out demo/set.png"), "cannot write")


@pytest.fixture
def read_only(demo):
    """The run on a disk that cannot be written to."""
    try:
        subprocess.run(["mount", "--bind", "demo", "demo"], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", "demo"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user may not mount")
    yield
    subprocess.run(["umount", "demo"], check=True)


def test_a_read_only_run_folder_is_called_so(condense, read_only):
    assert condense("show demo").code == 0
    refused(
        condense("report demo --no-scatter"),
        "cannot write demo/report.html: the folder demo is read-only",
        "--out",
    )
    assert condense("report demo --no-scatter --out report.html").code == 0
    words = ("demo is read-only here (Read-only file system); make it writable",)
    refused(condense("evaluate demo --baselines none"), "cannot write demo/evaluations.jsonl", *words)
    refused(condense("run --resume --out demo"), "cannot write", *words)
    refused(condense("export demo --format npz --out demo/x.npz"), "cannot write demo/x.npz", *words)
