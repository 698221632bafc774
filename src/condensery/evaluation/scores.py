"""What an evaluation says: accuracies with their spread, never a single number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

COMMON, OWN = "common protocol", "own recipe"
EQUAL_BYTES = "random-equal-bytes"  # beside a generator: as many random images as have its bytes
BASELINES = ("random", "whole", EQUAL_BYTES)


class Accuracies:
    """What follows from test accuracies alone: a row for each set, a value for each network trained on it."""

    accuracies: tuple[tuple[float, ...], ...]

    @property
    def n(self) -> int:
        """Networks in all."""
        return sum(len(row) for row in self.accuracies)

    @property
    def mean(self) -> float:
        return float(np.mean(np.concatenate(self.accuracies)))

    @property
    def std(self) -> float:
        """Population standard deviation over all networks of all sets, as published numbers have it."""
        return float(np.std(np.concatenate(self.accuracies)))


@dataclass(frozen=True)
class Score(Accuracies):
    """Test accuracies (fractions) of networks trained on one or several sets of a kind.

    Attributes:
        subject: what the networks were trained on: a method's name, or one of `BASELINES`.
        network: the architecture that was trained.
        images: images in each set that a network is trained on.
        bytes: of one set: images or what makes them, and labels of the kind that was used.
        accuracies: one row per set, one value per network trained on it.
        epochs: passes over the set that each network was trained for.
        seconds: spent training and testing all of them.
        labels: "hard" (a class for each image), "soft" (probabilities of all classes), "learned" (values for all
            classes) or, for instance, "views (30)" (30 views of each image with probabilities for each).
        augmentation: "protocol" (what the protocol says, which may be none) or "none" (left out on purpose).
        recipe: "common protocol", or "own recipe", by which the set wants to be trained.
        stored_images: images that the file of a set holds; None for as many as are trained on.
    """

    subject: str
    network: str
    images: int
    bytes: int
    accuracies: tuple[tuple[float, ...], ...]
    epochs: int
    seconds: float
    labels: str = "hard"
    augmentation: str = "protocol"
    recipe: str = COMMON
    stored_images: int | None = None

    @property
    def std_between_sets(self) -> float | None:
        """Standard deviation (n - 1) of the sets' means; None for a single set, or for one network per set."""
        if len(self.accuracies) < 2 or min(len(row) for row in self.accuracies) < 2:
            return None
        return float(np.std([np.mean(row) for row in self.accuracies], ddof=1))

    @property
    def std_between_networks(self) -> float | None:
        """Standard deviation (n - 1) of networks trained on the same set, pooled; None for one per set."""
        rows = [row for row in self.accuracies if len(row) > 1]
        if not rows:
            return None
        return float(np.sqrt(np.mean([np.var(row, ddof=1) for row in rows])))

    def to_json(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "network": self.network,
            "labels": self.labels,
            "augmentation": self.augmentation,
            "recipe": self.recipe,
            "images": self.images,
            "stored_images": self.images if self.stored_images is None else self.stored_images,
            "bytes": self.bytes,
            "mean": self.mean,
            "std": self.std,
            "std_between_sets": self.std_between_sets,
            "std_between_networks": self.std_between_networks,
            "sets": len(self.accuracies),
            "n": self.n,
            "epochs": self.epochs,
            "seconds": round(self.seconds, 1),
            "accuracies": [list(row) for row in self.accuracies],
        }
