"""The scores that follow from measurements of a set, of random images and of the whole set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from condensery.evaluation.evaluator import BASELINES
from condensery.evaluation.honest import WEIGHT, honest_scores
from condensery.evaluation.scores import Score
from condensery.report.contents import WHOLE, HonestScores, Measurement


def honest(measurements: Sequence[Measurement]) -> tuple[HonestScores, ...]:
    """One for each set, network, protocol and kind of labels of which anything can be said.

    The weights are those that the set's latest evaluation was asked for.
    """
    return tuple(_all(measurements))


def _all(measurements: Sequence[Measurement]) -> Iterator[HonestScores]:
    own = [m for m in measurements if m.subject not in BASELINES]
    for key in dict.fromkeys(map(_set, own)):
        group = [m for m in own if _set(m) == key]
        first = group[0]
        beside = [m for m in measurements if m.subject in BASELINES and _fits(m, first)]
        beside.sort(key=lambda m: m.epochs)  # of several whole sets the one that was trained longest counts
        weights = _weights(group)
        for found in honest_scores([_score(m) for m in (*group, *beside)], *weights):
            values = (
                found.hard_label_recovery,
                found.improvement_over_random,
                found.label_robust_score,
                found.augmentation_robust_score,
            )
            if any(value is not None for value in values):
                where = (first.subject, first.ipc, first.condensed_with, first.network, first.protocol)
                yield HonestScores(*where, found.labels, *values, *weights)


def _weights(group: Sequence[Measurement]) -> tuple[float, float]:
    """w and gamma, as the record of an evaluation holds them."""
    said = [one for m in group for one in m.record.get("honest", ())]
    return (float(said[-1]["w"]), float(said[-1]["gamma"])) if said else (WEIGHT, WEIGHT)


def _set(m: Measurement) -> tuple[object, ...]:
    return m.data, m.subject, m.ipc, m.condensed_with, m.network, m.protocol


def _fits(baseline: Measurement, m: Measurement) -> bool:
    alike = (baseline.data, baseline.network, baseline.protocol) == (m.data, m.network, m.protocol)
    return alike and (baseline.subject == WHOLE or baseline.ipc == m.ipc)


def _score(m: Measurement) -> Score:
    return Score(
        m.subject,
        m.network,
        m.images,
        m.bytes,
        m.accuracies,
        m.epochs,
        m.evaluate_seconds,
        m.labels,
        m.augmentation,
    )
