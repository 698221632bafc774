"""`condense label`: a set with a teacher's labels, and what the other commands make of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import condensery

TEACHER = "--teacher convnet+width=8+depth=2+norm=batch --teacher-epochs 4"
SELECT = "select --data digits --method random --ipc 2 --network convnet+width=8+depth=1 --out demo"


@pytest.fixture
def demo(condense):
    assert condense(SELECT).code == 0


def test_labels_views_and_says_what_it_did(condense, demo):
    done = condense(f"label demo --views 5 --pixels {TEACHER}")
    assert done.code == 0 and done.err == "", done.err
    assert "teacher: convnet+width=8+depth=2+norm=batch, " in done.out and "of weights" in done.out
    assert "off by 0 at most" in done.out and "labels: 5 views an image; 20 images, " in done.out
    assert (
        "networks are to train on them for 1,000 epochs in batches of 2, adamw at 0.001, cosine" in done.out
    )
    assert "demo-views5/set.safetensors  (20 images with labels" in done.out
    made = condensery.load("demo-views5")
    assert made.label_kind == "views (5)" and torch.equal(made.images, condensery.load("demo").images)
    assert {path.name for path in Path("demo-views5").iterdir()} == {"set.safetensors", "set.png"}


def test_every_flag_reaches_the_labels(condense, demo):
    flags = (
        "--views 3 --temperature 4 --smallest-crop 0.7 --patches 0.5 --label-bits 16 --largest 2 --epochs 7 "
        "--augmentation crop_rotate"
    )
    assert condense(f"label demo {flags} --seed 5 {TEACHER} --teacher-stage 2 --out x --json").code == 0
    said, training = (condensery.load("x").record["labels"], condensery.load("x").training)
    assert said["views"] == {"count": 3, "smallest": 0.7, "patches": 0.5}
    assert (said["temperature"], said["bits"], said["largest"], said["seed"]) == (4.0, 16, 2, 5)
    assert training["epochs"] == 7 and training["temperature"] == 4.0 and said["teacher"]["stage"] == 2
    assert training["augmentation"] == "crop_rotate"


def test_one_label_an_image_and_json(condense, demo):
    done = condense(f"label demo/set.safetensors --views 0 {TEACHER} --json")
    document = json.loads(done.out)
    assert document["out"] == "demo-labels" and document["images"] == 20
    assert condensery.load("demo-labels").label_kind == "soft"


def test_evaluate_shows_both_tracks_and_the_teacher(condense, demo, fast_protocol):
    condense(f"label demo --views 3 --epochs 4 {TEACHER}")
    done = condense("evaluate demo-views3 --whole-epochs 1 --repeats 1 --results all.jsonl")
    assert done.code == 0, done.err
    assert all(word in done.out for word in ("hard", "views (3)", "common protocol", "own recipe", "teacher"))
    assert "Labels: 3 views an image stored with the set (" in done.out
    assert "Who needs only a network of that kind should take it" in done.out
    (line,) = Path("all.jsonl").read_text().splitlines()
    assert [s["recipe"] for s in json.loads(line)["scores"]].count("own recipe") == 2
    noted = condensery.load("demo-views3").record["accuracies"]
    assert [(a["protocol"] == "own recipe", a["labels"]) for a in noted] == [
        (False, "hard"), (False, "views (3)"), (True, "views (3)"),
    ]  # fmt: skip
    assert condense("report demo-views3 --no-scatter --out page.html").code == 0
    assert "views (3), of convnet+width=8+depth=2+norm=batch" in condense("show demo-views3").out


def test_weights_from_a_file(condense, demo, fast_protocol):
    data, cpu = condensery.load_images("digits"), torch.device("cpu")
    settings = condensery.TeacherSettings("convnet+width=8+depth=2+norm=batch", epochs=4)
    taught = condensery.teaching.get_teacher(data, settings, cpu)
    torch.save(taught.network.state_dict(), "own.pt")
    flags = "--teacher convnet+width=8+depth=2+norm=batch --teacher-weights own.pt"
    assert condense(f"label demo --views 2 --epochs 2 {flags}").code == 0
    quick = "evaluate demo-views2 --baselines random --repeats 1"
    assert "give it as --teacher-weights" in condense(quick).out
    assert "give it as" not in condense(f"{quick} --teacher-weights own.pt").out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--views -1", "--views must be 1 to 10000 views an image, not -1"),
        ("--temperature 0", "--temperature must be a positive number, not 0"),
        ("--smallest-crop 2", "--smallest-crop must be a share"),
        ("--patches 2", "--patches must be a share"),
        ("--label-bits 4", "--label-bits must be 8 or 16, not 4"),
        ("--largest 0", "--largest must be at least 1 class"),
        ("--epochs 0", "--epochs must be at least 1"),
        ("--augmentation turn", "no augmentation is called 'turn'"),
        ("--views 0 --augmentation none", "leave out --augmentation"),
        ("--teacher-epochs 0", "--teacher-epochs must be at least 1"),
        ("--teacher sage", "no network is called 'sage'"),
        ("--teacher-weights x.pt", "name it with --teacher"),
        ("--teacher mlp --teacher-weights x.pt", "cannot read the teacher's weights x.pt"),
        ("--data mnist-of-yesterday", "mnist-of-yesterday"),
    ],
)
def test_bad_values(condense, demo, flags, words):
    done = condense(f"label demo {flags} --out other")
    assert done.code == 2 and words in done.err and done.err.count("\n") == 1, done.err
    assert not Path("other").exists()


def test_a_folder_that_is_taken(condense, demo):
    done = condense("label demo --views 2 --out demo")
    assert done.code == 2 and "demo already holds a set" in done.err


def test_the_folder_of_a_run_that_is_named_by_dots(condense, demo, monkeypatch):
    for place, run in (("demo", "."), ("demo", "set.safetensors")):
        with monkeypatch.context() as inside:
            inside.chdir(place)
            done = condense(f"label {run} --views 0 {TEACHER}")
        assert done.code == 0 and Path("demo-labels/set.safetensors").exists(), done.err
        Path("demo-labels").rename(f"demo-labels-{run}")


def test_settings_of_views_without_views(condense, demo):
    done = condense(f"label demo --views 0 --epochs 5 --label-bits 16 {TEACHER}")
    assert done.code == 2
    assert "--views 0 gives each image one label, without views: leave out --label-bits, --epochs" in done.err
