"""A comparison whose sets are split over classes has the sets and numbers of one whose sets are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from condensery import artifact
from condensery.comparison.engines import InProcess
from condensery.comparison.engines.sharding import Sharded
from condensery.comparison.jobs import Job, Outcome
from condensery.comparison.outcome import Comparison
from condensery.comparison.perform import perform
from condensery.errors import BadInput
from condensery.session import Interrupted

NARROW = "convnet+depth=1+width=8"
Run = Callable[..., Comparison]


class Counting(InProcess):
    """The engine of this process, which remembers what it was given, and can be stopped after some jobs."""

    def __init__(self, jobs: float = float("inf")) -> None:
        super().__init__(perform)
        self.submitted: list[Job] = []
        self.left = jobs

    def submit(self, job: Job) -> None:
        self.submitted.append(job)
        super().submit(job)

    def next(self) -> Outcome:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return super().next()


def of(comparison: Comparison) -> list[Any]:
    return [(m.subject, m.ipc, m.network, m.accuracies) for m in comparison.measurements]


def only_set(out: Path) -> Path:
    (folder,) = (out / "sets").iterdir()
    return folder


def test_split_sets_are_equal_and_so_are_the_numbers(run: Run, tmp_path: Path) -> None:
    options: dict[str, Any] = {"methods": ["dm"], "ipc": [2], "steps": 3, "whole": False}
    whole = run(out=tmp_path / "whole", **options)
    engine = Counting()
    split = run(out=tmp_path / "split", shards=3, engine=engine, **options)
    parts = [job for job in engine.submitted if job.kind == "make"]
    assert len(parts) == 3 and sorted(c for job in parts for c in job.record["shard"]) == list(
        range(len(parts[0].record["data"]["spec"]["class_names"]))
    )
    ours, theirs = only_set(tmp_path / "split"), only_set(tmp_path / "whole")
    assert ours.name == theirs.name
    for name in ("set.safetensors", "initial.safetensors"):
        assert artifact.digest(artifact.load(ours / name)) == artifact.digest(artifact.load(theirs / name))
    losses = [json.loads((folder / "curve.json").read_text())["loss"] for folder in (ours, theirs)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert (ours / "set.png").exists() and not (ours / "shards").exists()
    assert of(split) == of(whole)


def test_slots_are_those_that_the_engine_has_by_now() -> None:
    """Nodes come to a cluster and go."""
    engine = InProcess(perform)
    sharded = Sharded(engine, 3)
    engine.slots = 7
    assert sharded.slots == 7


def test_what_cannot_be_split_is_done_whole(run: Run, tmp_path: Path) -> None:
    engine = Counting()
    run(["dm", "random"], condense_with=[f"{NARROW}+norm=batch"], shards=3, engine=engine, whole=False)
    assert [job.kind for job in engine.submitted].count("make") == 2
    assert not any("shard" in job.record for job in engine.submitted)


def test_more_parts_than_classes_are_as_many_as_classes(run: Run, tmp_path: Path) -> None:
    engine = Counting()
    run(["dm"], shards=100, engine=engine, whole=False)
    parts = [job for job in engine.submitted if job.kind == "make"]
    assert [len(job.record["shard"]) for job in parts] == [1] * len(parts)


def test_an_interrupted_split_set_keeps_the_parts_that_were_made(run: Run, tmp_path: Path) -> None:
    options: dict[str, Any] = {"methods": ["dm"], "whole": False, "shards": 3}
    with pytest.raises(Interrupted):
        run(engine=Counting(jobs=2), **options)
    done = list((only_set(tmp_path / "out") / "shards").iterdir())
    assert len(done) == 2
    before = {path: (path / "set.safetensors").stat().st_ino for path in done}
    stopped_again = Counting(jobs=2)
    with pytest.raises(Interrupted):
        run(engine=stopped_again, **options)
    assert all((path / "set.safetensors").exists() for path in before)
    finished = run(**options)
    assert finished.complete
    assert of(finished) == of(run(out=tmp_path / "other", methods=["dm"], whole=False))


def test_no_parts_are_refused(run: Run) -> None:
    with pytest.raises(BadInput, match="--shards must be at least 1, not 0"):
        run(["dm"], shards=0)
