"""A whole comparison: what it makes, that it goes on, and that its numbers are those of `condense evaluate`."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import condensery
from condensery import BadFile, BadInput, FailedWork, SoftLabels
from condensery.comparison.estimate import Stopwatch
from condensery.comparison.perform import perform
from condensery.comparison.plan import Entry
from condensery.comparison.reports import Comparison, report_of
from condensery.comparison.run import Run as Progress
from condensery.evaluation.cost import EvaluationTimer
from condensery.jobs.engines import InProcess, results
from condensery.jobs.job import Job, Result
from condensery.session import Interrupted

NARROW = "convnet+depth=1+width=8"
Run = Callable[..., Comparison]


class Counting(InProcess):
    """The engine of this process, which remembers what it was given."""

    def __init__(self, done: Callable[[Job], Result] = perform) -> None:
        super().__init__(done)
        self.jobs: list[Job] = []

    def submit(self, job: Job) -> Future[Result]:
        self.jobs.append(job)
        return super().submit(job)

    @property
    def kinds(self) -> list[str]:
        return [job.kind for job in self.jobs]


def documents(folder: Path) -> dict[str, Any]:
    """Every cell without what depends on the moment."""
    found = {}
    for path in sorted((folder / "cells").glob("*.json")):
        document = json.loads(path.read_text())
        for name in ("time", "worker", "condense_seconds"):
            document.pop(name, None)
        document["scores"] = [{**score, "seconds": 0} for score in document["scores"]]
        found[path.name] = document
    return found


def test_a_whole_comparison(run: Run, tmp_path: Path) -> None:
    news: list[tuple[str, int, int, float | None]] = []

    def hear(p: Progress) -> None:
        news.append((p.line, p.done, p.total, p.left))

    found = run(ipc=[1, 2], seeds=[0, 1], callback=hear, command="it")
    names = [(m.subject, m.ipc, m.network, m.condensed_with) for m in found.measurements]
    assert names == [
        *((s, ipc, NARROW, NARROW if s == "dm" else None) for ipc in (1, 2) for s in ("dm", "random")),
        ("whole", None, NARROW, None),
    ]
    dm = found.measurements[0]
    assert np.shape(dm.accuracies) == (2, 2) and (dm.steps, dm.published_steps) == (2, 20_000)
    assert (dm.images, len(dm.make_seconds), dm.protocol, dm.labels) == (3, 2, "short", "hard")
    assert dm.record["seeds"] == [0, 1] and dm.record["fields"]["real_batch"] == 8
    assert dm.memory and 2**20 < dm.memory < 2**33, "the peak of making the sets, in bytes"
    whole = found.measurements[-1]
    assert whole.images == 36 and whole.epochs == 3 and whole.steps is None
    assert found.complete and not found.problems
    done = [done for _, done, _, _ in news]
    assert done == sorted(done) and news[0] == ("", 0, 9, None)
    assert done[-1] == 9 and news[-1][-1] is None
    report = found.report(scatter=False)
    assert report.measurements == found.measurements and report.command == "it"
    assert {(g.subject, g.ipc, g.seed) for g in report.galleries} == {
        (s, ipc, seed) for s in ("dm", "random") for ipc in (1, 2) for seed in (0, 1)
    }
    assert all((g.initial is None) == (g.subject == "random") for g in report.galleries)
    assert len(report.curves) == 4 and all(len(c.loss) == 2 for c in report.curves)
    assert not list((tmp_path / "out").rglob("*.tmp"))


def test_a_cell_is_what_condense_evaluate_finds(run: Run, tmp_path: Path, tiny_file: Path, short) -> None:
    found = run(networks=["mlp"], seeds=[0, 3], evaluation_seed=5, whole_epochs=2)
    folders = [next((tmp_path / "out/sets").glob(f"dm-*-seed{seed}-*")) for seed in (0, 3)]
    measured = found.measurements[0]
    for seed, folder, row in zip((0, 3), folders, measured.accuracies, strict=True):
        by_hand = condensery.evaluate(folder, protocol=short, networks=["mlp"], seed=5 + seed, baselines=())
        assert by_hand.scores[0].accuracies == (row,)
        again = condensery.condense(
            str(tiny_file), "dm", ipc=1, network=NARROW, steps=2, seed=seed, real_batch=8
        )
        assert condensery.load(folder).images.equal(again.images)
    any_set = condensery.select(str(tiny_file), "random", ipc=1)  # what it is judged beside has no say
    by_hand = condensery.evaluate(
        any_set, protocol=short, networks=["mlp"], seed=5, repeats=1, baselines=["whole"], whole_epochs=2
    )
    assert by_hand.scores[1].accuracies == found.measurements[-1].accuracies


def test_an_interrupted_comparison_goes_on_to_the_same_numbers(run: Run, tmp_path: Path) -> None:
    run(out=tmp_path / "straight", seeds=[0, 1])

    def stopping(at: int) -> Callable[[Job], Result]:
        count = iter(range(100))

        def do(job: Job) -> Result:
            if next(count) == at:
                raise KeyboardInterrupt
            return perform(job)

        return do

    for at in (0, 1, 2):
        with pytest.raises(Interrupted, match=r"of 5 cells done; nothing is lost: the same command goes on"):
            run(seeds=[0, 1], engine=Counting(stopping(at)))
    lines: list[str] = []
    run(seeds=[0, 1], announce=lines.append)
    assert "2 of 5 cells are done already" in lines or "1 of 5 cells are done already" in lines
    assert documents(tmp_path / "out") == documents(tmp_path / "straight")


def test_a_set_is_gone_on_with_from_its_checkpoint(run: Run, tmp_path: Path, monkeypatch) -> None:
    """Ctrl-C within a condensation, as a terminal sends it."""
    import signal

    from condensery.comparison import perform as module

    run(["dm"], out=tmp_path / "straight", steps=6)
    real = module.condense

    def stopped_once(*args: Any, **settings: Any) -> Any:
        def step(report: Any) -> None:
            if report.step == 3:
                os.kill(os.getpid(), signal.SIGINT)

        return real(*args, **settings, callback=step)

    assert threading.current_thread() is threading.main_thread()
    with monkeypatch.context() as patch:
        patch.setattr(module, "condense", stopped_once)
        with pytest.raises(Interrupted, match="0 of 2 cells"):
            run(["dm"], steps=6)
    assert list((tmp_path / "out/sets").glob("dm-*/checkpoint.safetensors"))
    seen: list[int] = []

    def watched(*args: Any, **settings: Any) -> Any:
        return real(*args, **settings, callback=lambda report: seen.append(report.step))

    monkeypatch.setattr(module, "condense", watched)
    run(["dm"], steps=6)
    assert seen == [4, 5, 6] and documents(tmp_path / "out") == documents(tmp_path / "straight")


def test_sets_are_evaluated_on_the_way_and_stay_the_same(run: Run, tmp_path: Path) -> None:
    run(out=tmp_path / "plain", steps=3)
    found = run(steps=3, evaluate_at=[0, 2, 50])
    assert documents(tmp_path / "out") == documents(tmp_path / "plain"), "nothing else changes, no key either"
    (curve,) = found.report(scatter=False).curves
    assert [(step, n) for step, _, _, n in curve.accuracy] == [(0, 2), (2, 2)] and len(curve.loss) == 3
    assert all(0 < mean <= 1 for _, mean, _, _ in curve.accuracy)
    (made,) = (tmp_path / "out/sets").glob("dm-*")
    by_hand = condensery.load(tmp_path / "plain/sets" / made.name)
    assert condensery.load(made).images.equal(by_hand.images)
    engine = Counting()
    run(steps=3, evaluate_at=[0, 1, 2], engine=engine)
    assert not engine.jobs


def test_other_processes_find_the_same(run: Run, tmp_path: Path) -> None:
    run(out=tmp_path / "here")
    found = run(workers=2)
    assert found.complete and documents(tmp_path / "out") == documents(tmp_path / "here")
    for made in (tmp_path / "here/sets").iterdir():
        there = condensery.load(tmp_path / "out/sets" / made.name)
        assert there.images.equal(condensery.load(made).images)


def test_a_worker_that_cannot_reach_the_folder_sends_the_files(run: Run, tmp_path: Path) -> None:
    """As on a node of a cluster, where a job has no folder."""

    def elsewhere(job: Job) -> Result:
        return perform(replace(job, folder=str(tmp_path / "elsewhere" / job.key)))

    run(out=tmp_path / "here")
    run(engine=Counting(elsewhere))
    assert documents(tmp_path / "out") == documents(tmp_path / "here")
    (made,) = (tmp_path / "out/sets").glob("dm-*")
    assert {"run.json", "set.safetensors", "initial.safetensors", "curve.json", "set.png"} <= {
        path.name for path in made.iterdir()
    }
    (made / "made.json").unlink()
    assert run().complete, "a set that was not noted as done is made again"


def test_more_methods_and_seeds_reuse_what_is_there(run: Run, tmp_path: Path) -> None:
    first = Counting()
    run(["dm"], engine=first)
    assert first.kinds == ["make", "evaluate", "whole"]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/cells").glob("*.json")}
    more = Counting()
    found = run(["dm", "other=dm", "random"], settings={"real_batch": 8, "other.init": "noise"}, engine=more)
    assert more.kinds == ["make", "evaluate"] * 3, "one set, and random images for each of two networks"
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [m.subject for m in found.measurements] == ["dm", "other", "random", "whole"]
    nothing, lines = Counting(), []
    run(["random", "dm"], engine=nothing, announce=lines.append)
    assert nothing.jobs == []
    assert (
        lines[-1]
        == f"1 more finished cell of other commands in {tmp_path}/out: condense report {tmp_path}/out shows all"
    )


def test_selections_are_made_with_a_network_where_they_use_one(run: Run) -> None:
    found = run(
        ["herding", "random"],
        settings={"weights": "random"},
        condense_with=[NARROW, "convnet+depth=1+width=4"],
        networks=["mlp"],
    )
    assert [(m.subject, m.condensed_with) for m in found.measurements] == [
        ("herding", NARROW),
        ("herding", "convnet+depth=1+width=4"),
        ("random", None),
        ("whole", None),
    ]
    herding = found.measurements[0]
    assert (herding.steps, herding.published_steps) == (None, None) and len(herding.make_seconds) == 1
    assert found.complete and not found.report(scatter=False).curves


def test_soft_labels_and_the_scores_about_labels_and_augmentation(run: Run, tmp_path: Path, short) -> None:
    labels = condensery.SoftLabels(epochs=1)
    found = run(networks=["mlp"], soft_labels=labels, augmentation_robustness=True)
    assert [(m.subject, m.labels) for m in found.measurements] == [
        ("dm", "hard"),
        ("dm", "soft"),
        ("random", "hard"),
        ("random", "soft"),
        ("whole", "hard"),
    ]
    hard, soft, floor, soft_floor, whole = found.measurements
    assert soft.bytes > hard.bytes
    assert [(m.subject, m.labels) for m in found.measurements if m.extra] == [("dm", "hard"), ("dm", "soft")]
    scores, of_soft = hard.extra, soft.extra
    assert scores["hard_label_recovery"] == whole.mean - hard.mean
    assert scores["improvement_over_random"] == hard.mean - floor.mean
    assert of_soft["improvement_over_random"] == soft.mean - soft_floor.mean
    assert of_soft["hard_label_recovery"] == scores["hard_label_recovery"]
    assert 0 < scores["label_robust_score"] < 1 and 0 < scores["augmentation_robust_score"] < 1
    assert found.report(scatter=False).measurements == found.measurements
    (made,) = (tmp_path / "out/sets").glob("dm-*")
    by_hand = condensery.evaluate(
        made,
        protocol=short,
        networks=["mlp"],
        baselines=(),
        soft_labels=labels,
        augmentation_robustness=True,
    )
    found_by_hand = [s.accuracies for s in by_hand.scores if s.augmentation == "protocol"]
    assert found_by_hand == [hard.accuracies, soft.accuracies]


def test_cells_that_cannot_work_are_named_and_the_rest_goes_on(run: Run) -> None:
    lines: list[str] = []
    found = run(ipc=[1, 2], condense_with=[NARROW, "mlp"], networks=["mlp"], announce=lines.append)
    assert [(m.subject, m.ipc) for m in found.measurements] == [
        *((subject, ipc) for ipc in (1, 2) for subject in ("dm", "random")),
        ("whole", None),
    ]
    assert found.complete and all(problem.foreseen for problem in found.problems)
    reasons = {problem.cell: problem.reason for problem in found.problems}
    assert list(reasons) == [f"dm, {ipc} per class, made with mlp" for ipc in (1, 2)]
    assert all("mlp has none" in reason for reason in reasons.values())
    assert any(line.startswith("skipped: dm, 2 per class, made with mlp: ") for line in lines)
    assert [cell for cell, _ in found.report(scatter=False).skipped] == list(reasons)


def test_more_images_than_a_class_has(run: Run, tmp_path: Path) -> None:
    """Each class has 12."""
    lines: list[str] = []
    found = run(ipc=[13], whole=False, estimate=True, announce=lines.append)
    assert [(m.subject, m.ipc, m.images) for m in found.measurements] == [("dm", 13, 39), ("random", 13, 36)]
    assert any("dm: 3 classes have fewer real images" in line and "0 12 for 13" in line for line in lines)
    said = "random: fewer training images than asked for, all are taken: 0 12 of 13, 1 12 of 13, 2 12 of 13"
    assert said in lines and "improvement_over_random" in found.measurements[0].extra
    assert report_of([tmp_path / "out"], scatter=False).measurements == found.measurements


def test_budgets_by_class(run: Run, tmp_path: Path) -> None:
    lines: list[str] = []
    found = run(ipc=[{"0": 3, "*": 1}, 2, "proportional:2"], whole=False, announce=lines.append)
    assert [(m.subject, m.ipc, m.images) for m in found.measurements] == [
        ("dm", (3, 1, 1), 5), ("random", (3, 1, 1), 5), ("dm", 2, 6), ("random", 2, 6)
    ]  # fmt: skip
    assert "1 to 3 images per class, 5 in all: 0 3, 1 1, 2 1" in lines
    assert all("improvement_over_random" in m.extra for m in found.measurements if m.subject == "dm")
    assert found.cells[0].row == f"dm, 3 1 1 per class, made with {NARROW}"
    assert report_of([tmp_path / "out"], scatter=False).measurements == found.measurements
    engine = Counting()
    one = run(ipc="0=3,*=1", whole=False, engine=engine)
    assert not engine.jobs and one.measurements == found.measurements[:2]


def test_the_command_behind_the_whole_set_needs_no_set_of_the_comparison(run: Run) -> None:
    """Nor a long run."""
    found = run(["random"], ipc=[2], protocol="quick", repeats=1, whole_epochs=1)
    make, judge = found.measurements[-1].commands
    assert "condense select" in make and "--method random --ipc 1 " in make and "--ipc 2" not in make
    assert "--baselines whole --whole-epochs 1" in judge


def test_a_network_that_is_too_large_for_the_images_is_skipped(run: Run) -> None:
    found = run(["random"], networks=["mlp", "convnet+depth=5"])
    assert [(m.subject, m.network) for m in found.measurements] == [("random", "mlp"), ("whole", "mlp")]
    assert len(found.problems) == 2 and all("convnet+depth=5" in p.cell for p in found.problems)


def test_nothing_left_to_compare_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"no cell can be done; dm, 1 per class, made with mlp: .*mlp has none"
    ):
        run(["dm"], condense_with=["mlp"])
    assert not (tmp_path / "out").exists()


def test_a_broken_cell_is_named_tried_again_and_the_rest_goes_on(run: Run, tmp_path: Path) -> None:
    def broken(job: Job) -> Result:
        if job.kind == "make" and job.record["method"] == "dm":
            return Result(job.key, failed="the loss is nan")
        return perform(job)

    found = run(engine=Counting(broken))
    assert [m.subject for m in found.measurements] == ["random", "whole"] and not found.complete
    (problem,) = found.problems
    assert problem.failed and problem.reason == "the loss is nan" and "dm, 1 per class" in problem.cell
    assert json.loads((tmp_path / "out/problems.json").read_text())[0]["reason"] == "the loss is nan"
    assert run().complete


@pytest.mark.parametrize(
    ("error", "word", "kind"),
    [
        (BadInput("no such thing"), "no such thing", "skipped"),
        (FailedWork("not finite"), "not finite", "failed"),
        (RuntimeError("two\nlines"), "RuntimeError: two lines", "failed"),
    ],
)
def test_what_goes_wrong_in_a_job_is_told(monkeypatch, error, word, kind) -> None:
    from condensery.comparison import perform as module

    def raising(job: Job) -> None:
        raise error

    monkeypatch.setitem(module._KINDS, "make", raising)
    jobs = iter([Job("key", "make", {})])
    ((_, result),) = results(InProcess(perform), lambda: next(jobs, None))
    assert getattr(result, kind) == word and result.key == "key"


def test_other_images_under_the_same_name_are_refused(tiny_file: Path) -> None:
    record = {"source": str(tiny_file), "options": {}, "fingerprint": "0" * 64}
    outcome = perform(Job("key", "whole", {"data": record}))
    assert "holds other images" in outcome.skipped


def test_a_folder_of_another_comparison_is_refused(run: Run, tmp_path: Path, short) -> None:
    run(["random"])
    with pytest.raises(BadInput, match=r"holds a comparison on .*tiny\.npz .* not on digits"):
        run(["random"], data="digits")
    with pytest.raises(BadInput, match="by protocol short, not quick"):
        run(["random"], protocol="quick")
    with pytest.raises(BadInput, match="another short"):
        run(["random"], protocol=replace(short, epochs=3))
    with pytest.raises(BadInput, match="started with --threads 1, not 2"):
        run(["random"], threads=2)


def test_a_folder_of_something_else_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(BadInput, match="holds no comparison"):
        run(["random"])
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadInput, match="is a file"):
        run(["random"], out=tmp_path / "file")


def test_two_at_a_time_in_one_folder_are_refused(run: Run) -> None:
    def second(job: Job) -> Result:
        with pytest.raises(BadInput, match="another condense compare is working in"):
            run(["random"])
        return perform(job)

    assert run(["random"], engine=Counting(second)).complete


def test_damaged_files_are_named(run: Run, tmp_path: Path) -> None:
    run(["random"], repeats=1)
    (cell, other) = sorted((tmp_path / "out/cells").glob("*.json"))
    as_written = other.read_text()
    cell.write_text("{")
    other.write_text("[]")
    with pytest.raises(BadFile, match="are damaged: delete them, and they are done again") as both:
        run(["random"], repeats=1)
    assert str(cell) in str(both.value) and str(other) in str(both.value)
    other.write_text(as_written)
    with pytest.raises(BadFile, match="is damaged: delete it, and it is done again"):
        run(["random"], repeats=1)
    cell.unlink()
    assert run(["random"], repeats=1).complete
    (tmp_path / "out/comparison.json").write_text('{"format": 1}')
    with pytest.raises(
        BadFile, match=r"comparison\.json is damaged: delete it, and the same command goes on"
    ):
        run(["random"], repeats=1)
    (tmp_path / "out/comparison.json").unlink()
    engine = Counting(perform)
    assert run(["random"], repeats=1, engine=engine).complete and not engine.jobs


def test_each_network_gets_random_images_of_its_own_where_there_is_one_seed(run: Run, tmp_path: Path) -> None:
    found = run(["dm", "random"], seeds=[5], repeats=3)
    dm, random, _ = found.measurements
    assert [len(of_set) for of_set in dm.accuracies] == [3] and [len(s) for s in random.accuracies] == [1] * 3
    chosen = [condensery.load(folder) for folder in (tmp_path / "out/sets").glob("random-*")]
    assert {one.record["seed"] for one in chosen} == {5, 6, 7}
    assert len({tuple(one.record["indices"]) for one in chosen}) == 3, (
        "their spread is that of selections too"
    )
    found = run(["dm", "random"], seeds=[5, 6], repeats=3)
    assert [len(s) for s in found.measurements[1].accuracies] == [3, 3], "as many networks as for others"


def test_a_set_that_was_changed_is_not_taken_for_the_one_that_was_made(run: Run, tmp_path: Path) -> None:
    run(["random"], seeds=[0, 1])
    (first, second) = sorted((tmp_path / "out/sets").glob("*/set.safetensors"))
    first.write_bytes(second.read_bytes())
    run(["random"], seeds=[0, 1])  # nothing to do
    with pytest.raises(BadFile, match="is not the set that this comparison made: delete"):
        run(["random"], seeds=[0, 1], networks=["mlp"])
    first.write_bytes(first.read_bytes()[:300])
    with pytest.raises(BadFile, match="is not the set that this comparison made: delete"):
        run(["random"], seeds=[0, 1], networks=["mlp"])
    lines: list[str] = []
    found = report_of([tmp_path / "out"], scatter=False, announce=lines.append)
    assert found.measurements and len(found.galleries) == 1, "a damaged set takes no accuracy away"
    assert [line.startswith("no pictures of random, 1 per class, seed ") for line in lines] == [True]


def seconds_of(lines: list[str]) -> float:
    (line,) = [line for line in lines if line.startswith("about ")]
    units = {"s": 1, "min": 60, "h": 3600}
    return sum(int(n) * units[u] for n, u in re.findall(r"(\d+) (s|min|h)\b", line.partition(" for ")[0]))


def test_the_estimate_counts_what_is_trained_beside_the_sets(
    run: Run, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second for a step and nothing for a test: pools, teachers and arms are counted, and trained by nobody."""
    monkeypatch.setattr(
        Stopwatch,
        "_step",
        lambda self, method, task: 1.0 if getattr(method, "weights", "random") == "random" else 1e6,
    )
    monkeypatch.setattr(
        EvaluationTimer, "_time_step", lambda self, number, network, recipe, size, augment: 1.0
    )
    monkeypatch.setattr(EvaluationTimer, "_time_test", lambda self, network: 0.0)

    def estimated(methods: Sequence[str] = ("dm",), **changed: Any) -> float:
        lines: list[str] = []
        run(methods, dry_run=True, whole=False, estimate=True, announce=lines.append, **changed)
        return seconds_of(lines)

    plain = estimated()  # two steps, and two networks of 3 epochs of one batch each
    assert plain == 2 + 2 * 3
    assert estimated(augmentation_robustness=True) == 2 + 2 * 3 * 2
    # a teacher of 5 epochs on 36 images, one batch: two for the seeds, the budgets share
    labels = condensery.SoftLabels(epochs=5)
    assert estimated(soft_labels=labels, seeds=[0, 1], ipc=[1, 2]) == 4 * (2 + 2 * 3 * 2) + 2 * 5
    pool = {"real_batch": 8, "weights": "all", "trained_networks": 4, "trained_epochs": 10}
    # 4 networks for 10 epochs on 9 tenths, and a little for their validation
    assert estimated(settings=pool, ipc=[1, 2]) == pytest.approx(2 * plain + 4 * 9, abs=2)
    # herding and k-center of both budgets look through one network of 20 epochs
    selections = estimated(["herding", "k-center"], settings={}, ipc=[1, 2])
    assert selections == pytest.approx(20 + 4 * 2 * 3 + 4 / 3, abs=1)
    # a set that has a recipe of its own is trained on by that too: as many epochs as it says
    frepo = {"pool_size": 1, "network_batch": 8, "real_batch": 8}
    own = 1000  # optimiser steps of FRePo's recipe for 10 images or fewer
    assert estimated(["frepo"], settings=frepo) == pytest.approx(2 + 2 * (3 + own), abs=1)
    # a teacher of patches is counted, not trained
    assert estimated(["patches"], settings={"candidates": 8}) > 1000 / 5
    kept = [name for name in ("trained", "networks", "teachers") if list(fresh_cache.glob(f"{name}/*"))]
    assert not kept


def test_the_whole_set_gets_the_steps_of_sets_that_are_made_of_tiles(run: Run) -> None:
    """12 images a class train networks where 3 are stored."""
    tiles = {"factor": 2, "real_batch": 8}
    plain, tiled = (run(["dm"], ipc=[3], settings=s, dry_run=True).plan for s in ({"real_batch": 8}, tiles))
    assert plain and tiled and tiled.largest == 4 * plain.largest


def test_tiles_that_take_more_images_than_there_are_are_said_beforehand(run: Run) -> None:
    lines: list[str] = []
    settings = {"dm.factor": 4, "real_batch": 8}
    found = run(["dm", "random"], settings=settings, dry_run=True, announce=lines.append)
    assert not found.problems and any("dm: 3 classes have fewer" in x and "0 12 for 16" in x for x in lines)


def test_an_interrupted_estimate_says_that_the_same_command_goes_on(run: Run, monkeypatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("condensery.comparison.run.Stopwatch", stop)
    with pytest.raises(Interrupted, match="stopped before the first cell; nothing is lost: the same command"):
        run(["random"], estimate=True)
    assert run(["random"]).complete


def test_time_spent_waiting_for_workers_is_no_work(run: Run) -> None:
    """Otherwise the time that workers take to start would be expected of every job to come."""
    left: list[float | None] = []
    progress: list[Progress] = []

    def hear(p: Progress) -> None:
        left.append(p.left)
        progress.append(p)

    class Slow(Counting):
        def result(self, ended: Future[Result]) -> Result:
            time.sleep(0.5)
            result = super().result(ended)
            assert result.seconds > 0
            return replace(result, seconds=progress[-1].expected[result.key])

    run(engine=Slow(), estimate=True, callback=hear)
    expected = list(progress[0].expected.values())
    assert len(left) == 1 + len(expected) and left[0] == pytest.approx(sum(expected))
    assert left[1] == pytest.approx(sum(expected) - expected[0]), "as fast as expected, so the rest stays"


def test_a_dry_run_leaves_nothing_behind(run: Run, tmp_path: Path) -> None:
    lines: list[str] = []
    found = run(dry_run=True, announce=lines.append)
    assert not (tmp_path / "out").exists() and found.measurements == ()
    assert any(line.startswith("about ") and "for 4 cells (make 3 sets" in line for line in lines)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"ipc": [0]}, "--ipc must be at least 1, not 0"),
        ({"ipc": []}, "--ipc is empty"),
        ({"seeds": []}, "--seeds is empty"),
        ({"repeats": 0}, "--repeats must be at least 1"),
        ({"whole_epochs": 0}, "--whole-epochs must be at least 1"),
        ({"scale": 0.0}, "--scale must be more than 0"),
        ({"networks": ["mlpp"]}, "mlpp"),
        ({"condense_with": []}, "--condense-with is empty"),
        ({"protocol": "fast"}, "unknown protocol 'fast'"),
        ({"workers": 0}, "--workers"),
        ({"threads": 0}, "--threads"),
        ({"gpus_per_job": -1}, "--gpus-per-job"),
        ({"device": "tpu"}, "tpu"),
        ({"scale": 0.1, "steps": 2}, "say the same twice"),
        ({"whole": False, "whole_epochs": 2}, "leave one out"),
        ({"soft_labels": SoftLabels(network="foo")}, "no network is called 'foo'"),
        ({"evaluate_at": [-1]}, "--evaluate-at takes numbers of steps, not -1"),
        ({"methods": ["random=dm"]}, "'random' means something else than dm"),
        ({"methods": ["whole=dm"]}, "'whole' means something else than dm"),
        ({"methods": ["chance=random"]}, "chance=random: random images are the floor .* write random"),
        ({"methods": [Entry("chance", "random")]}, "chance=random: random images are the floor"),
        ({"methods": ["=dm"]}, "has no label"),
    ],
)
def test_what_is_refused_before_any_work(run: Run, tmp_path: Path, changed, words) -> None:
    with pytest.raises(BadInput, match=words):
        run(**{"methods": ["random"], **changed})
    assert not (tmp_path / "out").exists()
