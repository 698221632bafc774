"""Scores that say how much of an accuracy is due to the images: beside the labels and the augmentation.

Source: Z. Li et al., DD-Ranking: Rethinking the Evaluation of Dataset Distillation, arXiv 2505.13300. All
accuracies, differences and scores are fractions, as in the paper's formulas. The code released with it
(ddranking 0.2.0) puts accuracies in percent into the same exponentials, so its scores leave [0, 1]; it also
chooses the learning rate and the epoch by test accuracy. Neither is done here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from condensery.errors import BadInput
from condensery.evaluation.scores import BASELINES, COMMON, Score

WEIGHT = 0.5  # w and gamma where nothing else was asked for


@dataclass(frozen=True)
class ScoreColumn:
    """How tables name a field of `Honest`; a score that is listed in `SCORES` is in every report.

    Attributes:
        key: the field.
        name: short, for heads of tables.
        unit: "points" or "%" for fractions that are shown in percent, "" for plain numbers.
        meaning: in a few words.
        weighs: of a weight, the score that it is in, without which it says nothing.
    """

    key: str
    name: str
    unit: str
    meaning: str
    weighs: str = ""


SCORES = (
    ScoreColumn(
        "hard_label_recovery",
        "HLR",
        "points",
        "points lost to the whole set, with hard labels; 0 is nothing lost",
    ),
    ScoreColumn(
        "improvement_over_random",
        "IOR",
        "points",
        "points gained on random images; 0 is no better than random",
    ),
    ScoreColumn(
        "label_robust_score",
        "LRS",
        "%",
        "both together; 26.9 is no better than random and no worse than the whole set",
    ),
    ScoreColumn(
        "augmentation_robust_score",
        "ARS",
        "%",
        "gain on random images with and without augmentation together",
    ),
    ScoreColumn("w", "w", "", "weight of IOR in LRS", weighs="label_robust_score"),
    ScoreColumn(
        "gamma", "gamma", "", "weight of IOR with augmentation in ARS", weighs="augmentation_robust_score"
    ),
)


def hard_label_recovery(whole: float, condensed: float) -> float:
    """HLR = Acc_real,hard - Acc_syn,hard: what the set loses to the whole set, in [-1, 1]; lower is better.

    Args:
        whole, condensed: accuracies (fractions) of networks trained with hard labels on the whole set and on
            the condensed one.

    Raises:
        BadInput: an accuracy outside [0, 1].
    """
    return _accuracy("whole", whole) - _accuracy("condensed", condensed)


def improvement_over_random(condensed: float, random: float) -> float:
    """IOR = Acc_syn,any - Acc_rdm,any: what the set gains on random real images, in [-1, 1]; higher is better.

    Args:
        condensed, random: accuracies (fractions), both with labels of one kind and one augmentation.

    Raises:
        BadInput: an accuracy outside [0, 1].
    """
    return _accuracy("condensed", condensed) - _accuracy("random", random)


def label_robust_score(ior: float, hlr: float, w: float = WEIGHT) -> float:
    """LRS = (e^alpha - e^-1) / (e - e^-1) with alpha = w IOR - (1 - w) HLR, in [0, 1].

    No better than random and no worse than the whole set is alpha = 0 and scores 0.269.

    Args:
        ior: `improvement_over_random`, with the labels that the set is used with.
        hlr: `hard_label_recovery`.
        w: weight of IOR, in [0, 1].

    Raises:
        BadInput: a value out of its range.
    """
    w = _within("w", w, 0)
    return _unit(w * _within("ior", ior, -1) - (1 - w) * _within("hlr", hlr, -1))


def augmentation_robust_score(ior_augmented: float, ior_plain: float, gamma: float = WEIGHT) -> float:
    """ARS = (e^beta - e^-1) / (e - e^-1) with beta = gamma IOR_aug + (1 - gamma) IOR_naug, in [0, 1].

    No better than random with and without augmentation is beta = 0 and scores 0.269.

    Args:
        ior_augmented, ior_plain: `improvement_over_random` of networks trained with augmentation and without.
        gamma: weight of the first, in [0, 1].

    Raises:
        BadInput: a value out of its range.
    """
    gamma = _within("gamma", gamma, 0)
    plain = (1 - gamma) * _within("ior_plain", ior_plain, -1)
    return _unit(gamma * _within("ior_augmented", ior_augmented, -1) + plain)


@dataclass(frozen=True)
class Honest:
    """What the accuracies of one architecture come to; None for what cannot be computed.

    Attributes:
        network: the architecture that was trained.
        labels: the labels of IOR, LRS and ARS, with ", own recipe" where that is how networks were trained; HLR is
            always of hard labels and the common protocol.
        w, gamma: weights in LRS and ARS.
        hard_label_recovery, improvement_over_random: differences of accuracies, fractions.
        label_robust_score, augmentation_robust_score: fractions in [0, 1].
    """

    network: str
    labels: str
    w: float
    gamma: float
    hard_label_recovery: float | None
    improvement_over_random: float | None
    label_robust_score: float | None
    augmentation_robust_score: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def honest_scores(scores: Sequence[Score], w: float = WEIGHT, gamma: float = WEIGHT) -> tuple[Honest, ...]:
    """One `Honest` for each architecture and kind of labels among `scores`, from their mean accuracies.

    Args:
        scores: of one kind of set, of "random" and of "whole"; what is not there gives None.
        w, gamma: weights in LRS and ARS, in [0, 1].

    Raises:
        BadInput: a weight out of its range.
    """
    check_weights(w, gamma)
    found = {(_role(s), s.network, _labels(s), s.augmentation): s.mean for s in scores}
    kinds = dict.fromkeys((s.network, _labels(s)) for s in scores if _role(s) == "set")
    return tuple(_honest(found, network, labels, w, gamma) for network, labels in kinds)


def check_weights(w: float, gamma: float) -> None:
    """Raise BadInput for a weight outside [0, 1]."""
    _within("w", w, 0)
    _within("gamma", gamma, 0)


def missing_lines(honest: Sequence[Honest], unaugmented: bool = False) -> tuple[str, ...]:
    """What could not be computed, and what it needs; a line each.

    Args:
        unaugmented: training without augmentation was asked for where the protocol has none.
    """
    lines = []
    if any(h.hard_label_recovery is None for h in honest):
        lines.append("HLR and LRS need the whole set (--baselines whole)")
    if any(h.improvement_over_random is None for h in honest):
        lines.append("IOR, LRS and ARS need random images (--baselines random)")
    elif unaugmented:
        lines.append("ARS needs a protocol that augments these images")
    elif any(h.augmentation_robust_score is None for h in honest):
        lines.append("ARS needs training without augmentation too (--augmentation-robustness)")
    return tuple(lines)


def _honest(
    found: dict[tuple[str, str, str, str], float], network: str, labels: str, w: float, gamma: float
) -> Honest:
    def gain(augmentation: str) -> float | None:
        condensed = found.get(("set", network, labels, augmentation))
        random = found.get(("random", network, labels, augmentation))
        return None if condensed is None or random is None else improvement_over_random(condensed, random)

    whole, condensed = (found.get((role, network, "hard", "protocol")) for role in ("whole", "set"))
    hlr = None if whole is None or condensed is None else hard_label_recovery(whole, condensed)
    ior, plain = gain("protocol"), gain("none")
    lrs = None if ior is None or hlr is None else label_robust_score(ior, hlr, w)
    ars = None if ior is None or plain is None else augmentation_robust_score(ior, plain, gamma)
    return Honest(network, labels, w, gamma, hlr, ior, lrs, ars)


def _labels(score: Score) -> str:
    return score.labels if score.recipe == COMMON else f"{score.labels}, {score.recipe}"


def _role(score: Score) -> str:
    return score.subject if score.subject in BASELINES else "set"


def _unit(exponent: float) -> float:
    """[-1, 1] -> [0, 1]"""
    return (math.exp(exponent) - math.exp(-1)) / (math.e - math.exp(-1))


def _accuracy(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise BadInput(f"{name} must be an accuracy as a fraction between 0 and 1, not {value}")
    return value


def _within(name: str, value: float, lowest: int) -> float:
    """`value`, if it lies in [lowest, 1]; nan does not."""
    if not lowest <= value <= 1:
        raise BadInput(f"{name} must be a fraction between {lowest} and 1, not {value}")
    return value
