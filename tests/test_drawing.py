"""Fresh images of a stored generator: another set, which says so wherever it is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import condensery
from condensery import PROTOCOLS, BadInput
from condensery.cli.main import main
from condensery.commands import run_command

FAST = replace(PROTOCOLS["quick"], name="fast", epochs=2, plain_epochs=2, repeats=1)
SETTINGS: dict[str, Any] = {
    **{"network": "convnet+width=8+depth=2", "device": "cpu", "real_batch": 8, "network_batch": 16},
    **{"condition": "one-hot", "gan_steps": 2, "generator_width": 4, "code_length": 4},
}


@pytest.fixture
def run(tiny_file: Path, tmp_path: Path) -> Path:
    condensery.condense(tiny_file, "generative", ipc=2, steps=1, out=tmp_path / "run", seed=3, **SETTINGS)
    return tmp_path / "run"


def test_a_set_of_its_own_that_says_so(run: Path, tiny_file: Path, tmp_path: Path) -> None:
    judged: dict[str, Any] = {"protocol": FAST, "baselines": (), "device": "cpu"}
    condensery.evaluate(run, tiny_file, **judged)
    made, fresh = condensery.load(run), condensery.draw(run, ipc=4, seed=7, out=tmp_path / "fresh")
    again = condensery.load(tmp_path / "fresh")
    assert again.counts == (4, 4, 4) and torch.equal(again.images, fresh.images)
    assert again.record["method"] == "generative, drawn anew" and again.record["seed"] == 7
    assert not {"accuracies", "loss", "step", "seconds"} & again.record.keys()
    assert run_command(again.record) == f"condense draw {run}/set.safetensors --ipc 4 --seed 7"
    assert run_command(made.record).startswith("condense run ")
    (score,) = condensery.evaluate(again, tiny_file, **judged).scores
    assert (score.subject, score.images) == ("generative, drawn anew", 12)


def test_by_default_as_many_as_the_set_has_from_its_seed(run: Path) -> None:
    fresh = condensery.draw(run)
    assert fresh.counts == (2, 2, 2) and fresh.record["seed"] == 3
    assert not torch.equal(fresh.images, condensery.load(run).images)
    twice = condensery.draw(fresh, seed=4)
    assert twice.record["method"] == "generative, drawn anew" and twice.record["drawn"]["set"] == ""


def test_labels_of_other_images_are_left_out(run: Path, tiny_file: Path) -> None:
    teacher = condensery.TeacherSettings("convnet+width=8+depth=2", 40)
    views = condensery.LabelSettings(views=condensery.ViewSampling(2))
    labelled = condensery.label(run, tiny_file, settings=views, teacher=teacher, device="cpu")
    heard: list[str] = []
    fresh = condensery.draw(labelled, announce=heard.append)
    assert fresh.label_kind == "hard" and not fresh.training and "labels" not in fresh.record
    assert heard == [
        "the set's labels (views (2)) are of its own images and left out: condense label makes new ones"
    ]


def test_what_cannot_be_drawn(run: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--ipc must be at least 1, not 0"):
        condensery.draw(run, ipc=0)
    with pytest.raises(BadInput, match=r"images of --ipc 10000000000 take .*; draw fewer"):
        condensery.draw(run, ipc=10**10)
    with pytest.raises(BadInput, match="run"):
        condensery.draw(run, out=run)
    condensery.select(condensery.load(run).record["data"]["source"], "random", out=tmp_path / "real")
    with pytest.raises(BadInput, match="only a generator can be drawn from anew"):
        condensery.draw(tmp_path / "real")


def test_the_command_and_what_show_says(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")  # long paths are wrapped otherwise
    assert main(["draw", str(run), "--ipc", "5"]) == 0
    said = capsys.readouterr().out
    assert f"{run}-drawn/set.safetensors  (15 images, " in said and "Seed     3" in said
    assert main(["show", f"{run}-drawn"]) == 0
    said = capsys.readouterr().out
    assert "generative, drawn anew" in said and "as float32 pixels 3.8 kB" in said
