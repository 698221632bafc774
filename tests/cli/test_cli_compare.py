"""`condense compare`: what it prints, writes, refuses, and how it goes on."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from test_cli_bad_input import nothing_left, refused

import condensery
from condensery.cli.arguments import budgets, one_or_each, seeds, settings
from condensery.comparison import perform as perform_module
from condensery.errors import BadInput

pytestmark = pytest.mark.usefixtures("fast_protocol")

NARROW = "convnet+depth=1+width=8"
SMALL = (
    f"--data digits --condense-with {NARROW} --steps 2 --set real_batch=8 --no-scatter --out found".split()
)

RANDOM = f"--data digits --networks {NARROW} --no-scatter --out found"


def test_table_files_and_document(condense) -> None:
    done = condense("compare --methods dm,random --ipc 1,2 --seeds 0-1 --json", *SMALL)
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert [(m["subject"], m["ipc"], m["n"]) for m in document["measurements"]] == [
        *((("dm"), 1, 4), ("random", 1, 4), ("dm", 2, 4), ("random", 2, 4)),
        ("whole", None, 1),
    ]
    for name in ("report.html", "table.md", "table.csv", "results.jsonl"):
        assert str(Path("found") / name) in document["files"].values() and Path("found", name).stat().st_size
    assert document["problems"] == [] and document["command"].startswith(
        "condense compare --methods dm,random"
    )
    for words in ("for 9 cells (make 8 sets", "[9/9", "2 of 20,000", "±", "whole"):
        assert words in done.err
    again = condense("compare --methods dm,random --ipc 1,2 --seeds 0-1", *SMALL)
    assert "9 of 9 cells are done already" in again.out and again.err == ""


def test_the_commands_of_a_number_give_it_again(condense) -> None:
    document = json.loads(condense("compare --methods dm --seeds 3 --json", *SMALL).out)
    measured, whole = document["measurements"]
    for command in measured["commands"]:
        words = shlex.split(command)
        assert words[:2] == ["OMP_NUM_THREADS=1", "condense"]
        assert condense("", *words[2:]).code == 0
    (line,) = Path("runs").rglob("evaluations.jsonl")
    by_hand = json.loads(line.read_text())
    assert by_hand["scores"][0]["accuracies"] == measured["accuracies"]
    for command in whole["commands"]:
        condense("", *shlex.split(command)[2:])
    (beside_random,) = Path("runs").glob("random-*/evaluations.jsonl")
    by_hand = json.loads(beside_random.read_text())
    assert by_hand["scores"][-1]["accuracies"] == whole["accuracies"]


def test_finished_sets_beside_methods(condense) -> None:
    for seed in (0, 1):
        words = f"--data digits --method random --ipc 2 --seed {seed} --network {NARROW} --out mine{seed}"
        assert condense(f"select {words}").code == 0
    line = f"compare {RANDOM} --no-whole --sets mine0 mine1/set.safetensors --repeats 1"
    done = condense(f"{line} --json")
    assert done.code == 0, done.err
    assert [m["subject"] for m in json.loads(done.out)["measurements"]] == ["mine0", "mine1"]
    (command,) = json.loads(done.out)["measurements"][1]["commands"]
    assert condense("", *shlex.split(command)[2:]).code == 0, "it gives the number again by hand"
    (lines,) = Path("found/sets").rglob("evaluations.jsonl")
    again = json.loads(lines.read_text())["scores"][0]["accuracies"]
    assert again == json.loads(done.out)["measurements"][1]["accuracies"]
    done = condense(f"{line} --methods random --ipc 2 --dry-run")
    assert done.code == 0 and "2 of 3 cells are done already" in done.out and "make 1 set " in done.out
    done = condense(f"{line} --seeds 0,1 --steps 5 --dry-run")
    assert "not used, for there are no --methods: --seeds, --steps" in done.out
    refused(condense(f"compare {RANDOM} --sets mine0 nowhere"), "nowhere does not exist")


def test_what_the_images_hold_is_said_first(condense, photos) -> None:
    (photos / "cat" / "notes.txt").write_text("hello")
    done = condense(f"compare --methods random --data photos --networks {NARROW} --dry-run --out found")
    lines = done.out.splitlines()
    at = lines.index("Found class folders: 10 images to train on, 2 split off to test on")
    assert lines[at + 1 : at + 4] == [
        "2 classes (cat, dog): 5 training images each",
        "Images of 8x8 pixels, colour, values 0 to 255 of 255",
        "Not used: cat/notes.txt",
    ]
    assert done.code == 0 and lines[at + 4].startswith("timing ") and lines[at + 5].startswith("about ")


def test_a_dry_run(condense) -> None:
    done = condense("compare --methods dm,random --dry-run", *SMALL)
    assert done.code == 0 and done.out.count("about ") == 1 and "for 4 cells" in done.out
    assert "add random" not in done.out
    done = condense("compare --methods dm --dry-run", *SMALL)
    assert "random images are the floor that a method has to beat: add random" in done.out
    assert nothing_left("found")


def test_skips_that_were_foreseen_are_no_failure(condense) -> None:
    words = f"--condense-with {NARROW},mlp --steps 1 --set real_batch=8 --no-whole"
    done = condense(f"compare --methods dm {words} {RANDOM}")
    assert done.code == 0 and "skipped: dm, 1 per class, made with mlp: " in done.out
    assert "made with mlp" in Path("found/problems.json").read_text()


def test_a_failed_cell_is_a_failure(condense, monkeypatch) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("no memory left")

    monkeypatch.setitem(perform_module._KINDS, "whole", broken)
    done = condense(f"compare --methods random {RANDOM}")
    assert done.code == 1 and f"whole set on {NARROW}: failed: RuntimeError: no memory left" in done.out


def test_ctrl_c_says_how_to_go_on(condense, monkeypatch) -> None:
    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(perform_module._KINDS, "whole", stop)
        done = condense(f"compare --methods random {RANDOM}")
    assert done.code == 2
    assert done.err == "condense: stopped with 2 of 3 cells done; nothing is lost: the same command goes on\n"
    done = condense(f"compare --methods random {RANDOM}")
    assert done.code == 0 and "2 of 3 cells are done already" in done.out


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("compare --methods dm", ["--data"]),
        ("compare --data digits", ["--methods", "dm,dsa,random"]),
        ("compare --data digits --methods dmm", ["'dmm'", "did you mean 'dm'"]),
        ("compare --data digits --methods dm,dm", ["twice", "dm-2=dm"]),
        ("compare --data digits --methods dm --networks convnett", ["convnett", "did you mean"]),
        ("compare --data digits --methods dm --networks my.module:Net", ["no module"]),
        ("compare --data digits --methods dm --condense-with mlp", ["no cell can be done", "embed"]),
        ("compare --data digits --methods dm --protocol fast", ["'fast'", "quick"]),
        ("compare --data digits --methods dm --ipc one", ["--ipc", "'one'"]),
        ("compare --data digits --methods dm --ipc 0=2,cat=1", ["'cat'", "no class of the images"]),
        ("compare --data digits --methods dm --ipc 0", ["--ipc must be at least 1"]),
        (
            "compare --data digits --methods patches --ipc 500",
            ["no cell can be done", "--ipc 500", "class '0'"],
        ),
        ("compare --data digits --methods dm --seeds 4-2", ["--seeds", "4-2"]),
        ("compare --data digits --methods dm --steps dsa=3", ["dsa", "dm"]),
        ("compare --data digits --methods dm --steps many", ["--steps", "'many'"]),
        ("compare --data digits --methods dm --set real_batch", ["--set", "'real_batch'"]),
        ("compare --data digits --methods dm --set dm.real_bach=3", ["real_bach", "real_batch"]),
        ("compare --data digits --methods dm --scale 0", ["--scale"]),
        ("compare --data digits --methods dm --workers 0", ["--workers"]),
        ("compare --data digits --methods dm --repeats 0", ["--repeats"]),
        ("compare --data nowhere/at/all --methods dm", ["nowhere/at/all"]),
    ],
)
def test_refusals(condense, line: str, words: list[str]) -> None:
    refused(condense(f"{line} --out found"), *words)
    assert nothing_left("found")


def test_a_folder_of_other_images_or_of_a_run_is_refused(condense, photos) -> None:
    assert condense(f"compare --methods random {RANDOM} --no-whole").code == 0
    refused(
        condense(f"compare --methods random --data {photos} --networks {NARROW} --out found"),
        "digits",
        "photos",
        "--out",
    )
    assert condense(f"run --data digits --steps 1 --network {NARROW} --out demo").code == 0
    refused(
        condense(f"compare --methods random --data digits --networks {NARROW} --out demo"),
        "demo",
        "holds no comparison",
    )


def test_sets_of_a_comparison_are_run_folders(condense) -> None:
    condense("compare --methods dm", *SMALL)
    (made,) = Path("found/sets").iterdir()
    assert condense(f"show {made}").code == 0
    assert condense(f"evaluate {made} --repeats 1 --baselines none").code == 0
    assert len(condensery.load(made)) == 10
    assert condense("compare --methods dm --networks mlp", *SMALL).code == 0, (
        "a note in the record changes no image"
    )


def test_words_of_the_command_line() -> None:
    assert seeds("--seeds", "0,2-4") == [0, 2, 3, 4]
    assert one_or_each("--steps", "300") == 300
    assert one_or_each("--steps", "dm=400, dsa=200") == {"dm": 400, "dsa": 200}
    assert settings("--set", ["dm.real-batch=64", "image_lr=0.5", "init=noise"]) == {
        "dm.real_batch": 64,
        "image_lr": 0.5,
        "init": "noise",
    }
    assert budgets("--ipc", "1, proportional:10") == [1, "proportional:10"]
    assert budgets("--ipc", "cat=5,*=1") == ["cat=5,*=1"] and budgets("--ipc", "few.json") == ["few.json"]
    for wrong in ("dm=", "dm=x", "1,2"):
        with pytest.raises(BadInput, match="--steps"):
            one_or_each("--steps", wrong)
