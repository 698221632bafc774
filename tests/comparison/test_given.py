"""Finished sets beside methods: what may stand there, what it is called, and that it is found again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import condensery
from condensery import BadFile, BadInput, ImageData, artifact
from condensery.comparison.given import as_made
from condensery.comparison.perform import perform
from condensery.comparison.reports import Comparison, report_of
from condensery.jobs.engines import InProcess
from condensery.jobs.job import Job

NARROW = "convnet+depth=1+width=8"
Run = Callable[..., Comparison]


class Counting(InProcess):
    """The engine of this process, which remembers what it was given."""

    def __init__(self) -> None:
        super().__init__(perform)
        self.kinds: list[str] = []

    def submit(self, job: Any) -> Any:
        self.kinds.append(job.kind)
        return super().submit(job)


@pytest.fixture
def made(tiny: ImageData, tmp_path: Path) -> Path:
    """A run folder of two steps of DM, called "mine"."""
    condensery.condense(tiny, "dm", steps=2, network=NARROW, real_batch=8, seed=3, out=tmp_path / "mine")
    return tmp_path / "mine"


def changed(path: Path, to: Path, **fields: Any) -> Path:
    artifact.save(replace(condensery.load(path), **fields), to)
    return to


def test_sets_stand_beside_methods_and_are_found_again(
    run: Run, made: Path, tmp_path: Path, short: Any
) -> None:
    one = condensery.load(made)
    brighter = changed(made, tmp_path / "brighter.safetensors", images=one.images + 0.5)
    lines: list[str] = []
    asked = {"methods": ["random"], "networks": [NARROW], "sets": [made, brighter], "estimate": True}
    first = Counting()
    found = run(**asked, engine=first, announce=lines.append)
    assert first.kinds == ["evaluate"] * 2 + ["make", "evaluate"] * 2 + ["whole"], (
        "nobody makes what is there"
    )
    assert any("for 5 cells (make 2 sets" in line for line in lines)
    assert [(m.subject, m.ipc) for m in found.measurements] == [
        ("random", 1), ("mine", 1), ("brighter", 1), ("whole", None)
    ]  # fmt: skip
    _, mine, other, _ = found.measurements
    by_hand = condensery.evaluate(made, protocol=short, networks=[NARROW], seed=3, baselines=())
    assert mine.accuracies == by_hand.scores[0].accuracies and mine.accuracies != other.accuracies
    assert (mine.steps, mine.condensed_with, mine.published) == (2, NARROW, None)
    assert {"hard_label_recovery", "improvement_over_random"} <= mine.extra.keys()
    report = found.report(scatter=False)
    assert {g.subject for g in report.galleries} == {"random", "mine", "brighter"}
    again = report_of([tmp_path / "out"], scatter=False)
    assert again.measurements == found.measurements and again.title == report.title
    second = Counting()
    assert run(**asked, engine=second).measurements == found.measurements and not second.kinds


def test_a_set_that_changed_is_another_row_and_a_note_in_its_record_is_not(
    run: Run, made: Path, tmp_path: Path
) -> None:
    asked = {"methods": (), "sets": [made], "whole": False, "settings": {}}
    before = run(**asked).measurements
    noted = condensery.load(made)
    changed(made, made / "set.safetensors", record={**noted.record, "note": "mine"})
    engine = Counting()
    assert run(**asked, engine=engine).measurements == before and not engine.kinds
    changed(made, made / "set.safetensors", images=noted.images + 0.5)
    (after,) = run(**asked).measurements
    assert after.accuracies != before[0].accuracies
    names = [m.subject for m in report_of([tmp_path / "out"], scatter=False).measurements]
    assert len(names) == 2 and all(name.startswith("mine set=") for name in names)


def test_names_of_rows(run: Run, made: Path, tmp_path: Path) -> None:
    images = condensery.load(made).images
    paths = [made, made / "set.safetensors"]
    for i, name in enumerate(("a/mine", "dm", "whole")):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        paths.append(folder)
        changed(made, folder / "set.safetensors", images=images + i + 1)
    found = run((), sets=paths[:1] + paths[2:] + paths[:1], settings={}, whole=False, dry_run=True)
    assert [made.label for made in found.sets] == [str(path) for path in paths[:1] + paths[2:]]
    (one,) = run((), sets=[paths[1]], settings={}, whole=False, dry_run=True).sets
    assert one.label == "mine" and one.key.startswith("set-dm-ipc1-seed3-")


def test_classes_by_name_and_another_normalisation(run: Run, made: Path, tmp_path: Path) -> None:
    one = condensery.load(made)
    spec = replace(one.spec, class_names=("2", "0", "1"), mean=(0.4,), name="custom")
    turned = changed(made, tmp_path / "turned.safetensors", spec=spec)
    lines: list[str] = []
    found = run((), sets=[made, turned], settings={}, whole=False, announce=lines.append)
    assert any(line.startswith("turned: classes of ") and "matched by name" in line for line in lines)
    assert any(line.startswith("turned: images of ") and "the set's mean 0.4" in line for line in lines)
    mine, other = found.measurements
    assert mine.accuracies != other.accuracies
    first, second = report_of([tmp_path / "out"], scatter=False).galleries
    assert first.class_names == second.class_names == ("0", "1", "2")


def test_uneven_labelled_and_random_sets(run: Run, tiny: ImageData, tmp_path: Path) -> None:
    chosen = condensery.select(tiny, "random", ipc={"0": 3, "*": 1}, out=tmp_path / "few")
    soft = torch.full((len(chosen), 3), 0.1) + 0.7 * torch.eye(3)[chosen.labels]
    changed(tmp_path / "few", tmp_path / "soft.safetensors", targets=soft)
    found = run(["random"], sets=[tmp_path / "few", tmp_path / "soft.safetensors"], networks=["mlp"])
    assert [(m.subject, m.ipc, m.labels == "hard") for m in found.measurements] == [
        ("random", 1, True),
        ("few", (3, 1, 1), True),
        ("soft", (3, 1, 1), True),
        ("soft", (3, 1, 1), False),
        ("whole", None, True),
    ], "a selection that somebody gives is a row of its own"
    assert report_of([tmp_path / "out"], scatter=False).measurements == found.measurements
    document = json.loads((tmp_path / "out/comparison.json").read_text())
    assert [one["label"] for one in document["plan"]["given"]] == ["few", "soft"]


@pytest.mark.parametrize("case", ["missing", "damaged", "classes", "size", "absent", "own"])
def test_what_cannot_stand_there_is_refused_before_anything(
    case: str, run: Run, made: Path, tmp_path: Path
) -> None:
    one, file, words = condensery.load(made), tmp_path / "set.safetensors", ""
    if case == "missing":
        file, words = tmp_path / "nowhere", "nowhere does not exist: give a run folder or a .safetensors file"
    elif case == "damaged":
        file.write_bytes((made / "set.safetensors").read_bytes()[:-9])
        words = "is truncated, damaged or not"
    elif case == "classes":
        changed(made, file, spec=replace(one.spec, class_names=("0", "1", "cat")))
        words = "--sets .*has no class 'cat'"
    elif case == "size":
        small = replace(one.spec, height=4, width=4)
        changed(made, file, images=one.images[..., :4, :4].contiguous(), spec=small)
        words = r"--sets .*of shape \(1, 4, 4\)"
    elif case == "absent":
        changed(made, file, images=one.images[:2], labels=one.labels[:2])
        words = "has no image of 1 of 3 classes"
    elif case == "own":
        changed(made, file, record={**one.record, "network": "os:system"})
        words = "os:system: name one with --networks"
    with pytest.raises((BadFile, BadInput), match=words) as refusal:
        run((), sets=[file], settings={})
    assert "\n" not in str(refusal.value) and not (tmp_path / "out").exists()


def test_a_set_that_changes_while_the_comparison_begins_is_refused(made: Path) -> None:
    job = Job("key", "make", {"file": str(made), "given": {"sha256": "that of another set"}})
    with pytest.raises(BadInput, match="has changed while the comparison began: give the same command again"):
        as_made(job)
