"""What a set is worth: networks trained on it from scratch, beside random images and the whole set."""

from condensery.evaluation.evaluator import Evaluation, evaluate
from condensery.evaluation.protocols import PROTOCOLS, Protocol, get_protocol
from condensery.evaluation.scores import Score

__all__ = ["PROTOCOLS", "Evaluation", "Protocol", "Score", "evaluate", "get_protocol"]
