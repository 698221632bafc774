"""What a report shows, as plain values: whatever made the numbers, one page and one set of tables serve them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from condensery.budgets import Counts
from condensery.evaluation.scores import Accuracies
from condensery.published import WHOLE as WHOLE  # the subject of measurements on the whole training set
from condensery.published import Published as Published

RANDOM = "random"  # the subject of measurements on random real images


@dataclass(frozen=True)
class Measurement(Accuracies):
    """Test accuracies of one architecture trained on one kind of set.

    Attributes:
        data: name of the image set.
        subject: what was trained on: a method's or selector's label, "random" or "whole".
        ipc: images per class, one number or one for each class; None for the whole set.
        condensed_with: the architecture that the method matched with, or whose features a selector used; None
            where there is none.
        network: the architecture that was trained and tested.
        protocol: name of the protocol.
        labels: "hard" or "soft"; with what tells teachers apart where there are several.
        augmentation: "protocol" (what the protocol says) or "none" (left out on purpose).
        accuracies: fractions; a row for each set (seed), a value for each network trained on it.
        images: that networks are trained on, in one set.
        bytes: of one set as it is stored, labels included.
        epochs: passes that each network was trained for.
        steps, published_steps: updates that made the set, and the publication's; None for selections.
        make_seconds: to make each set; empty for the whole set.
        evaluate_seconds: to train and test all networks.
        memory: peak bytes while a set was made; None if unknown.
        published: the paper's value, None where unknown.
        commands: that make the number again, in order.
        record: everything else that was written down about it, JSON-able.
        stored_images: in one set, where fewer or more are stored than are trained on; None: the same.
        extra: further columns of tables, by name: the scores in `condensery.evaluation.honest.SCORES`, and any other
            value, text or number.
    """

    data: str
    subject: str
    ipc: int | Counts | None
    condensed_with: str | None
    network: str
    protocol: str
    labels: str
    accuracies: tuple[tuple[float, ...], ...]
    images: int
    bytes: int
    epochs: int
    augmentation: str = "protocol"
    steps: int | None = None
    published_steps: int | None = None
    make_seconds: tuple[float, ...] = ()
    evaluate_seconds: float = 0.0
    memory: int | None = None
    published: Published | None = None
    commands: tuple[str, ...] = ()
    record: dict[str, Any] = field(default_factory=dict)
    stored_images: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Gallery:
    """The images of one set.

    Attributes:
        subject, ipc, condensed_with, seed: which set.
        class_names: one per class.
        labels: int64 (M,), class-major.
        final: uint8 (M, H, W, C), as they are.
        initial: the same before the first update; None for selections and where it is not known.
    """

    subject: str
    ipc: int | Counts
    condensed_with: str | None
    seed: int
    class_names: tuple[str, ...]
    labels: np.ndarray
    final: np.ndarray
    initial: np.ndarray | None = None


@dataclass(frozen=True)
class Curve:
    """What was measured while a set was made.

    Attributes:
        subject, ipc, condensed_with, seed: which set.
        loss: one value for each step.
        accuracy: (step, mean, std, n) of evaluations on the way; fractions.
    """

    subject: str
    ipc: int | Counts
    condensed_with: str | None
    seed: int
    loss: tuple[float, ...]
    accuracy: tuple[tuple[int, float, float, int], ...] = ()


@dataclass(frozen=True)
class Scatter:
    """Features of real and synthetic images in the plane.

    Attributes:
        title: which set.
        projection: "PCA" or "t-SNE".
        class_names: one per class.
        real, real_labels: float (N, 2), int (N,).
        synthetic, synthetic_labels: float (M, 2), int (M,).
        subject: the method's or selector's label.
        network: whose features, and what it was trained on.
    """

    title: str
    projection: str
    class_names: tuple[str, ...]
    real: np.ndarray
    real_labels: np.ndarray
    synthetic: np.ndarray
    synthetic_labels: np.ndarray
    subject: str = ""
    network: str = ""


@dataclass(frozen=True)
class Plot:
    """Series of points, such as accuracy after each task.

    Attributes:
        title: what is shown.
        x, y: what the axes are; y is a fraction, and x where its text ends in "%", both marked in percent.
        series: name and points (x, y, spread of y or None) of each.
        joined: lines through the points of a series; otherwise they are a cloud.
        note: below the chart.
    """

    title: str
    x: str
    y: str
    series: tuple[tuple[str, tuple[tuple[float, float, float | None], ...]], ...]
    joined: bool = True
    note: str = ""


Cell = str | int | float | tuple[str, float]
"""Text, a number, or a number as people read it and by which it is sorted."""


@dataclass(frozen=True)
class Table:
    """Results that are no measurements of sets.

    Attributes:
        caption: what the rows are.
        columns: their heads.
        rows: a cell for each column.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Report:
    """Everything that one report shows.

    Attributes:
        title: for the head of the page.
        facts: names and values about data, protocol, hardware, versions.
        measurements: in the order in which tables list them.
        galleries, curves, scatters: may be empty.
        skipped: cell and reason, for what could not be measured.
        command: that made the whole of it, or "".
        tables, plots: what an application adds.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    measurements: tuple[Measurement, ...]
    galleries: tuple[Gallery, ...] = ()
    curves: tuple[Curve, ...] = ()
    scatters: tuple[Scatter, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    command: str = ""
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
