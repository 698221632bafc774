"""HLR, IOR, LRS and ARS from measurements."""

from __future__ import annotations

import pytest
from test_measuring import document, found, score

from condensery.evaluation.honest import augmentation_robust_score, label_robust_score
from condensery.gathering import honest
from condensery.report.contents import Report
from condensery.report.page import html


def test_all_scores_by_hand():
    scores = [
        score("dm", [0.5]),
        score("random", [0.3]),
        score("whole", [0.8], epochs=40),
        score("dm", [0.45], augmentation="none"),
        score("random", [0.35], augmentation="none"),
    ]
    (h,) = honest(found(document(*scores), document(score("whole", [0.6], epochs=1), ipc=1)))
    assert (h.subject, h.ipc, h.network, h.labels) == ("dm", 10, "convnet", "hard")
    assert h.hard_label_recovery == pytest.approx(0.3), "of two whole sets the longer training counts"
    assert h.improvement_over_random == pytest.approx(0.2)
    assert h.label_robust_score == pytest.approx(label_robust_score(0.2, 0.3))
    assert h.augmentation_robust_score == pytest.approx(augmentation_robust_score(0.2, 0.1))


def test_other_budgets_networks_and_protocols_do_not_count():
    assert honest(found(document(score("dm", [0.5])), document(score("random", [0.3]), ipc=1))) == ()
    assert honest(found(document(score("dm", [0.5]), score("random", [0.3], network="mlp")))) == ()
    assert honest(found(document(score("dm", [0.5])), document(score("whole", [0.3]), protocol="x"))) == ()


def test_the_page_shows_what_is_known():
    measured = found(document(score("dm", [0.5]), score("random", [0.3])))
    page = html(Report("t", (), tuple(measured), honest=honest(measured)))
    assert "Due to the images" in page and ">IOR<" in page and ">20.0</td>" in page
    assert ">HLR<" not in page and "LRS" not in page
