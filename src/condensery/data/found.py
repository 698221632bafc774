"""What was found in a source, in a few lines for a person: parts, classes, images, and what is not used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

NAMED = 12
"""Classes, files and rows that a line names before it counts the rest."""


@dataclass(frozen=True)
class Found:
    """What `condensery.data.load` made of a source.

    Attributes:
        kind: what lies there, such as "class folders".
        train, test: what the two parts are called there; the test part is "" if it was split off.
        classes: names of the classes.
        train_counts, test_counts: images of each class.
        shape: (channels, height, width).
        values: how pixel values were read.
        duplicates: test images whose pixels a training image has too.
        notes: what was chosen where there was a choice.
        unused: what lies there and is not used.
        skipped: damaged images that were left out, by name.
        prints: SHA-256 (hex) of the parts "train" and "test", to tell which of them has changed.
    """

    kind: str
    train: str
    test: str
    classes: tuple[str, ...]
    train_counts: tuple[int, ...]
    test_counts: tuple[int, ...]
    shape: tuple[int, int, int] = (0, 0, 0)
    values: str = ""
    duplicates: int = 0
    notes: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    prints: tuple[str, str] = ("", "")

    def lines(self) -> list[str]:
        """Parts; classes; images; then a line for what is worth knowing and one for what is not used."""
        said = [self._parts(), self._classes(), self._images()]
        if self.notes:
            said.append("Note: " + "; ".join(self.notes))
        unused = [*self.unused, *([self._skipped()] if self.skipped else [])]
        if unused:
            said.append("Not used: " + "; ".join(unused))
        return said

    def _parts(self) -> str:
        train, test = sum(self.train_counts), sum(self.test_counts)
        if not self.test:
            where = f"{self.train}, " if self.train else ""
            return f"Found {self.kind}: {where}{train:,} images to train on, {test:,} split off to test on"
        return f"Found {self.kind}: {self.train} ({train:,} images) to train on, {self.test} ({test:,}) to test on"

    def _classes(self) -> str:
        counts = self.train_counts
        low, high = int(np.argmin(counts)), int(np.argmax(counts))
        line = f"{len(self.classes)} classes ({_some(self.classes)}): "
        if counts[low] == counts[high]:
            line += f"{counts[low]:,} training images each"
        else:
            line += f"{counts[low]:,} ({self.classes[low]}) to {counts[high]:,} ({self.classes[high]}) training images"
        if untested := [name for name, n in zip(self.classes, self.test_counts, strict=True) if not n]:
            line += f"; no test images of {_some(untested)}"
        return line

    def _images(self) -> str:
        channels, height, width = self.shape
        line = f"Images of {width}x{height} pixels, {'grey' if channels == 1 else 'colour'}, {self.values}"
        if self.duplicates:
            line += f"; {self.duplicates:,} of {sum(self.test_counts):,} test images are training images too"
        return line

    def _skipped(self) -> str:
        damaged = "1 damaged image" if len(self.skipped) == 1 else f"{len(self.skipped):,} damaged images"
        return f"{damaged} ({_some(self.skipped)})"

    def of_classes(
        self, labels: Sequence[int], train: Sequence[int], test: Sequence[int], duplicates: int
    ) -> Found:
        """The same with the classes `labels` alone, of which there are `train` and `test` images."""
        names = tuple(self.classes[label] for label in labels)
        note = f"{len(names)} of {len(self.classes)} classes were chosen"
        return replace(
            self,
            classes=names,
            train_counts=tuple(int(n) for n in train),
            test_counts=tuple(int(n) for n in test),
            duplicates=duplicates,
            notes=(note, *self.notes),
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(record: dict[str, Any]) -> Found:
        """Inverse of `to_json`. Raises TypeError if the record is not one of ours."""
        fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in record.items()}
        return Found(**fields)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f", and {len(names) - NAMED:,} more" if len(names) > NAMED else "")
