"""A new method, selector, kind of label or score is in every table and on the page, and no line of `report` knows it.

Here all four are made up: as evaluations on disk that name them, and as a score that is put beside the others.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from test_measurements import document, score

import condensery
from condensery import SyntheticSet
from condensery.data.sources import silent
from condensery.evaluation import honest
from condensery.report import measurements, tables
from condensery.report.contents import Report
from condensery.report.from_disk import find, report_of_found
from condensery.report.page import html, numbers

VIEWS = "views of frosted images"  # a kind of label that nobody has
PARAMETRIC: dict[str, Any] = {"images": 40, "stored_images": 8, "bytes": 512}  # 40 are trained on, 8 stored


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """A method and a selector that are registered nowhere, as `condense evaluate` would write their evaluations."""
    own = {"fields": {"glow": 3}, "made_with": ["condense run --method frost"]}
    frost = document(
        score("frost", [0.5, 0.52], **PARAMETRIC),
        score("frost", [0.6, 0.62], labels=VIEWS, **PARAMETRIC),
        score("random", [0.3, 0.32]),
        score("random", [0.35, 0.36], labels=VIEWS),
        score("whole", [0.8]),
        method="frost",
        **own,
    )
    picky = document(score("picky", [0.41]), method="picky", fields={"taste": "sour"}, steps=None)
    (tmp_path / "found.jsonl").write_text("".join(json.dumps(one) + "\n" for one in (frost, picky)))
    return of_disk(tmp_path / "found.jsonl")


def of_disk(path: Path) -> Report:
    return report_of_found([find(path)], title="", command="", scatter=False, announce=silent)


def in_csv(report: Report) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(tables.csv_text(report))))


def test_method_selector_and_kind_of_label(report: Report, tmp_path: Path) -> None:
    assert [(m.subject, m.labels) for m in report.measurements] == [
        ("random", "hard"),
        ("random", VIEWS),
        ("frost", "hard"),
        ("frost", VIEWS),
        ("picky", "hard"),
        ("whole", "hard"),
    ]
    by_kind = {(m.subject, m.labels): m for m in report.measurements}
    assert by_kind["frost", VIEWS].extra["improvement_over_random"] == pytest.approx(0.255)
    page, table = html(report), tables.markdown(report)
    for name in ("frost", "picky", VIEWS):
        assert name in page and name in table
    assert "frost (hard labels)" in page, "names that have to be told apart are"
    (tmp_path / "again.jsonl").write_text(tables.json_lines(report))
    assert of_disk(tmp_path / "again.jsonl").measurements == report.measurements


def test_images_stored_images_trained_on_and_bytes_are_three_numbers(report: Report) -> None:
    rows = {(row["subject"], row["labels"]): row for row in in_csv(report)}
    assert [rows["frost", "hard"][name] for name in ("stored_images", "images", "bytes")] == [
        "8",
        "40",
        "512",
    ]
    assert [rows["picky", "hard"][name] for name in ("stored_images", "images")] == ["10", "10"]
    assert "| images stored |" in tables.markdown(report) and "| 8 for 40 |" in tables.markdown(report)
    page = html(report)
    costs = page[page.index('<section id="costs"') :]
    assert costs.index("Images stored") < costs.index('data-k="Images stored" data-v="8">8</td>')
    plain = Report("t", (), tuple(m for m in report.measurements if m.subject != "frost"))
    assert "images stored" not in tables.markdown(plain) and "Images stored" not in html(plain)


def test_any_other_column_is_shown(report: Report, tmp_path: Path) -> None:
    rows = tuple(
        m if m.subject != "frost" else replace(m, extra={**m.extra, "cold_starts": 7, "mood": "<b>"})
        for m in report.measurements
    )
    more = Report("t", (), rows)
    assert {row["mood"] for row in in_csv(more)} == {"", "<b>"} and in_csv(more)[2]["cold_starts"] == "7"
    assert "| cold starts | mood |" in tables.markdown(more) and r"| 7 | \<b\> |" in tables.markdown(more)
    assert '<td class="num" role=cell data-k="Cold starts" data-v="7.0">7</td>' in html(more)
    (tmp_path / "again.jsonl").write_text(tables.json_lines(more))
    assert of_disk(tmp_path / "again.jsonl").measurements == rows


@dataclass(frozen=True)
class _Frosted(honest.Honest):
    """A score beside the others: how much better a set is than no set at all."""

    better_than_nothing: float | None = None


def test_a_score(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usual = honest.honest_scores

    def with_one_more(scores: Any, *weights: float) -> tuple[Any, ...]:
        return tuple(_Frosted(**vars(one), better_than_nothing=0.125) for one in usual(scores, *weights))

    column = honest.ScoreColumn("better_than_nothing", "BTN", "%", "all of it")
    for module in (measurements, tables, numbers):
        monkeypatch.setattr(module, "SCORES", (*honest.SCORES, column))
    monkeypatch.setattr(measurements, "honest_scores", with_one_more)
    path = tmp_path / "found.jsonl"
    path.write_text(json.dumps(document(score("dm", [0.5]), score("random", [0.3]))) + "\n")
    report = of_disk(path)
    assert report.measurements[1].extra["better_than_nothing"] == 0.125
    assert in_csv(report)[1]["better_than_nothing"] == "0.125"
    assert "| IOR, % | BTN, % |" in tables.markdown(report) and tables.markdown(report).count("| 12.5 |") == 1
    page = html(report)
    assert ">BTN, %</button>" in page and "BTN: all of it." in page and ">12.5</td>" in page
    assert json.loads(tables.json_lines(report).splitlines()[1])["honest"]["better_than_nothing"] == 0.125


def test_a_set_of_a_method_that_is_registered_nowhere(tiny_file: Path, tmp_path: Path) -> None:
    """A file that somebody else's method made is shown with its images and its evaluation."""
    real = condensery.select(tiny_file, "random", ipc=1, device="cpu")
    record = {**real.record, "method": "frost", "fields": {"glow": 3}, "step": 5}
    condensery.save(SyntheticSet(real.images, real.labels, real.spec, record), tmp_path / "frost.safetensors")
    report = of_disk(tmp_path / "frost.safetensors")
    (gallery,) = report.galleries
    assert gallery.subject == "frost" and "frost, 1 image per class" in html(report)
