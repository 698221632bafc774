"""From a score for each image to the images that are kept."""

from __future__ import annotations

import numpy as np

from condensery.coresets.selector import SelectionTask
from condensery.errors import BadInput
from condensery.rng import Rng

KEEP = ("easy", "hard")


def check_keep(keep: str) -> None:
    """Raises BadInput unless `keep` is one of `KEEP`."""
    if keep not in KEEP:
        raise BadInput(f"unknown end of the scores {keep!r}; choose one of {', '.join(KEEP)}")


def ranked(task: SelectionTask, difficulty: np.ndarray, keep: str, rng: Rng) -> list[np.ndarray]:
    """The `task.counts` easiest or hardest images of each class, the most extreme first.

    Args:
        difficulty: (N,) of all training images; NaN where nothing is known, which comes last.
        keep: "easy" or "hard".
        rng: decides between images of the same difficulty, in the same way for any `task.counts`.
    """
    key = difficulty if keep == "easy" else -difficulty
    picks = []
    for c in task.classes:
        shuffled = rng.fork("ties", c).numpy().permutation(task.pool.members(c))
        picks.append(shuffled[np.argsort(key[shuffled], kind="stable")][: task.counts[c]])  # NaN sorts last
    return picks
