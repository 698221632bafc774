"""What a set is worth: networks trained on it from scratch, beside random images and the whole set."""

from condensery.evaluation.evaluator import Evaluation, evaluate
from condensery.evaluation.honest import (
    Honest,
    augmentation_robust_score,
    hard_label_recovery,
    honest_scores,
    improvement_over_random,
    label_robust_score,
)
from condensery.evaluation.protocols import PROTOCOLS, Protocol, get_protocol
from condensery.evaluation.scores import OWN, Score
from condensery.evaluation.soft_labels import SoftLabels, Teacher, train_teacher

__all__ = [
    "OWN",
    "PROTOCOLS",
    "Evaluation",
    "Honest",
    "Protocol",
    "Score",
    "SoftLabels",
    "Teacher",
    "augmentation_robust_score",
    "evaluate",
    "get_protocol",
    "hard_label_recovery",
    "honest_scores",
    "improvement_over_random",
    "label_robust_score",
    "train_teacher",
]
