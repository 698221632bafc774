"""What an evaluation reports while it goes on, for callbacks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trained:
    """News for a callback: one network is done.

    Attributes:
        subject, network: what was trained on, and which architecture; a subject "teacher" was trained on the
            whole set.
        accuracy: of that network on the test images, a fraction.
        done, total: networks so far and in all.
    """

    subject: str
    network: str
    accuracy: float
    done: int
    total: int


@dataclass(frozen=True)
class Training:
    """News for a callback: networks that train at once have ended an epoch.

    Attributes:
        subject, network: as for `Trained`.
        epoch, epochs: of each of them, done and in all.
        at_once: how many they are.
        done, total: networks before them and in all.
    """

    subject: str
    network: str
    epoch: int
    epochs: int
    at_once: int
    done: int
    total: int

    @property
    def share(self) -> float:
        """Of the work of all networks, as if they were alike."""
        return (self.done + self.at_once * self.epoch / self.epochs) / max(1, self.total)
