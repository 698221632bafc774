"""A method, a selector, labels and a score that nobody knows go through a comparison to its report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from condensery import METHODS, SELECTORS, get_method
from condensery.comparison import perform as perform_module
from condensery.comparison.perform import perform
from condensery.comparison.reports import Comparison, report_of
from condensery.evaluation.evaluator import Evaluation
from condensery.jobs.engines import InProcess
from condensery.jobs.job import Job, Result
from condensery.report import write_report
from condensery.rng import Rng

Run = Callable[..., Comparison]


@dataclass(frozen=True)
class Halfway:
    """DM with half as many updates, which is a method of its own here."""

    name: ClassVar[str] = "halfway"
    summary: ClassVar[str] = "DM, half as long"

    real_batch: int = 8
    """real images per class and step"""

    @property
    def dm(self) -> Any:
        return get_method("dm", real_batch=self.real_batch)

    def steps(self, ipc: int) -> int:
        return self.dm.steps(ipc) // 2

    def check(self, task: Any) -> list[str]:
        return ["a note of its own"]

    def start(self, task: Any, rng: Rng) -> Any:
        return self.dm.start(task, rng)

    def terms(self, task: Any, state: Any, rng: Rng) -> Iterator[Tensor]:
        return self.dm.terms(task, state, rng)

    def advance(self, task: Any, state: Any, rng: Rng) -> Any:
        return self.dm.advance(task, state, rng)


@dataclass(frozen=True)
class Brightest:
    """The images with the largest mean."""

    name: ClassVar[str] = "brightest"
    summary: ClassVar[str] = "the brightest images of each class"

    def check(self, task: Any) -> list[str]:
        return []

    def work(self, task: Any, rng: Rng) -> float:
        return 0.0

    def select(self, task: Any, rng: Rng) -> list[Tensor]:
        labels = torch.as_tensor(task.pool.labels)
        images, _ = task.images().batch(torch.arange(len(labels)))
        means = images.flatten(1).mean(1).cpu()
        classes = (torch.nonzero(labels == c).flatten() for c in range(task.pool.spec.num_classes))
        return [
            mine[means[mine].argsort(descending=True)[:n]]
            for mine, n in zip(classes, task.counts, strict=True)
        ]


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "halfway", Halfway)  # type: ignore[arg-type]
    monkeypatch.setitem(SELECTORS, "brightest", Brightest)  # type: ignore[arg-type]


@pytest.mark.usefixtures("registered")
def test_a_new_method_and_a_new_selector(run: Run, tmp_path: Path) -> None:
    lines: list[str] = []
    methods = ["halfway", "dm", "brightest", "random"]
    found = run(methods, ipc=[1], seeds=[0, 1], announce=lines.append, estimate=True)
    assert [m.subject for m in found.measurements] == [*methods, "whole"] and found.complete
    halfway, _, brightest, _, _ = found.measurements
    assert (halfway.steps, halfway.published_steps) == (2, 10_000)
    assert (brightest.steps, brightest.images) == (None, 3) and "halfway: a note of its own" in lines
    report = report_of([tmp_path / "out"], scatter=False)
    assert report.measurements == found.measurements
    write_report(report, tmp_path / "page.html")
    assert "brightest" in (tmp_path / "page.html").read_text()


def test_a_new_score_and_a_new_kind_of_labels(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an evaluation would give them that has an option nobody here has heard of."""
    real, asked = perform_module.evaluate, []

    def evaluate(*args: Any, tilt: dict[str, int] | None = None, **options: Any) -> Evaluation:
        asked.append(tilt)
        found = real(*args, **options)
        tilted = [replace(score, labels="tilted") for score in found.scores] if tilt else []
        return replace(found, scores=(*found.scores, *tilted))

    def with_calibration(job: Job) -> Result:
        result = perform(job)
        for score in result.document.get("scores", ()):
            score["calibration"] = 0.25
        return result

    monkeypatch.setattr(perform_module, "evaluate", evaluate)
    for degrees in (10, 20):
        tilt = {"tilt": {"degrees": degrees}}
        found = run(["dm"], whole=False, evaluation=tilt, engine=InProcess(with_calibration))
        assert [m.labels for m in found.measurements] == ["hard", "tilted"]
    assert asked == [{"degrees": 10}, {"degrees": 20}], "another value of the option is another cell"
    report = report_of([tmp_path / "out"], scatter=False)
    assert {m.labels for m in report.measurements} == {"hard", "tilted degrees=10", "tilted degrees=20"}
    cells = [json.loads(file.read_text()) for file in (tmp_path / "out/cells").glob("*.json")]
    assert all(score["calibration"] == 0.25 for cell in cells for score in cell["scores"])
    run(["dm"], whole=False)
    assert asked[2:] == [None], "without the option the key is that of folders that do not know it"
