"""HLR, IOR, LRS and ARS from measurements."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from test_measurements import document, found, score

from condensery import BadInput
from condensery.data.sources import silent
from condensery.evaluation.honest import augmentation_robust_score, label_robust_score
from condensery.report import write_report
from condensery.report.contents import Measurement, Report
from condensery.report.from_disk import Found, report_of_found
from condensery.report.measurements import with_scores
from condensery.report.page import html
from condensery.report.tables import COLUMNS, csv_text, json_lines, markdown


def scored(rows: Sequence[Measurement]) -> list[Measurement]:
    """Those that come to something beside random images or the whole set."""
    return [m for m in with_scores(rows) if m.extra]


def test_all_scores_by_hand():
    scores = [
        score("dm", [0.5]),
        score("random", [0.3]),
        score("whole", [0.8], epochs=40),
        score("dm", [0.45], augmentation="none"),
        score("random", [0.35], augmentation="none"),
    ]
    (m,) = scored(found(document(*scores), document(score("whole", [0.6], epochs=1), ipc=1)))
    assert (m.subject, m.ipc, m.network, m.labels, m.augmentation) == (
        "dm",
        10,
        "convnet",
        "hard",
        "protocol",
    )
    assert m.extra["hard_label_recovery"] == pytest.approx(0.3), (
        "of two whole sets the longer training counts"
    )
    assert m.extra["improvement_over_random"] == pytest.approx(0.2)
    assert m.extra["label_robust_score"] == pytest.approx(label_robust_score(0.2, 0.3))
    assert m.extra["augmentation_robust_score"] == pytest.approx(augmentation_robust_score(0.2, 0.1))


def test_other_budgets_networks_and_protocols_do_not_count():
    assert scored(found(document(score("dm", [0.5])), document(score("random", [0.3]), ipc=1))) == []
    assert scored(found(document(score("dm", [0.5]), score("random", [0.3], network="mlp")))) == []
    assert scored(found(document(score("dm", [0.5])), document(score("whole", [0.3]), protocol="x"))) == []


def test_weights_of_an_evaluation_are_kept_and_shown():
    weights = {"w": 0.9, "gamma": 0.25}
    asked = document(
        score("dm", [0.5]),
        score("random", [0.3]),
        score("whole", [0.8], epochs=40),
        score("dm", [0.45], augmentation="none"),
        score("random", [0.35], augmentation="none"),
        honest=[{"network": "convnet", "labels": "hard", **weights}],
    )
    usual = document(score("dc", [0.4]), method="dc")
    dc, dm = (m.extra for m in sorted(scored(found(asked, usual)), key=lambda m: m.subject))
    assert (dm["w"], dm["gamma"], dc["w"]) == (0.9, 0.25, 0.5) and "gamma" not in dc
    assert dm["label_robust_score"] == pytest.approx(label_robust_score(0.2, 0.3, w=0.9))
    assert dm["augmentation_robust_score"] == pytest.approx(augmentation_robust_score(0.2, 0.1, gamma=0.25))
    report = report_of_lines(asked, usual)
    weights_of = "w 0.9, gamma 0.25 (dm with 10 per class); w 0.5, gamma 0.5 (dc with 10 per class)"
    assert dict(report.facts)["Weights in LRS, ARS"] == weights_of
    table = markdown(report).splitlines()
    assert table[4].endswith("| HLR, % | IOR, % | LRS, % | ARS, % | w | gamma |")
    assert next(line for line in table if "| dm |" in line and "none" not in line).endswith("| 0.9 | 0.25 |")
    assert "Weights" not in dict(report_of_lines(usual).facts)
    refused = {**asked, "honest": [{"w": 2, "gamma": 0.5}]}
    with pytest.raises(BadInput, match="w must be a fraction between 0 and 1, not 2"):
        found(refused)


def report_of_lines(*documents) -> Report:
    """As of a .jsonl file that holds these evaluations."""
    parts = [Found(documents=tuple((Path("x.jsonl"), one) for one in documents))]
    return report_of_found(parts, title="", command="", scatter=False, announce=silent)


def test_tables_hold_the_scores():
    measured = found(document(score("dm", [0.5]), score("random", [0.3]), score("whole", [0.8], epochs=40)))
    report = Report("t", (), with_scores(measured))
    by_subject = {row["subject"]: row for row in csv.DictReader(io.StringIO(csv_text(report)))}
    dm = by_subject["dm"]
    assert float(dm["hard_label_recovery"]) == pytest.approx(0.3)
    assert float(dm["improvement_over_random"]) == pytest.approx(0.2) and dm["w"] == "0.5"
    assert dm["augmentation_robust_score"] == dm["gamma"] == "" == by_subject["random"]["hard_label_recovery"]
    head, _, *rows = markdown(report).splitlines()[4:8]
    assert head.endswith("| HLR, % | IOR, % | LRS, % |") and "w" not in head.split(" | ")
    assert any(line.endswith("| 30.0 | 20.0 | 24.8 |") for line in rows)  # (e^-0.05 - 1/e) / (e - 1/e)
    assert [
        json.loads(line)["honest"]["improvement_over_random"] for line in json_lines(report).splitlines()
    ] == [
        None,
        pytest.approx(0.2),
        None,
    ]


def test_tables_of_versions_without_these_columns_are_replaced(tmp_path):
    older = ",".join(COLUMNS[: COLUMNS.index("memory") + 1]) + "\n"
    (tmp_path / "table.csv").write_text(older)
    write_report(Report("t", (), tuple(found(document(score("dm", [0.5]))))), tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text().startswith(",".join(COLUMNS) + "\n")


def test_the_page_shows_what_is_known():
    measured = found(document(score("dm", [0.5]), score("random", [0.3])))
    page = html(Report("t", (), with_scores(measured)))
    assert "Due to the images" in page and ">IOR<" in page and ">20.0</td>" in page
    assert ">HLR<" not in page and "LRS" not in page
