"""The scores about labels and augmentation, by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from condensery import BadInput, Score
from condensery.evaluation import (
    augmentation_robust_score,
    hard_label_recovery,
    honest_scores,
    improvement_over_random,
    label_robust_score,
)
from condensery.evaluation.honest import missing_lines


def score(subject: str, mean: float, labels: str = "hard", augmentation: str = "protocol") -> Score:
    return Score(subject, "convnet", 10, 1234, ((mean - 0.01, mean + 0.01),), 301, 1.0, labels, augmentation)


HARD = [score("dm", 0.6), score("random", 0.5), score("whole", 0.9)]
SOFT = [score("dm", 0.7, "soft"), score("random", 0.68, "soft")]
PLAIN = [score("dm", 0.5, augmentation="none"), score("random", 0.46, augmentation="none")]


def scaled(exponent: float) -> float:
    return (math.exp(exponent) - math.exp(-1)) / (math.exp(1) - math.exp(-1))


def test_differences_have_the_papers_signs() -> None:
    assert hard_label_recovery(whole=0.9, condensed=0.6) == pytest.approx(0.3)
    assert improvement_over_random(condensed=0.6, random=0.5) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("ior", "hlr", "expected"),
    [
        (0.0, 0.0, (1 - math.exp(-1)) / (math.e - math.exp(-1))),  # alpha = 0: 26.9 %
        (1.0, -1.0, 1.0),  # alpha = 1
        (-1.0, 1.0, 0.0),  # alpha = -1
        (0.2, 0.2, (1 - math.exp(-1)) / (math.e - math.exp(-1))),  # one outweighs the other
    ],
)
def test_label_robust_score_by_hand(ior: float, hlr: float, expected: float) -> None:
    assert label_robust_score(ior, hlr) == pytest.approx(expected, abs=1e-12)


def test_no_better_than_random_is_26_9_percent() -> None:
    assert f"{100 * label_robust_score(0, 0):.1f}" == "26.9"
    assert f"{100 * augmentation_robust_score(0, 0):.1f}" == "26.9"


def test_weights() -> None:
    """w = 1 looks at IOR alone, w = 0 at HLR alone; gamma = 1 at augmented training alone."""
    assert label_robust_score(0.3, 0.8, w=1) == pytest.approx(scaled(0.3))
    assert label_robust_score(0.3, 0.8, w=0) == pytest.approx(scaled(-0.8))
    assert label_robust_score(0.3, 0.8, w=0.25) == pytest.approx(scaled(0.25 * 0.3 - 0.75 * 0.8))
    assert augmentation_robust_score(0.3, 0.1, gamma=1) == pytest.approx(scaled(0.3))
    assert augmentation_robust_score(0.3, 0.1, gamma=0.25) == pytest.approx(scaled(0.25 * 0.3 + 0.75 * 0.1))
    assert augmentation_robust_score(1, 1) == pytest.approx(1)
    assert augmentation_robust_score(-1, -1) == pytest.approx(0)


@pytest.mark.parametrize(
    ("function", "arguments", "match"),
    [
        (hard_label_recovery, (98.3, 0.6), "whole must be an accuracy as a fraction .* not 98.3"),
        (improvement_over_random, (0.6, -0.1), "random must be an accuracy .* not -0.1"),
        (label_robust_score, (5.0, 0.1), "ior must be a fraction between -1 and 1, not 5.0"),
        (label_robust_score, (0.1, math.nan), "hlr must be .* not nan"),
        (label_robust_score, (0.1, 0.1, 1.5), "w must be a fraction between 0 and 1, not 1.5"),
        (augmentation_robust_score, (0.1, -12.5), "ior_plain must be .* not -12.5"),
        (augmentation_robust_score, (0.1, 0.1, -0.5), "gamma must be .* not -0.5"),
    ],
)
def test_out_of_range_refused(function: Any, arguments: tuple[float, ...], match: str) -> None:
    """Percent in particular, which the released code of the paper puts in."""
    with pytest.raises(BadInput, match=match):
        function(*arguments)


def test_hard_labels_from_three_scores() -> None:
    (honest,) = honest_scores(HARD)
    assert honest.hard_label_recovery == pytest.approx(0.3)
    assert honest.improvement_over_random == pytest.approx(0.1)
    assert honest.label_robust_score == pytest.approx(scaled((0.1 - 0.3) / 2))
    assert honest.augmentation_robust_score is None
    assert json.loads(json.dumps(honest.to_json()))["labels"] == "hard"


def test_soft_labels_recover_with_hard_ones() -> None:
    """IOR is of the soft labels on both sides; HLR stays that of hard labels, .9 - .6."""
    hard, soft = honest_scores(HARD + SOFT)
    assert (hard.labels, soft.labels) == ("hard", "soft")
    assert soft.improvement_over_random == pytest.approx(0.02)
    assert soft.hard_label_recovery == hard.hard_label_recovery == pytest.approx(0.3)
    assert soft.label_robust_score == pytest.approx(scaled((0.02 - 0.3) / 2))


def test_augmentation_from_both_ways_of_training() -> None:
    (honest,) = honest_scores(HARD + PLAIN, gamma=0.25)
    assert honest.improvement_over_random == pytest.approx(0.1), "of training with augmentation"
    assert honest.augmentation_robust_score == pytest.approx(scaled(0.25 * 0.1 + 0.75 * 0.04))


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (HARD, ["ARS needs training without augmentation too (--augmentation-robustness)"]),
        (HARD + PLAIN, []),
        (HARD[:2] + PLAIN, ["HLR and LRS need the whole set (--baselines whole)"]),
        ([HARD[0], HARD[2]], ["IOR, LRS and ARS need random images (--baselines random)"]),
        (HARD[:1], ["HLR and LRS need", "IOR, LRS and ARS need"]),
    ],
)
def test_what_is_missing_is_said(scores: list[Score], words: list[str]) -> None:
    lines = missing_lines(honest_scores(scores))
    assert len(lines) == len(words)
    for line, word in zip(lines, words, strict=True):
        assert word in line
